//go:build !purego

// Products of 4 rows with 2 queries at a time. Row p's sums are V(16+2p) and V(17+2p).

#include "textflag.h"
#include "go_asm.h"
#include "int8_neon_arm64.h"

#define ADDP(d, n, m) VECTOR3(0x4ea0bc00, d, n, m) // sums of neighbours, of n and then of m
#define SXTL(d, n) VECTOR2(0x0f08a400, d, n)       // 8 signed bytes to 16 bits
#define SXTL2(d, n) VECTOR2(0x4f08a400, d, n)      // the high 8

// R1 is where the products go, R8 bytes from a row to the next; R2 the rows and R3 the
// queries, R7 bytes each; R6 the number of rows.
#define ARGS \
	MOVD a+0(FP), R0; \
	MOVD DotInt8_Dst(R0), R1; \
	MOVD DotInt8_Rows(R0), R2; \
	MOVD DotInt8_Queries(R0), R3; \
	MOVD DotInt8_N(R0), R6; \
	MOVD DotInt8_Stride(R0), R7; \
	MOVD DotInt8_Q(R0), R8; \
	LSL  $2, R8

#define TILE \
	MOVD R3, R10; ADD R7, R3, R11; \
	MOVD R2, R12; ADD R7, R2, R13; ADD R7, R13, R14; ADD R7, R14, R15; \
	ADD  R7, R15, R2; \
	MOVD R7, R19

// STORE adds up the parts of the sums of two rows, and stores them.
#define STORE(a, b, c, d, FA, VA) \
	ADDP(a, a, b); ADDP(c, c, d); ADDP(a, a, c); \
	FMOVD FA, (R1); ADD R8, R1; \
	VMOV VA, R20; MOVD R20, (R1); ADD R8, R1

// func dot2Int8Dotprod(a *DotInt8)
//
// The product is of signed bytes, so rows are taken minus 128, and the sums begin with 128
// times those of the queries' values.
TEXT ·dot2Int8Dotprod(SB), NOSPLIT, $0-8
	ARGS
	MOVD $128, R20
	VDUP R20, V15.B16
	MOVD $1, R20
	VDUP R20, V14.B16
	VEOR V6.B16, V6.B16, V6.B16
	VEOR V7.B16, V7.B16, V7.B16
	MOVD R3, R10
	ADD  R7, R3, R11
	MOVD R7, R19

queries:
	FMOVQ.P 16(R10), F0
	FMOVQ.P 16(R11), F1
	SDOT(6, 0, 14)
	SDOT(7, 1, 14)
	SUBS $16, R19
	BNE  queries
	VSHL $7, V6.S4, V6.S4
	VSHL $7, V7.S4, V7.S4
	CBZ  R6, end

tile:
	TILE
	MOVE(16, 6)
	MOVE(17, 7)
	MOVE(18, 6)
	MOVE(19, 7)
	MOVE(20, 6)
	MOVE(21, 7)
	MOVE(22, 6)
	MOVE(23, 7)

step:
	FMOVQ.P 16(R10), F0
	FMOVQ.P 16(R11), F1
	FMOVQ.P 16(R12), F2
	FMOVQ.P 16(R13), F3
	FMOVQ.P 16(R14), F4
	FMOVQ.P 16(R15), F5
	EOR(2, 2, 15)
	EOR(3, 3, 15)
	EOR(4, 4, 15)
	EOR(5, 5, 15)
	SDOT(16, 2, 0)
	SDOT(17, 2, 1)
	SDOT(18, 3, 0)
	SDOT(19, 3, 1)
	SDOT(20, 4, 0)
	SDOT(21, 4, 1)
	SDOT(22, 5, 0)
	SDOT(23, 5, 1)
	SUBS $16, R19
	BNE  step
	STORE(16, 17, 18, 19, F16, V16.D[1])
	STORE(20, 21, 22, 23, F20, V20.D[1])
	SUBS $4, R6
	BNE  tile

end:
	RET

// WIDE makes 16 bits of 16 bytes in x, in V4 and V5, and adds their products with both
// queries.
#define WIDE(x, a, b) \
	UXTL(4, x); UXTL2(5, x); \
	SMLAL(a, 4, 0); SMLAL2(a, 4, 0); SMLAL(a, 5, 1); SMLAL2(a, 5, 1); \
	SMLAL(b, 4, 2); SMLAL2(b, 4, 2); SMLAL(b, 5, 3); SMLAL2(b, 5, 3)

// func dot2Int8NEON(a *DotInt8)
TEXT ·dot2Int8NEON(SB), NOSPLIT, $0-8
	ARGS
	CBZ R6, end

tile:
	TILE
	VEOR V16.B16, V16.B16, V16.B16
	VEOR V17.B16, V17.B16, V17.B16
	VEOR V18.B16, V18.B16, V18.B16
	VEOR V19.B16, V19.B16, V19.B16
	VEOR V20.B16, V20.B16, V20.B16
	VEOR V21.B16, V21.B16, V21.B16
	VEOR V22.B16, V22.B16, V22.B16
	VEOR V23.B16, V23.B16, V23.B16

step:
	FMOVQ.P 16(R10), F1
	FMOVQ.P 16(R11), F3
	FMOVQ.P 16(R12), F8
	FMOVQ.P 16(R13), F9
	FMOVQ.P 16(R14), F10
	FMOVQ.P 16(R15), F11
	SXTL(0, 1)
	SXTL2(1, 1)
	SXTL(2, 3)
	SXTL2(3, 3)
	WIDE(8, 16, 17)
	WIDE(9, 18, 19)
	WIDE(10, 20, 21)
	WIDE(11, 22, 23)
	SUBS $16, R19
	BNE  step
	STORE(16, 17, 18, 19, F16, V16.D[1])
	STORE(20, 21, 22, 23, F20, V20.D[1])
	SUBS $4, R6
	BNE  tile

end:
	RET
