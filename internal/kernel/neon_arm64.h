// Macros for tiles of pixels by 8 channels. Pixel p's sums are V(2p) and V(2p+1)
// and its input, of four k, is V(16+p); the weights of the four k are V24 to V31.
//
// EACHn(M) expands M for n pixels: with the pixel, the numbers of its sums and
// its input, and the same as registers.

#define EACH1(M) M(0, 0, 1, 16, F0, F1, F16)
#define EACH2(M) EACH1(M); M(1, 2, 3, 17, F2, F3, F17)
#define EACH4(M) EACH2(M); M(2, 4, 5, 18, F4, F5, F18); M(3, 6, 7, 19, F6, F7, F19)
#define EACH8(M) EACH4(M); \
	M(4, 8, 9, 20, F8, F9, F20); M(5, 10, 11, 21, F10, F11, F21); \
	M(6, 12, 13, 22, F12, F13, F22); M(7, 14, 15, 23, F14, F15, F23)

// Instructions that the assembler lacks, on vectors of 4 floats given as numbers.
#define FMLA(d, n, m, lane) WORD $(0x4f801000 | (((lane)&1)<<21) | ((m)<<16) | (((lane)>>1)<<11) | ((n)<<5) | (d)) // d += n * m[lane]
#define FMLAV(d, n, m) WORD $(0x4e20cc00 | ((m)<<16) | ((n)<<5) | (d)) // d += n * m
#define FADD(d, n, m) WORD $(0x4e20d400 | ((m)<<16) | ((n)<<5) | (d))
#define FDIV(d, n, m) WORD $(0x6e20fc00 | ((m)<<16) | ((n)<<5) | (d))
#define FMAX(d, n, m) WORD $(0x4e20f400 | ((m)<<16) | ((n)<<5) | (d)) // NaN where either is
#define FMIN(d, n, m) WORD $(0x4ea0f400 | ((m)<<16) | ((n)<<5) | (d))
#define MOVE(d, n) WORD $(0x4ea01c00 | ((n)<<16) | ((n)<<5) | (d))

// The first value of the sums: the bias in V24 and V25, and what is at R12.
#define BIAS(p, a, b, x, FA, FB, FX) MOVE(a, 24); MOVE(b, 25)
#define ADD1(p, a, b, x, FA, FB, FX) FLDPQ (p*128)(R12), (F26, F27); FADD(a, a, 26); FADD(b, b, 27)
#define PART(p, a, b, x, FA, FB, FX) FLDPQ (p*128)(R12), (FA, FB)

// The inputs at R14: of four k, or of one in lane 0.
#define IN4(p, a, b, x, FA, FB, FX) FMOVQ (p*STEP)(R14), FX
#define IN1(p, a, b, x, FA, FB, FX) FMOVS (p*STEP)(R14), FX

// The weights at R13, R9 bytes a row.
#define W1(FA, FB) FLDPQ (R13), (FA, FB); ADD R9, R13
#define W4 W1(F24, F25); W1(F26, F27); W1(F28, F29); W1(F30, F31)

// The multiplications by lane.
#define LANE0(p, a, b, x, FA, FB, FX) FMLA(a, 24, x, 0); FMLA(b, 25, x, 0)
#define LANE1(p, a, b, x, FA, FB, FX) FMLA(a, 26, x, 1); FMLA(b, 27, x, 1)
#define LANE2(p, a, b, x, FA, FB, FX) FMLA(a, 28, x, 2); FMLA(b, 29, x, 2)
#define LANE3(p, a, b, x, FA, FB, FX) FMLA(a, 30, x, 3); FMLA(b, 31, x, 3)

// Four k and one k.
#define STEP4 EACH(IN4); ADD $16, R14; W4; EACH(LANE0); EACH(LANE1); EACH(LANE2); EACH(LANE3)
#define STEP1 EACH(IN1); ADD $4, R14; W1(F24, F25); EACH(LANE0)

// ReLU6 with 0 in V24 and 6 in V25, and the stores to R12.
#define LIMITS VEOR V24.B16, V24.B16, V24.B16; MOVD $0x40c00000, R12; VDUP R12, V25.S4
#define CLAMP(p, a, b, x, FA, FB, FX) FMAX(a, a, 24); FMAX(b, b, 24); FMIN(a, a, 25); FMIN(b, b, 25)
#define STORE(p, a, b, x, FA, FB, FX) FSTPQ (FA, FB), (p*128)(R12)
