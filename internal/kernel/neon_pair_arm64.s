//go:build !purego

#include "textflag.h"
#include "go_asm.h"
#include "neon_arm64.h"

// Depthwise convolutions of two output rows, 4 channels at a time. As those of one
// row they walk along the input columns; each column of a row is loaded once, into
// V16, for all outputs of both rows that it counts for. The weights are V0 to V8 and
// the bias is V9. The first row's sums are V10 to V12, the second's V13 to V15. V17
// is 0 and V18 is 6, or without ReLU6 the infinities.

#define X(R) FMOVQ.P 128(R), F16

// What a column of an input row adds, given the row k of the weights and r, 0 for
// the first output row and 3 for the second. The number is that of the sum that
// comes first; for FROM the column is its left one, for MID its middle one.
#define FROM0(k, r) FMLAV(10+r, 16, 3*k)
#define FROM1(k, r) FMLAV(11+r, 16, 3*k)
#define MID0(k, r) FMLAV(10+r, 16, 3*k+1)
#define MID1(k, r) FMLAV(11+r, 16, 3*k+1)
#define TWO(k, r) MID0(k, r); FROM1(k, r)
#define ALL0(k, r) FMLAV(10+r, 16, 3*k+2); FMLAV(11+r, 16, 3*k+1); FMLAV(12+r, 16, 3*k)
#define ALL1(k, r) FMLAV(11+r, 16, 3*k+2); FMLAV(12+r, 16, 3*k+1); FMLAV(10+r, 16, 3*k)
#define ALL2(k, r) FMLAV(12+r, 16, 3*k+2); FMLAV(10+r, 16, 3*k+1); FMLAV(11+r, 16, 3*k)
#define LAST0(k, r) FMLAV(10+r, 16, 3*k+2); FROM1(k, r)
#define LAST1(k, r) FMLAV(11+r, 16, 3*k+2); FROM0(k, r)

// A column of the input rows at stride 1, and at stride 2.
#define COLUMN1(T) \
	X(R1); T(0, 0); \
	X(R2); T(1, 0); T(0, 3); \
	X(R3); T(2, 0); T(1, 3); \
	X(R4); T(2, 3)
#define COLUMN2(T) \
	X(R1); T(0, 0); \
	X(R2); T(1, 0); \
	X(R3); T(2, 0); T(0, 3); \
	X(R4); T(1, 3); \
	X(R5); T(2, 3)

#define BEGIN(s) MOVE(s, 9); MOVE(s+3, 9)
#define END(s, FA, FB) \
	FMAX(s, s, 17); FMAX(s+3, s+3, 17); FMIN(s, s, 18); FMIN(s+3, s+3, 18); \
	FMOVQ.P FA, 128(R20); FMOVQ.P FB, 128(R21)

// R0 is the argument, R7 the end of the first row's outputs, R8 the padding on the
// left, R9 the length of a row of weights, R10 the channels' place in a pixel, R14
// the first row's outputs and R15 the distance of the second's.
#define ARGS \
	MOVD a+0(FP), R0; \
	MOVD $0, R10; \
	VEOR V17.B16, V17.B16, V17.B16; \
	MOVD $0x40c00000, R11; \
	VDUP R11, V18.S4; \
	MOVBU Depthwise_ReLU6(R0), R8; \
	CBNZ R8, 5(PC); \
	MOVD $0xff800000, R11; \
	VDUP R11, V17.S4; \
	MOVD $0x7f800000, R11; \
	VDUP R11, V18.S4; \
	MOVD Depthwise_Dst(R0), R14; \
	MOVD (Depthwise_cut+depthwiseCut_outputs)(R0), R7; \
	ADD  R7<<7, R14, R7; \
	MOVD (Depthwise_cut+depthwiseCut_pitch)(R0), R15; \
	LSL  $2, R15; \
	MOVD Depthwise_Left(R0), R8; \
	MOVD Depthwise_NR(R0), R9; \
	LSL  $2, R9

// What every 4 channels begin with: R1 to R5 are the input rows, of which the last
// counts at stride 2 only, R6 is the end of the first, R20 and R21 are the outputs.
#define ROW(n, R) MOVD (24*n)(R11), R; ADD R6, R
#define WEIGHT(F) FMOVQ (R11), F; ADD R9, R11
#define CHANNELS \
	MOVD Depthwise_Rows(R0), R11; \
	MOVD (Depthwise_cut+depthwiseCut_column)(R0), R6; \
	ADD  R6<<7, R10, R6; \
	ROW(0, R1); ROW(1, R2); ROW(2, R3); ROW(3, R4); \
	LASTROW; \
	MOVD Depthwise_Width(R0), R6; ADD R6<<7, R1, R6; \
	MOVD Depthwise_W(R0), R11; ADD R10, R11; \
	WEIGHT(F0); WEIGHT(F1); WEIGHT(F2); WEIGHT(F3); WEIGHT(F4); \
	WEIGHT(F5); WEIGHT(F6); WEIGHT(F7); WEIGHT(F8); \
	MOVD Depthwise_Bias(R0), R11; ADD R10, R11; FMOVQ (R11), F9; \
	ADD  R10, R14, R20; ADD R15, R20, R21

#define LASTROW

// func depthwise1PairNEON(a *Depthwise)
TEXT ·depthwise1PairNEON(SB), NOSPLIT, $0-8
	ARGS

channels:
	CHANNELS
	BEGIN(10)
	BEGIN(11)
	CBNZ R8, padded
	COLUMN1(FROM0)

padded:
	COLUMN1(TWO)

loop:
	CMP R6, R1
	BEQ last0
	BEGIN(12)
	COLUMN1(ALL0)
	END(10, F10, F13)
	CMP R6, R1
	BEQ last1
	BEGIN(10)
	COLUMN1(ALL1)
	END(11, F11, F14)
	CMP R6, R1
	BEQ last2
	BEGIN(11)
	COLUMN1(ALL2)
	END(12, F12, F15)
	B   loop

	// The sums that are left are outputs, or lie behind the last ones.
last0:
	CMP R7, R20
	BHS next
	END(10, F10, F13)
	B   next

last1:
	CMP R7, R20
	BHS next
	END(11, F11, F14)
	B   next

last2:
	CMP R7, R20
	BHS next
	END(12, F12, F15)

next:
	ADD $16, R10
	CMP R9, R10
	BLT channels
	RET

#undef LASTROW
#define LASTROW ROW(4, R5)

// func depthwise2PairNEON(a *Depthwise)
TEXT ·depthwise2PairNEON(SB), NOSPLIT, $0-8
	ARGS

channels:
	CHANNELS
	BEGIN(10)
	CBNZ R8, loop
	COLUMN2(FROM0)

loop:
	CMP R6, R1
	BEQ last0
	COLUMN2(MID0)
	CMP R6, R1
	BEQ last0
	BEGIN(11)
	COLUMN2(LAST0)
	END(10, F10, F13)
	CMP R6, R1
	BEQ last1
	COLUMN2(MID1)
	CMP R6, R1
	BEQ last1
	BEGIN(10)
	COLUMN2(LAST1)
	END(11, F11, F14)
	B   loop

	// The sums that are left are outputs, or lie behind the last ones.
last0:
	CMP R7, R20
	BHS next
	END(10, F10, F13)
	B   next

last1:
	CMP R7, R20
	BHS next
	END(11, F11, F14)

next:
	ADD $16, R10
	CMP R9, R10
	BLT channels
	RET
