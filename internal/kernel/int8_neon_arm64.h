// Macros for the 8-bit kernels' tiles of pixels by 8 channels. Pixel p's sums are
// V(16+2p) and V(17+2p) and its inputs Vp; V8 to V14 are weights and what else
// comes up, V15 is the sets' own.
//
// EACHn(M) expands M for n pixels: with the pixel, the numbers of its sums and
// its input, and the same as registers.

#define EACH1(M) M(0, 16, 17, 0, F16, F17, F0)
#define EACH2(M) EACH1(M); M(1, 18, 19, 1, F18, F19, F1)
#define EACH4(M) EACH2(M); M(2, 20, 21, 2, F20, F21, F2); M(3, 22, 23, 3, F22, F23, F3)
#define EACH8(M) EACH4(M); \
	M(4, 24, 25, 4, F24, F25, F4); M(5, 26, 27, 5, F26, F27, F5); \
	M(6, 28, 29, 6, F28, F29, F6); M(7, 30, 31, 7, F30, F31, F7)

// Instructions that the assembler lacks, on vectors given as numbers.
#define VECTOR2(op, d, n) WORD $((op) | ((n)<<5) | (d))
#define VECTOR3(op, d, n, m) WORD $((op) | ((m)<<16) | ((n)<<5) | (d))
#define MOVE(d, n) VECTOR3(0x4ea01c00, d, n, n)
#define EOR(d, n, m) VECTOR3(0x6e201c00, d, n, m)
#define SDOT(d, n, m) VECTOR3(0x4e809400, d, n, m) // 4 sums of 4 products of signed bytes
#define SDOTL(d, n, m, lane) VECTOR3(0x4f80e000 | (((lane)&1)<<21) | (((lane)>>1)<<11), d, n, m) // with the 4 bytes of m's lane
#define SMLAL(d, n, m) VECTOR3(0x0e608000, d, n, m) // 4 products of the low 16-bit halves
#define SMLAL2(d, n, m) VECTOR3(0x4e608000, d, n, m) // of the high ones
#define LANE16(lane) ((((lane)>>2)<<11) | ((((lane)>>1)&1)<<21) | (((lane)&1)<<20))
#define SMLALL(d, n, m, lane) VECTOR3(0x0f402000 | LANE16(lane), d, n, m) // m is V0 to V15
#define SMLAL2L(d, n, m, lane) VECTOR3(0x4f402000 | LANE16(lane), d, n, m)
#define UXTL(d, n) VECTOR2(0x2f08a400, d, n)    // 8 bytes to 16 bits
#define UXTL4(d, n) VECTOR2(0x2f10a400, d, n)   // the low 4 of 16 bits to 32
#define UXTL42(d, n) VECTOR2(0x6f10a400, d, n)  // the high 4
#define UXTL2(d, n) VECTOR2(0x6f08a400, d, n)   // the high 8 bytes to 16 bits
#define UADDW(d, n, m) VECTOR3(0x2e601000, d, n, m) // 4 sums of 32 bits and the low ones of 16
#define UADDW2(d, n, m) VECTOR3(0x6e601000, d, n, m)
#define ZIP1(d, n, m) VECTOR3(0x4e003800, d, n, m) // of bytes
#define ZIP2(d, n, m) VECTOR3(0x4e007800, d, n, m)
#define ZIP1H(d, n, m) VECTOR3(0x4e403800, d, n, m) // of 16 bits
#define ZIP2H(d, n, m) VECTOR3(0x4e407800, d, n, m)
#define SCVTF(d) VECTOR2(0x4e21d800, d, d)  // to float32
#define FCVTNS(d) VECTOR2(0x4e21a800, d, d) // to the nearest integer, ties to even, saturating
#define FMUL(d, n, m) VECTOR3(0x6e20dc00, d, n, m)
#define FADD(d, n, m) VECTOR3(0x4e20d400, d, n, m)
#define FSUB(d, n, m) VECTOR3(0x4ea0d400, d, n, m)
#define FMLA(d, n, m) VECTOR3(0x4e20cc00, d, n, m) // d += n * m
#define FMINNM(d, n, m) VECTOR3(0x4ea0c400, d, n, m) // the number where one is NaN
#define SQXTN(d, n) VECTOR2(0x0e614800, d, n)   // to 16 bits, saturating
#define SQXTN2(d, n) VECTOR2(0x4e614800, d, n)  // into the high half
#define SQADD(d, n, m) VECTOR3(0x4e600c00, d, n, m) // of 16 bits, saturating
#define SQXTUN(d, n) VECTOR2(0x2e212800, d, n)  // to bytes, saturating
#define SQXTUN2(d, n) VECTOR2(0x6e212800, d, n)
#define UMAX(d, n, m) VECTOR3(0x6e206400, d, n, m) // of bytes
#define UMIN(d, n, m) VECTOR3(0x6e206c00, d, n, m)

// PACK makes 8 bytes in a of the integers in a and b, with the zero point in V10,
// 16-bit, and the limits in V11 and V12.
#define PACK(a, b) \
	SQXTN(a, a); SQXTN2(a, b); SQADD(a, a, 10); SQXTUN(a, a); UMAX(a, a, 11); UMIN(a, a, 12)

// RANGE loads what PACK needs of the range at (R0).
#define RANGE(at) \
	MOVW (at+Range_Zero)(R0), R22; VDUP R22, V10.H8; \
	MOVW (at+Range_Min)(R0), R22; VDUP R22, V11.B16; \
	MOVW (at+Range_Max)(R0), R22; VDUP R22, V12.B16

// The first value of the sums: the bias in V8 and V9.
#define BIAS(p, a, b, x, FA, FB, FX) MOVE(a, 8); MOVE(b, 9)

// The scaling of the sums by V8 and V9, and what follows it: bytes to R12, or
// floats with those at R16 added or not.
#define SCALE(p, a, b, x, FA, FB, FX) SCVTF(a); SCVTF(b); FMUL(a, a, 8); FMUL(b, b, 9)
#define BYTES(p, a, b, x, FA, FB, FX) FCVTNS(a); FCVTNS(b); PACK(a, b); FMOVD FA, (p*32)(R12)
#define ADDED(p, a, b, x, FA, FB, FX) FLDPQ (p*128)(R16), (F10, F11); FADD(a, a, 10); FADD(b, b, 11)
#define FLOATS(p, a, b, x, FA, FB, FX) FSTPQ (FA, FB), (p*128)(R12)
