//go:build !purego

#include "textflag.h"
#include "go_asm.h"
#include "neon_arm64.h"

#define ROWS 8
#define EACH EACH8
#define POINTWISE ·pointwise8NEON
#define FIRST ·first8NEON
#include "pointwise_arm64.h"
#include "first_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

#define ROWS 4
#define EACH EACH4
#define POINTWISE ·pointwise4NEON
#define FIRST ·first4NEON
#include "pointwise_arm64.h"
#include "first_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

#define ROWS 2
#define EACH EACH2
#define POINTWISE ·pointwise2NEON
#define FIRST ·first2NEON
#include "pointwise_arm64.h"
#include "first_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

#define ROWS 1
#define EACH EACH1
#define POINTWISE ·pointwise1NEON
#define FIRST ·first1NEON
#include "pointwise_arm64.h"
#include "first_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

// The depthwise kernels walk along the input columns, 8 channels at a time. Each
// column is loaded once, into V24 and V25, for all outputs that it counts for:
// sums that are begun at one column and stored at a later one. The weights of
// row j, column i are V(6j+2i) and the next. V26 is 0 and V27 is 6, or without
// ReLU6 the infinities.

// A row of a column for one, two or three sums, each with its weights.
#define ROW1(R, a, b, wa, wb) \
	FLDPQ.P 128(R), (F24, F25); FMLAV(a, 24, wa); FMLAV(b, 25, wb)
#define ROW2(R, a, b, wa, wb, c, d, wc, wd) \
	ROW1(R, a, b, wa, wb); FMLAV(c, 24, wc); FMLAV(d, 25, wd)
#define ROW3(R, a, b, wa, wb, c, d, wc, wd, e, f, we, wf) \
	ROW2(R, a, b, wa, wb, c, d, wc, wd); FMLAV(e, 24, we); FMLAV(f, 25, wf)

// Columns: the first, the middle, the last of a sum and the first of the next,
// and the last, the middle and the first of three sums.
#define FIRSTCOL(a, b) ROW1(R1, a, b, 0, 1); ROW1(R2, a, b, 6, 7); ROW1(R3, a, b, 12, 13)
#define MIDCOL(a, b) ROW1(R1, a, b, 2, 3); ROW1(R2, a, b, 8, 9); ROW1(R3, a, b, 14, 15)
#define MIDFIRST(a, b, c, d) \
	ROW2(R1, a, b, 2, 3, c, d, 0, 1); \
	ROW2(R2, a, b, 8, 9, c, d, 6, 7); \
	ROW2(R3, a, b, 14, 15, c, d, 12, 13)
#define LASTFIRST(a, b, c, d) \
	ROW2(R1, a, b, 4, 5, c, d, 0, 1); \
	ROW2(R2, a, b, 10, 11, c, d, 6, 7); \
	ROW2(R3, a, b, 16, 17, c, d, 12, 13)
#define ALLCOL(a, b, c, d, e, f) \
	ROW3(R1, a, b, 4, 5, c, d, 2, 3, e, f, 0, 1); \
	ROW3(R2, a, b, 10, 11, c, d, 8, 9, e, f, 6, 7); \
	ROW3(R3, a, b, 16, 17, c, d, 14, 15, e, f, 12, 13)

#define BEGIN(FA, FB) FLDPQ (R5), (FA, FB)
#define END(a, b, FA, FB) \
	FMAX(a, a, 26); FMAX(b, b, 26); FMIN(a, a, 27); FMIN(b, b, 27); \
	FSTPQ.P (FA, FB), 128(R4)

// What both strides do for every 8 channels: R1 to R3 are the rows, R4 the
// output, R5 the bias, R6 the end of the first row, R7 the end of the outputs.
#define UNCLAMP \
	MOVBU Depthwise_ReLU6(R0), R8; \
	CBNZ R8, 5(PC); \
	MOVD $0xff800000, R11; \
	VDUP R11, V26.S4; \
	MOVD $0x7f800000, R11; \
	VDUP R11, V27.S4

#define ARGS \
	MOVD a+0(FP), R0; \
	MOVD $0, R10; \
	VEOR V26.B16, V26.B16, V26.B16; \
	MOVD $0x40c00000, R11; \
	VDUP R11, V27.S4; \
	UNCLAMP; \
	MOVD Depthwise_Dst(R0), R4; \
	MOVD (Depthwise_cut+depthwiseCut_outputs)(R0), R7; \
	ADD  R7<<7, R4, R7; \
	MOVD Depthwise_Left(R0), R8; \
	MOVD Depthwise_NR(R0), R9; \
	LSL  $2, R9

// The addresses of the columns in three input rows.
#define ROWS \
	MOVD Depthwise_Rows(R0), R11; \
	MOVD (Depthwise_cut+depthwiseCut_column)(R0), R6; \
	ADD  R6<<7, R10, R6; \
	MOVD (R11), R1; ADD R6, R1; \
	MOVD 24(R11), R2; ADD R6, R2; \
	MOVD 48(R11), R3; ADD R6, R3

#define WEIGHTS(FA, FB) FLDPQ (R11), (FA, FB); ADD R9, R11
#define CHANNELS \
	ROWS; \
	MOVD Depthwise_Dst(R0), R4; ADD R10, R4; \
	MOVD Depthwise_Bias(R0), R5; ADD R10, R5; \
	MOVD Depthwise_Width(R0), R6; ADD R6<<7, R1, R6; \
	MOVD Depthwise_W(R0), R11; ADD R10, R11; \
	WEIGHTS(F0, F1); WEIGHTS(F2, F3); WEIGHTS(F4, F5); \
	WEIGHTS(F6, F7); WEIGHTS(F8, F9); WEIGHTS(F10, F11); \
	WEIGHTS(F12, F13); WEIGHTS(F14, F15); WEIGHTS(F16, F17)

// func depthwise1NEON(a *Depthwise)
TEXT ·depthwise1NEON(SB), NOSPLIT, $0-8
	ARGS

channels:
	CHANNELS
	BEGIN(F18, F19)
	BEGIN(F20, F21)
	CBNZ R8, padded
	FIRSTCOL(18, 19)

padded:
	MIDFIRST(18, 19, 20, 21)

loop:
	CMP R6, R1
	BEQ last0
	BEGIN(F22, F23)
	ALLCOL(18, 19, 20, 21, 22, 23)
	END(18, 19, F18, F19)
	CMP R6, R1
	BEQ last1
	BEGIN(F18, F19)
	ALLCOL(20, 21, 22, 23, 18, 19)
	END(20, 21, F20, F21)
	CMP R6, R1
	BEQ last2
	BEGIN(F20, F21)
	ALLCOL(22, 23, 18, 19, 20, 21)
	END(22, 23, F22, F23)
	B   loop

	// The sum that is left is an output, or lies behind the last one.
last0:
	CMP R7, R4
	BHS next
	END(18, 19, F18, F19)
	B   next

last1:
	CMP R7, R4
	BHS next
	END(20, 21, F20, F21)
	B   next

last2:
	CMP R7, R4
	BHS next
	END(22, 23, F22, F23)

next:
	ADD $32, R10
	CMP R9, R10
	BLT channels
	RET

// func depthwise2NEON(a *Depthwise)
TEXT ·depthwise2NEON(SB), NOSPLIT, $0-8
	ARGS

channels:
	CHANNELS
	BEGIN(F18, F19)
	CBNZ R8, loop
	FIRSTCOL(18, 19)

loop:
	CMP R6, R1
	BEQ last0
	MIDCOL(18, 19)
	CMP R6, R1
	BEQ last0
	BEGIN(F20, F21)
	LASTFIRST(18, 19, 20, 21)
	END(18, 19, F18, F19)
	CMP R6, R1
	BEQ last1
	MIDCOL(20, 21)
	CMP R6, R1
	BEQ last1
	BEGIN(F18, F19)
	LASTFIRST(20, 21, 18, 19)
	END(20, 21, F20, F21)
	B   loop

	// The sum that is left is an output, or lies behind the last one.
last0:
	CMP R7, R4
	BHS next
	END(18, 19, F18, F19)
	B   next

last1:
	CMP R7, R4
	BHS next
	END(20, 21, F20, F21)

next:
	ADD $32, R10
	CMP R9, R10
	BLT channels
	RET

// func poolNEON(a *Pool)
TEXT ·poolNEON(SB), NOSPLIT, $0-8
	MOVD  a+0(FP), R0
	MOVD  Pool_Dst(R0), R1
	MOVD  Pool_Src(R0), R2
	MOVD  Pool_Pixels(R0), R3
	SCVTFS R3, F16
	VDUP  V16.S[0], V16.S4
	VEOR  V0.B16, V0.B16, V0.B16
	MOVE(1, 0); MOVE(2, 0); MOVE(3, 0); MOVE(4, 0); MOVE(5, 0); MOVE(6, 0); MOVE(7, 0)

pixel:
	FLDPQ (R2), (F8, F9)
	FLDPQ 32(R2), (F10, F11)
	FLDPQ 64(R2), (F12, F13)
	FLDPQ 96(R2), (F14, F15)
	FADD(0, 0, 8); FADD(1, 1, 9); FADD(2, 2, 10); FADD(3, 3, 11)
	FADD(4, 4, 12); FADD(5, 5, 13); FADD(6, 6, 14); FADD(7, 7, 15)
	ADD   $128, R2
	SUB   $1, R3
	CBNZ  R3, pixel
	FDIV(0, 0, 16); FDIV(1, 1, 16); FDIV(2, 2, 16); FDIV(3, 3, 16)
	FDIV(4, 4, 16); FDIV(5, 5, 16); FDIV(6, 6, 16); FDIV(7, 7, 16)
	FSTPQ (F0, F1), (R1)
	FSTPQ (F2, F3), 32(R1)
	FSTPQ (F4, F5), 64(R1)
	FSTPQ (F6, F7), 96(R1)
	RET

#define CLEAR(p, a, b, x, FA, FB, FX) MOVE(a, 31); MOVE(b, 31)
#define SQUARE(p, a, b, x, FA, FB, FX) FMLAV(a, a, a); FMLAV(b, b, b)

// func peakNEON(iterations int)
TEXT ·peakNEON(SB), NOSPLIT, $0-8
	MOVD iterations+0(FP), R0
	VEOR V31.B16, V31.B16, V31.B16
	EACH8(CLEAR)

loop:
	EACH8(SQUARE)
	SUB  $1, R0
	CBNZ R0, loop
	RET
