//go:build !purego

#include "textflag.h"
#include "go_asm.h"
#include "neon_arm64.h"

// The kernels for training go over 8 channels of all pixels, then over the next 8.
// R10 is how many bytes of a pixel's channels are done, R9 how many there are.

#define FMUL(d, n, m) WORD $(0x6e20dc00 | ((m)<<16) | ((n)<<5) | (d))
#define FSUB(d, n, m) WORD $(0x4ea0d400 | ((m)<<16) | ((n)<<5) | (d))
#define FCMGT(d, n, m) WORD $(0x6ea0e400 | ((m)<<16) | ((n)<<5) | (d)) // all ones where n > m

#define START(Pixels, NR) \
	MOVD a+0(FP), R0; \
	MOVD Pixels(R0), R6; \
	CBZ  R6, done; \
	MOVD NR(R0), R9; \
	LSL  $2, R9; \
	MOVD $0, R10

// The 8 channels of a field.
#define AT(field, R) MOVD field(R0), R; ADD R10, R
#define TAKE(field, FA, FB) AT(field, R11); FLDPQ (R11), (FA, FB)
#define KEEP(field, FA, FB) AT(field, R11); FSTPQ (FA, FB), (R11)
#define NEXT(label) \
	ADD $32, R10; \
	CMP R9, R10; \
	BLT label

// V26 and V27 are the limits of ReLU6, or without it the infinities.
#define SIXES(ReLU6) \
	VEOR V26.B16, V26.B16, V26.B16; \
	MOVD $0x40c00000, R11; \
	VDUP R11, V27.S4; \
	MOVBU ReLU6(R0), R8; \
	CBNZ R8, 5(PC); \
	MOVD $0xff800000, R11; \
	VDUP R11, V26.S4; \
	MOVD $0x7f800000, R11; \
	VDUP R11, V27.S4

#define CLAMPED FMAX(6, 6, 26); FMAX(7, 7, 26); FMIN(6, 6, 27); FMIN(7, 7, 27)

// func affineNEON(a *Affine)
TEXT ·affineNEON(SB), NOSPLIT, $0-8
	START(Affine_Pixels, Affine_NR)
	SIXES(Affine_ReLU6)

channels:
	TAKE(Affine_Scale, F0, F1)
	TAKE(Affine_Shift, F2, F3)
	AT(Affine_Dst, R1)
	AT(Affine_Src, R2)
	MOVD R6, R7
	MOVD Affine_Add(R0), R3
	CBZ  R3, pixel
	ADD  R10, R3

added:
	FLDPQ.P 128(R2), (F4, F5)
	FLDPQ.P 128(R3), (F8, F9)
	MOVE(6, 2); MOVE(7, 3)
	FMLAV(6, 4, 0); FMLAV(7, 5, 1)
	FADD(6, 6, 8); FADD(7, 7, 9)
	CLAMPED
	FSTPQ.P (F6, F7), 128(R1)
	SUB  $1, R7
	CBNZ R7, added
	B    next

pixel:
	FLDPQ.P 128(R2), (F4, F5)
	MOVE(6, 2); MOVE(7, 3)
	FMLAV(6, 4, 0); FMLAV(7, 5, 1)
	CLAMPED
	FSTPQ.P (F6, F7), 128(R1)
	SUB  $1, R7
	CBNZ R7, pixel

next:
	NEXT(channels)

done:
	RET

// func momentsNEON(a *Moments)
TEXT ·momentsNEON(SB), NOSPLIT, $0-8
	START(Moments_Pixels, Moments_NR)

channels:
	TAKE(Moments_Center, F0, F1)
	TAKE(Moments_Sum, F2, F3)
	TAKE(Moments_Squares, F4, F5)
	AT(Moments_Src, R2)
	MOVD R6, R7

pixel:
	FLDPQ.P 128(R2), (F6, F7)
	FSUB(6, 6, 0); FSUB(7, 7, 1)
	FADD(2, 2, 6); FADD(3, 3, 7)
	FMLAV(4, 6, 6); FMLAV(5, 7, 7)
	SUB  $1, R7
	CBNZ R7, pixel
	KEEP(Moments_Sum, F2, F3)
	KEEP(Moments_Squares, F4, F5)
	NEXT(channels)

done:
	RET

// A pixel's part of both sums: the gradient in V6 and V7, the input in V4 and V5.
#define SUMS \
	FADD(2, 2, 6); FADD(3, 3, 7); \
	FSUB(4, 4, 0); FSUB(5, 5, 1); \
	FMLAV(8, 4, 6); FMLAV(9, 5, 7)

// func affineGradNEON(a *AffineGrad)
TEXT ·affineGradNEON(SB), NOSPLIT, $0-8
	START(AffineGrad_Pixels, AffineGrad_NR)
	SIXES(AffineGrad_ReLU6)

channels:
	TAKE(AffineGrad_Mean, F0, F1)
	TAKE(AffineGrad_Sum, F2, F3)
	TAKE(AffineGrad_Dot, F8, F9)
	TAKE(AffineGrad_Scale, F10, F11)
	TAKE(AffineGrad_Shift, F12, F13)
	AT(AffineGrad_Grad, R1)
	AT(AffineGrad_Src, R2)
	MOVD R6, R7
	CBZ  R8, linear

pixel:
	FLDPQ.P 128(R2), (F4, F5)
	FLDPQ (R1), (F6, F7)
	MOVE(14, 12); MOVE(15, 13)
	FMLAV(14, 4, 10); FMLAV(15, 5, 11)
	FCMGT(16, 14, 26); FCMGT(17, 15, 26)
	FCMGT(18, 27, 14); FCMGT(19, 27, 15)
	VAND V16.B16, V6.B16, V6.B16
	VAND V17.B16, V7.B16, V7.B16
	VAND V18.B16, V6.B16, V6.B16
	VAND V19.B16, V7.B16, V7.B16
	FSTPQ.P (F6, F7), 128(R1)
	SUMS
	SUB  $1, R7
	CBNZ R7, pixel
	B    next

linear:
	FLDPQ.P 128(R2), (F4, F5)
	FLDPQ.P 128(R1), (F6, F7)
	SUMS
	SUB  $1, R7
	CBNZ R7, linear

next:
	KEEP(AffineGrad_Sum, F2, F3)
	KEEP(AffineGrad_Dot, F8, F9)
	NEXT(channels)

done:
	RET

// func normGradNEON(a *NormGrad)
TEXT ·normGradNEON(SB), NOSPLIT, $0-8
	START(NormGrad_Pixels, NormGrad_NR)

channels:
	TAKE(NormGrad_A, F0, F1)
	TAKE(NormGrad_B, F2, F3)
	TAKE(NormGrad_C, F4, F5)
	AT(NormGrad_Dst, R1)
	AT(NormGrad_Src, R2)
	AT(NormGrad_Grad, R3)
	MOVD R6, R7

pixel:
	FLDPQ.P 128(R2), (F6, F7)
	FLDPQ.P 128(R3), (F8, F9)
	MOVE(10, 4); MOVE(11, 5)
	FMLAV(10, 6, 2); FMLAV(11, 7, 3)
	FMLAV(10, 8, 0); FMLAV(11, 9, 1)
	FSTPQ.P (F10, F11), 128(R1)
	SUB  $1, R7
	CBNZ R7, pixel
	NEXT(channels)

done:
	RET

// The gradient of a pointwise convolution's weights in tiles of 8 inputs by 8
// outputs: row r's sums are V(2r) and V(2r+1), R9 bytes from row to row at R12.

#define LOADROW(FA, FB) FLDPQ (R12), (FA, FB); ADD R9, R12
#define STOREROW(FA, FB) FSTPQ (FA, FB), (R12); ADD R9, R12
#define ROWS(M) \
	M(F0, F1); M(F2, F3); M(F4, F5); M(F6, F7); \
	M(F8, F9); M(F10, F11); M(F12, F13); M(F14, F15)

// func pointwiseGradNEON(a *PointwiseGrad)
TEXT ·pointwiseGradNEON(SB), NOSPLIT, $0-8
	START(PointwiseGrad_Pixels, PointwiseGrad_NR)
	LSL  $3, R9, R16             // bytes of 8 rows

channels:
	AT(PointwiseGrad_DW, R4)
	MOVD PointwiseGrad_Src(R0), R5
	MOVD PointwiseGrad_K(R0), R8

tile:
	MOVD R4, R12
	ROWS(LOADROW)
	MOVD R5, R2
	AT(PointwiseGrad_Grad, R3)
	MOVD R6, R7

pixel:
	FLDPQ.P 128(R2), (F16, F17)
	FLDPQ.P 128(R3), (F18, F19)
	FMLA(0, 18, 16, 0); FMLA(1, 19, 16, 0)
	FMLA(2, 18, 16, 1); FMLA(3, 19, 16, 1)
	FMLA(4, 18, 16, 2); FMLA(5, 19, 16, 2)
	FMLA(6, 18, 16, 3); FMLA(7, 19, 16, 3)
	FMLA(8, 18, 17, 0); FMLA(9, 19, 17, 0)
	FMLA(10, 18, 17, 1); FMLA(11, 19, 17, 1)
	FMLA(12, 18, 17, 2); FMLA(13, 19, 17, 2)
	FMLA(14, 18, 17, 3); FMLA(15, 19, 17, 3)
	SUB  $1, R7
	CBNZ R7, pixel
	MOVD R4, R12
	ROWS(STOREROW)
	ADD  R16, R4
	ADD  $32, R5
	SUBS $8, R8
	BGT  tile
	NEXT(channels)

done:
	RET

// The sums of tap t are V(2t) and V(2t+1).
#define TAP(R, at, a, b) FLDPQ at(R), (F20, F21); FMLAV(a, 20, 18); FMLAV(b, 21, 19)
#define TAPS(M) \
	M(F0, F1); M(F2, F3); M(F4, F5); M(F6, F7); M(F8, F9); \
	M(F10, F11); M(F12, F13); M(F14, F15); M(F16, F17)
#define LOADTAP(FA, FB) FLDPQ.P 128(R12), (FA, FB)
#define STORETAP(FA, FB) FSTPQ.P (FA, FB), 128(R12)

// func depthwiseGradNEON(a *gradRow)
TEXT ·depthwiseGradNEON(SB), NOSPLIT, $0-8
	START(gradRow_Width, gradRow_NR)
	MOVD gradRow_Stride(R0), R8
	LSL  $7, R8

channels:
	AT(gradRow_DW, R12)
	TAPS(LOADTAP)
	AT(gradRow_Rows, R1)
	AT((gradRow_Rows+24), R2)
	AT((gradRow_Rows+48), R3)
	AT(gradRow_Grad, R4)
	MOVD R6, R7

pixel:
	FLDPQ.P 128(R4), (F18, F19)
	TAP(R1, 0, 0, 1); TAP(R1, 128, 2, 3); TAP(R1, 256, 4, 5)
	TAP(R2, 0, 6, 7); TAP(R2, 128, 8, 9); TAP(R2, 256, 10, 11)
	TAP(R3, 0, 12, 13); TAP(R3, 128, 14, 15); TAP(R3, 256, 16, 17)
	ADD  R8, R1
	ADD  R8, R2
	ADD  R8, R3
	SUB  $1, R7
	CBNZ R7, pixel
	AT(gradRow_DW, R12)
	TAPS(STORETAP)
	NEXT(channels)

done:
	RET

#define WEIGHT(FA, FB) FLDPQ (R12), (FA, FB); ADD R9, R12

// func depthwiseTransposedNEON(a *DepthwiseTransposed)
TEXT ·depthwiseTransposedNEON(SB), NOSPLIT, $0-8
	START(DepthwiseTransposed_Width, DepthwiseTransposed_NR)

channels:
	AT(DepthwiseTransposed_W, R12)
	WEIGHT(F0, F1); WEIGHT(F2, F3); WEIGHT(F4, F5)
	AT((DepthwiseTransposed_W+24), R12)
	WEIGHT(F6, F7); WEIGHT(F8, F9); WEIGHT(F10, F11)
	AT(DepthwiseTransposed_Rows, R1)
	AT((DepthwiseTransposed_Rows+24), R2)
	AT(DepthwiseTransposed_Dst, R3)
	FLDPQ.P 128(R1), (F16, F17)
	FLDPQ.P 128(R2), (F18, F19)
	MOVD R6, R7

pair:
	MOVE(12, 16); MOVE(13, 17); MOVE(14, 18); MOVE(15, 19)
	FMUL(20, 12, 2); FMUL(21, 13, 3)
	FMLAV(20, 14, 8); FMLAV(21, 15, 9)
	FSTPQ.P (F20, F21), 128(R3)
	SUB  $1, R7
	CBZ  R7, next
	FLDPQ.P 128(R1), (F16, F17)
	FLDPQ.P 128(R2), (F18, F19)
	FMUL(20, 12, 4); FMUL(21, 13, 5)
	FMLAV(20, 16, 0); FMLAV(21, 17, 1)
	FMLAV(20, 14, 10); FMLAV(21, 15, 11)
	FMLAV(20, 18, 6); FMLAV(21, 19, 7)
	FSTPQ.P (F20, F21), 128(R3)
	SUB  $1, R7
	CBNZ R7, pair

next:
	NEXT(channels)

done:
	RET
