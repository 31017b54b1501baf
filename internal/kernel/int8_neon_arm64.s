//go:build !purego

// The 8-bit kernels for any CPU with Advanced SIMD: they multiply 16-bit integers.

#include "textflag.h"
#include "go_asm.h"
#include "int8_neon_arm64.h"

#define SETUP
#define WEIGHTS Filter_W16
#define WSHIFT 1
#define MANY 2

// Inputs of two groups, and of one; weights of a k for 8 channels.
#define IN8(p, a, b, x, FA, FB, FX) FMOVD (p*STEP)(R14), FX
#define IN4(p, a, b, x, FA, FB, FX) FMOVS (p*STEP)(R14), FX
#define WIDE(p, a, b, x, FA, FB, FX) UXTL(x, x)
#define W(F) FMOVQ (R13), F; ADD R9, R13
#define LANE0(p, a, b, x, FA, FB, FX) SMLALL(a, 8, x, 0); SMLAL2L(b, 8, x, 0)
#define LANE1(p, a, b, x, FA, FB, FX) SMLALL(a, 9, x, 1); SMLAL2L(b, 9, x, 1)
#define LANE2(p, a, b, x, FA, FB, FX) SMLALL(a, 10, x, 2); SMLAL2L(b, 10, x, 2)
#define LANE3(p, a, b, x, FA, FB, FX) SMLALL(a, 11, x, 3); SMLAL2L(b, 11, x, 3)
#define LANE4(p, a, b, x, FA, FB, FX) SMLALL(a, 8, x, 4); SMLAL2L(b, 8, x, 4)
#define LANE5(p, a, b, x, FA, FB, FX) SMLALL(a, 9, x, 5); SMLAL2L(b, 9, x, 5)
#define LANE6(p, a, b, x, FA, FB, FX) SMLALL(a, 10, x, 6); SMLAL2L(b, 10, x, 6)
#define LANE7(p, a, b, x, FA, FB, FX) SMLALL(a, 11, x, 7); SMLAL2L(b, 11, x, 7)
#define FOUR W(F8); W(F9); W(F10); W(F11)

#define MANYSTEP \
	EACH(IN8); ADD $8, R14; EACH(WIDE); \
	FOUR; EACH(LANE0); EACH(LANE1); EACH(LANE2); EACH(LANE3); \
	FOUR; EACH(LANE4); EACH(LANE5); EACH(LANE6); EACH(LANE7)
#define ONESTEP \
	EACH(IN4); ADD $4, R14; EACH(WIDE); \
	FOUR; EACH(LANE0); EACH(LANE1); EACH(LANE2); EACH(LANE3)

#define ROWS 8
#define EACH EACH8
#define POINTWISE ·pointwise8Int8NEON
#define FIRST ·first8Int8NEON
#include "int8_tile_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

#define ROWS 4
#define EACH EACH4
#define POINTWISE ·pointwise4Int8NEON
#define FIRST ·first4Int8NEON
#include "int8_tile_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

#define ROWS 2
#define EACH EACH2
#define POINTWISE ·pointwise2Int8NEON
#define FIRST ·first2Int8NEON
#include "int8_tile_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

#define ROWS 1
#define EACH EACH1
#define POINTWISE ·pointwise1Int8NEON
#define FIRST ·first1Int8NEON
#include "int8_tile_arm64.h"
#undef ROWS
#undef EACH
#undef POINTWISE
#undef FIRST

// The depthwise kernels walk along the input columns, 8 channels at a time. A
// column's three rows are V24 to V26, V0 to V5 the sums of three outputs, V12 to
// V20 the weights by column and row, V27 to V29 what PACK takes.

#define CHANNELBYTES 8

// What both strides do for every 8 channels: R1 to R3 are the rows, R4 the
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
	RANGE(DepthwiseInt8_Range)

#define CHANNELS \
	MOVD DepthwiseInt8_Rows(R0), R1; ADD R10, R1; \
	MOVD (DepthwiseInt8_Rows+24)(R0), R2; ADD R10, R2; \
	MOVD (DepthwiseInt8_Rows+48)(R0), R3; ADD R10, R3; \
	MOVD DepthwiseInt8_Dst(R0), R4; ADD R10, R4; \
	MOVD DepthwiseInt8_Width(R0), R6; ADD R6<<5, R1, R6; \
	MOVD Filter_Bias(R21), R5; ADD R10<<2, R5; \
	MOVD Filter_M(R21), R12; ADD R10<<2, R12; FLDPQ (R12), (F8, F9); \
	MOVD Filter_W16(R21), R11; ADD R10<<1, R11; \
	FMOVQ (R11), F14; FMOVQ 64(R11), F15; FMOVQ 128(R11), F16; \
	FMOVQ 256(R11), F17; FMOVQ 320(R11), F18; FMOVQ 384(R11), F19; \
	FMOVQ 512(R11), F20; FMOVQ 576(R11), F21; FMOVQ 640(R11), F22

#define SUM0 0
#define SUM1 2
#define SUM2 4
#define TAP(s, column) \
	SMLAL((s), 24, (14+3*(column))); SMLAL2((s)+1, 24, (14+3*(column))); \
	SMLAL((s), 25, (15+3*(column))); SMLAL2((s)+1, 25, (15+3*(column))); \
	SMLAL((s), 26, (16+3*(column))); SMLAL2((s)+1, 26, (16+3*(column)))

#define COLUMN \
	FMOVD.P 32(R1), F24; FMOVD.P 32(R2), F25; FMOVD.P 32(R3), F26; \
	UXTL(24, 24); UXTL(25, 25); UXTL(26, 26)
#define PADDING VDUP R17, V24.H8; MOVE(25, 24); MOVE(26, 24)

#define BEGIN0 FLDPQ (R5), (F0, F1)
#define BEGIN1 FLDPQ (R5), (F2, F3)
#define BEGIN2 FLDPQ (R5), (F4, F5)
#define END(a, FA) \
	SCVTF((a)); SCVTF((a)+1); FMUL((a), (a), 8); FMUL((a)+1, (a)+1, 9); \
	FCVTNS((a)); FCVTNS((a)+1); PACK((a), (a)+1); FMOVD.P FA, 32(R4)
#define END0 END(0, F0)
#define END1 END(2, F2)
#define END2 END(4, F4)

// func depthwise1Int8NEON(a *DepthwiseInt8)
TEXT ·depthwise1Int8NEON(SB), NOSPLIT, $0-8
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

// func depthwise2Int8NEON(a *DepthwiseInt8)
TEXT ·depthwise2Int8NEON(SB), NOSPLIT, $0-8
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

// func addInt8NEON(a *AddInt8)
TEXT ·addInt8NEON(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R0
	MOVD AddInt8_Dst(R0), R4
	MOVD (AddInt8_Dst+8)(R0), R6
	MOVD AddInt8_A(R0), R1
	MOVD AddInt8_B(R0), R2
	MOVW AddInt8_ScaleA(R0), R7; VDUP R7, V20.S4
	MOVW AddInt8_ScaleB(R0), R7; VDUP R7, V21.S4
	MOVW AddInt8_Offset(R0), R7; VDUP R7, V22.S4
	MOVW AddInt8_Origin(R0), R7; VDUP R7, V24.S4
	RANGE(AddInt8_Range)
	MOVW (AddInt8_Range+Range_Max)(R0), R7
	MOVW (AddInt8_Range+Range_Zero)(R0), R8
	SUB  R8, R7
	SCVTFWS R7, F23
	VDUP V23.S[0], V23.S4
	CBZ  R6, done

loop:
	FMOVD.P 8(R1), F0
	FMOVD.P 8(R2), F2
	UXTL(0, 0); UXTL42(1, 0); UXTL4(0, 0); SCVTF(0); SCVTF(1)
	UXTL(2, 2); UXTL42(3, 2); UXTL4(2, 2); SCVTF(2); SCVTF(3)
	FSUB(0, 0, 24); FSUB(1, 1, 24); FSUB(2, 2, 24); FSUB(3, 3, 24)
	MOVE(4, 22); MOVE(5, 22)
	FMLA(4, 2, 21); FMLA(5, 3, 21)
	FMLA(4, 0, 20); FMLA(5, 1, 20)
	FMINNM(4, 4, 23); FMINNM(5, 5, 23)
	FCVTNS(4); FCVTNS(5)
	PACK(4, 5)
	FMOVD.P F4, 8(R4)
	SUBS $8, R6
	BNE  loop

done:
	RET

// func quantizeInt8NEON(a *QuantizeInt8)
TEXT ·quantizeInt8NEON(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R0
	MOVD QuantizeInt8_Dst(R0), R4
	MOVD (QuantizeInt8_Dst+8)(R0), R6
	MOVD QuantizeInt8_Src(R0), R1
	MOVW QuantizeInt8_M(R0), R7; VDUP R7, V20.S4
	RANGE(QuantizeInt8_Range)
	MOVW (QuantizeInt8_Range+Range_Max)(R0), R7
	MOVW (QuantizeInt8_Range+Range_Zero)(R0), R8
	SUB  R8, R7
	SCVTFWS R7, F21
	VDUP V21.S[0], V21.S4
	CBZ  R6, done

loop:
	FLDPQ.P 32(R1), (F0, F1)
	FMUL(0, 0, 20); FMUL(1, 1, 20)
	FMINNM(0, 0, 21); FMINNM(1, 1, 21)
	FCVTNS(0); FCVTNS(1)
	PACK(0, 1)
	FMOVD.P F0, 8(R4)
	SUBS $8, R6
	BNE  loop

done:
	RET

// func poolInt8NEON(a *PoolInt8)
TEXT ·poolInt8NEON(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R0
	MOVD PoolInt8_Src(R0), R1
	MOVD PoolInt8_Pixels(R0), R6
	MOVBU PoolInt8_Zero(R0), R7
	MUL  R6, R7
	NEG  R7, R7
	VDUP R7, V16.S4
	MOVE(17, 16); MOVE(18, 16); MOVE(19, 16); MOVE(20, 16); MOVE(21, 16); MOVE(22, 16); MOVE(23, 16)

pixel:
	FLDPQ.P 32(R1), (F0, F1)
	UXTL2(2, 0); UXTL(0, 0); UXTL2(3, 1); UXTL(1, 1)
	UADDW(16, 16, 0); UADDW2(17, 17, 0); UADDW(18, 18, 2); UADDW2(19, 19, 2)
	UADDW(20, 20, 1); UADDW2(21, 21, 1); UADDW(22, 22, 3); UADDW2(23, 23, 3)
	SUBS $1, R6
	BNE  pixel
	MOVW PoolInt8_M(R0), R7
	VDUP R7, V8.S4
	MOVE(9, 8)
	EACH4(SCALE)
	MOVD PoolInt8_Float(R0), R12
	CBZ  R12, bytes
	FSTPQ (F16, F17), (R12)
	FSTPQ (F18, F19), 32(R12)
	FSTPQ (F20, F21), 64(R12)
	FSTPQ (F22, F23), 96(R12)
	RET

bytes:
	RANGE(PoolInt8_Range)
	FCVTNS(16); FCVTNS(17); FCVTNS(18); FCVTNS(19); FCVTNS(20); FCVTNS(21); FCVTNS(22); FCVTNS(23)
	PACK(16, 17); PACK(18, 19); PACK(20, 21); PACK(22, 23)
	MOVD PoolInt8_Dst(R0), R12
	FMOVD F16, (R12)
	FMOVD F18, 8(R12)
	FMOVD F20, 16(R12)
	FMOVD F22, 24(R12)
	RET

#define CLEAR(p, a, b, x, FA, FB, FX) MOVE(a, 15); MOVE(b, 15)
#define PRODUCTS(p, a, b, x, FA, FB, FX) SMLAL(a, 14, 15); SMLAL2(b, 14, 15)

// func peakInt8NEON(iterations int)
TEXT ·peakInt8NEON(SB), NOSPLIT, $0-8
	MOVD iterations+0(FP), R0
	VEOR V15.B16, V15.B16, V15.B16
	MOVE(14, 15)
	EACH8(CLEAR)

loop:
	EACH8(PRODUCTS)
	SUB  $1, R0
	CBNZ R0, loop
	RET
