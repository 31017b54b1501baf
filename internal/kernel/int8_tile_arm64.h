// The 8-bit pointwise and first convolutions for as many tiles of ROWS pixels as
// there are, 8 channels at a time. The includer defines POINTWISE and FIRST, ROWS
// and EACH; and what its set does: SETUP, WEIGHTS, the field of the weights, and
// WSHIFT, by which a channel's have fewer bytes than its sum, MANY, the groups of k
// that a step MANYSTEP takes, and ONESTEP, which takes one. Steps take their inputs
// from R14 and weights from R13, with R9 bytes to the next ones.

#define STEP 32

// func POINTWISE(a *PointwiseInt8)
TEXT POINTWISE(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R0
	MOVD PointwiseInt8_Filter(R0), R21
	MOVD PointwiseInt8_Dst(R0), R1
	MOVD PointwiseInt8_Src(R0), R2
	MOVD PointwiseInt8_Add(R0), R3
	MOVD PointwiseInt8_Float(R0), R4
	MOVD PointwiseInt8_Pixels(R0), R6
	MOVD PointwiseInt8_SrcStride(R0), R8
	SUB  $32, R8                 // from a block's end to the next one's pixel
	MOVD Filter_NR(R21), R20
	LSL  $2, R20                 // bytes of a pixel's sums
	LSR  $WSHIFT, R20, R9
	SETUP

tile:
	CMP  $ROWS, R6
	BLT  done
	MOVD $0, R10                 // bytes of sums done

channels:
	MOVD Filter_Bias(R21), R11
	ADD  R10, R11
	FLDPQ (R11), (F8, F9)
	EACH(BIAS)
	MOVD WEIGHTS(R21), R13
	ADD  R10>>WSHIFT, R13
	MOVD R2, R14
	MOVD Filter_K(R21), R15
	ADD  $3, R15
	LSR  $2, R15                 // groups

block:
	MOVD $8, R19
	CMP  R19, R15
	CSEL LT, R15, R19, R19
	SUBS $MANY, R19
	BLT  rest

many:
	MANYSTEP
	SUBS $MANY, R19
	BGE  many

rest:
	ADDS $MANY, R19
	BEQ  next

one:
	ONESTEP
	SUBS $1, R19
	BNE  one

next:
	SUBS $8, R15
	BLE  finish
	ADD  R8, R14
	B    block

finish:
	MOVD Filter_M(R21), R11
	ADD  R10, R11
	FLDPQ (R11), (F8, F9)
	EACH(SCALE)
	CBNZ R4, floats
	RANGE(PointwiseInt8_Range)
	ADD  R10>>2, R1, R12
	EACH(BYTES)
	B    done8

floats:
	CBZ  R3, store
	ADD  R10, R3, R16
	EACH(ADDED)

store:
	ADD  R10, R4, R12
	EACH(FLOATS)

done8:
	ADD  $32, R10
	CMP  R20, R10
	BLT  channels
	ADD  $(ROWS*32), R1
	ADD  $(ROWS*32), R2
	SUB  $ROWS, R6
	CBZ  R4, tile
	ADD  $(ROWS*128), R4
	CBZ  R3, tile
	ADD  $(ROWS*128), R3
	B    tile

done:
	RET

#undef STEP
#define STEP 6

// func FIRST(a *FirstInt8)
TEXT FIRST(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R0
	MOVD FirstInt8_Filter(R0), R21
	MOVD FirstInt8_Dst(R0), R1
	MOVD $0, R2                  // bytes into the rows
	MOVD FirstInt8_Width(R0), R6
	MOVD Filter_NR(R21), R20
	LSL  $2, R20                 // bytes of a pixel's sums
	LSR  $WSHIFT, R20, R9
	SETUP

tile:
	CMP  $ROWS, R6
	BLT  done
	MOVD $0, R10                 // bytes of sums done

channels:
	MOVD Filter_Bias(R21), R11
	ADD  R10, R11
	FLDPQ (R11), (F8, F9)
	EACH(BIAS)
	MOVD WEIGHTS(R21), R13
	ADD  R10>>WSHIFT, R13
	ADD  $FirstInt8_Rows, R0, R19
	MOVD $3, R23

row:
	MOVD.P 24(R19), R14          // a slice is 24 bytes
	ADD  R2, R14
	ONESTEP
	ONESTEP
	ONESTEP
	SUB  $1, R23
	CBNZ R23, row
	MOVD Filter_M(R21), R11
	ADD  R10, R11
	FLDPQ (R11), (F8, F9)
	EACH(SCALE)
	RANGE(FirstInt8_Range)
	ADD  R10>>2, R1, R12
	EACH(BYTES)
	ADD  $32, R10
	CMP  R20, R10
	BLT  channels
	ADD  $(ROWS*32), R1
	ADD  $(ROWS*STEP), R2
	SUB  $ROWS, R6
	B    tile

done:
	RET

#undef STEP
