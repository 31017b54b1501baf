//go:build !purego

// The 8-bit kernels that need the dot product, SDOT: it multiplies signed bytes,
// so inputs are taken minus 128, for which the packed bias makes up. V15 and in
// depthwise convolutions V31 are 128s.

#include "textflag.h"
#include "go_asm.h"
#include "int8_neon_arm64.h"

#define SETUP MOVD $128, R22; VDUP R22, V15.B16
#define WEIGHTS Filter_W8
#define WSHIFT 0
#define MANY 4

// Inputs of four groups, and of one; weights of a group for 8 channels.
#define IN16(p, a, b, x, FA, FB, FX) FMOVQ (p*STEP)(R14), FX
#define IN4(p, a, b, x, FA, FB, FX) FMOVS (p*STEP)(R14), FX
#define SIGNED(p, a, b, x, FA, FB, FX) EOR(x, x, 15)
#define W(FA, FB) FLDPQ (R13), (FA, FB); ADD R9, R13
#define LANE0(p, a, b, x, FA, FB, FX) SDOTL(a, 8, x, 0); SDOTL(b, 9, x, 0)
#define LANE1(p, a, b, x, FA, FB, FX) SDOTL(a, 10, x, 1); SDOTL(b, 11, x, 1)
#define LANE2(p, a, b, x, FA, FB, FX) SDOTL(a, 12, x, 2); SDOTL(b, 13, x, 2)
#define LANE3(p, a, b, x, FA, FB, FX) SDOTL(a, 8, x, 3); SDOTL(b, 9, x, 3)

#define MANYSTEP \
	EACH(IN16); ADD $16, R14; EACH(SIGNED); \
	W(F8, F9); W(F10, F11); EACH(LANE0); W(F12, F13); EACH(LANE1); W(F8, F9); EACH(LANE2); EACH(LANE3)
#define ONESTEP EACH(IN4); ADD $4, R14; EACH(SIGNED); W(F8, F9); EACH(LANE0)

#define ROWS 8
#define EACH EACH8
#define POINTWISE ·pointwise8Int8Dotprod
#define FIRST ·first8Int8Dotprod
#include "int8_tile_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

#define ROWS 4
#define EACH EACH4
#define POINTWISE ·pointwise4Int8Dotprod
#define FIRST ·first4Int8Dotprod
#include "int8_tile_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

#define ROWS 2
#define EACH EACH2
#define POINTWISE ·pointwise2Int8Dotprod
#define FIRST ·first2Int8Dotprod
#include "int8_tile_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

#define ROWS 1
#define EACH EACH1
#define POINTWISE ·pointwise1Int8Dotprod
#define FIRST ·first1Int8Dotprod
#include "int8_tile_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

// The depthwise kernels walk along the input columns, 16 channels at a time. The
// bytes of a column's three rows, the last one twice, are interleaved into the
// vectors V24, V27, V26 and V25 of four channels each; the second last row meets
// weights of zero. V0 to V11 are the sums of three outputs, V12 to V23 the weights
// of three columns.

#define CHANNELBYTES 16

// What both strides do for every 16 channels: R1 to R3 are the rows, R4 the
// output, R5 the bias, R6 the end of the first row, R7 the end of the outputs, R12
// what the sums are multiplied by, R17 the padding.
#define ARGS \
	MOVD a+0(FP), R0; \
	MOVD $0, R10; \
	MOVD DepthwiseInt8_Filter(R0), R21; \
	MOVD DepthwiseInt8_Dst(R0), R4; \
	MOVD (DepthwiseInt8_Dst+8)(R0), R7; \
	ADD  R7, R4, R7; \
	MOVD DepthwiseInt8_Left(R0), R8; \
	MOVBU DepthwiseInt8_Pad(R0), R17; \
	MOVD $128, R22; VDUP R22, V31.B16; \
	MOVW (DepthwiseInt8_Range+Range_Zero)(R0), R22; VDUP R22, V30.H8; \
	MOVW (DepthwiseInt8_Range+Range_Min)(R0), R15; \
	MOVW (DepthwiseInt8_Range+Range_Max)(R0), R16

#define CHANNELS \
	MOVD DepthwiseInt8_Rows(R0), R1; ADD R10, R1; \
	MOVD (DepthwiseInt8_Rows+24)(R0), R2; ADD R10, R2; \
	MOVD (DepthwiseInt8_Rows+48)(R0), R3; ADD R10, R3; \
	MOVD DepthwiseInt8_Dst(R0), R4; ADD R10, R4; \
	MOVD DepthwiseInt8_Width(R0), R6; ADD R6<<5, R1, R6; \
	MOVD Filter_Bias(R21), R5; ADD R10<<2, R5; \
	MOVD Filter_M(R21), R12; ADD R10<<2, R12; \
	MOVD Filter_W8(R21), R11; ADD R10<<2, R11; \
	FLDPQ (R11), (F12, F13); FLDPQ 32(R11), (F14, F15); \
	FLDPQ 128(R11), (F16, F17); FLDPQ 160(R11), (F18, F19); \
	FLDPQ 256(R11), (F20, F21); FLDPQ 288(R11), (F22, F23)

#define SUM0 0
#define SUM1 4
#define SUM2 8
#define TAP(s, column) \
	SDOT((s), 24, (12+4*(column))); SDOT((s)+1, 27, (13+4*(column))); \
	SDOT((s)+2, 26, (14+4*(column))); SDOT((s)+3, 25, (15+4*(column)))

#define COLUMN \
	FMOVQ.P 32(R1), F24; FMOVQ.P 32(R2), F25; FMOVQ.P 32(R3), F26; \
	EOR(24, 24, 31); EOR(25, 25, 31); EOR(26, 26, 31); \
	ZIP1(27, 24, 25); ZIP2(25, 24, 25); ZIP1(28, 26, 26); ZIP2(29, 26, 26); \
	ZIP1H(24, 27, 28); ZIP2H(27, 27, 28); ZIP1H(26, 25, 29); ZIP2H(25, 25, 29)
#define PADDING VDUP R17, V24.B16; EOR(24, 24, 31); MOVE(25, 24); MOVE(26, 24); MOVE(27, 24)

#define BEGIN(FA, FB, FC, FD) FLDPQ (R5), (FA, FB); FLDPQ 32(R5), (FC, FD)
#define BEGIN0 BEGIN(F0, F1, F2, F3)
#define BEGIN1 BEGIN(F4, F5, F6, F7)
#define BEGIN2 BEGIN(F8, F9, F10, F11)
#define END(a, FA) \
	FLDPQ (R12), (F24, F25); FLDPQ 32(R12), (F26, F27); \
	SCVTF((a)); SCVTF((a)+1); SCVTF((a)+2); SCVTF((a)+3); \
	FMUL((a), (a), 24); FMUL((a)+1, (a)+1, 25); FMUL((a)+2, (a)+2, 26); FMUL((a)+3, (a)+3, 27); \
	FCVTNS((a)); FCVTNS((a)+1); FCVTNS((a)+2); FCVTNS((a)+3); \
	VDUP R15, V24.B16; VDUP R16, V25.B16; \
	SQXTN((a), (a)); SQXTN2((a), (a)+1); SQXTN((a)+2, (a)+2); SQXTN2((a)+2, (a)+3); \
	SQADD((a), (a), 30); SQADD((a)+2, (a)+2, 30); \
	SQXTUN((a), (a)); SQXTUN2((a), (a)+2); \
	UMAX((a), (a), 24); UMIN((a), (a), 25); FMOVQ.P FA, 32(R4)
#define END0 END(0, F0)
#define END1 END(4, F4)
#define END2 END(8, F8)

// func depthwise1Int8Dotprod(a *DepthwiseInt8)
TEXT ·depthwise1Int8Dotprod(SB), NOSPLIT, $0-8
	ARGS

channels:
	CHANNELS
	BEGIN0
	BEGIN1
	PADDING
	TAP(SUM0, 0)
	COLUMN
	TAP(SUM0, 1)
	TAP(SUM1, 0)

loop:
	CMP R6, R1
	BEQ last0
	BEGIN2
	COLUMN
	TAP(SUM0, 2)
	TAP(SUM1, 1)
	TAP(SUM2, 0)
	END0
	CMP R6, R1
	BEQ last1
	BEGIN0
	COLUMN
	TAP(SUM1, 2)
	TAP(SUM2, 1)
	TAP(SUM0, 0)
	END1
	CMP R6, R1
	BEQ last2
	BEGIN1
	COLUMN
	TAP(SUM2, 2)
	TAP(SUM0, 1)
	TAP(SUM1, 0)
	END2
	B   loop

last0:
	PADDING
	TAP(SUM0, 2)
	END0
	B   next

last1:
	PADDING
	TAP(SUM1, 2)
	END1
	B   next

last2:
	PADDING
	TAP(SUM2, 2)
	END2

next:
	ADD $CHANNELBYTES, R10
	CMP $32, R10
	BLT channels
	RET

// func depthwise2Int8Dotprod(a *DepthwiseInt8)
TEXT ·depthwise2Int8Dotprod(SB), NOSPLIT, $0-8
	ARGS

channels:
	CHANNELS
	BEGIN0
	CBZ  R8, unpadded
	PADDING
	TAP(SUM0, 0)
	B    loop

unpadded:
	COLUMN
	TAP(SUM0, 0)

loop:
	CMP R6, R1
	BEQ first0
	COLUMN
	TAP(SUM0, 1)
	CMP R6, R1
	BEQ last0
	BEGIN1
	COLUMN
	TAP(SUM0, 2)
	TAP(SUM1, 0)
	END0
	CMP R6, R1
	BEQ first1
	COLUMN
	TAP(SUM1, 1)
	CMP R6, R1
	BEQ last1
	BEGIN0
	COLUMN
	TAP(SUM1, 2)
	TAP(SUM0, 0)
	END1
	B   loop

	// The sum that has had its first column only is an output, or lies behind the
	// last one.
first0:
	CMP R7, R4
	BHS next
	PADDING
	TAP(SUM0, 1)

last0:
	PADDING
	TAP(SUM0, 2)
	END0
	B   next

first1:
	CMP R7, R4
	BHS next
	PADDING
	TAP(SUM1, 1)

last1:
	PADDING
	TAP(SUM1, 2)
	END1

next:
	ADD $CHANNELBYTES, R10
	CMP $32, R10
	BLT channels
	RET

#define CLEAR(p, a, b, x, FA, FB, FX) MOVE(a, 15); MOVE(b, 15)
#define PRODUCTS(p, a, b, x, FA, FB, FX) SDOT(a, 14, 15); SDOT(b, 14, 15)

// func peakInt8Dotprod(iterations int)
TEXT ·peakInt8Dotprod(SB), NOSPLIT, $0-8
	MOVD iterations+0(FP), R0
	VEOR V15.B16, V15.B16, V15.B16
	MOVE(14, 15)
	EACH8(CLEAR)

loop:
	EACH8(PRODUCTS)
	SUB  $1, R0
	CBNZ R0, loop
	RET
