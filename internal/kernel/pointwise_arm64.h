// The pointwise convolution for as many tiles of ROWS pixels as there are, 8
// channels at a time. The includer defines POINTWISE, ROWS and EACH.

#define STEP 128

// func POINTWISE(a *Pointwise)
TEXT POINTWISE(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R0
	MOVD Pointwise_Dst(R0), R1
	MOVD Pointwise_Src(R0), R2
	MOVD Pointwise_Add(R0), R3
	MOVD Pointwise_Pixels(R0), R6
	MOVD Pointwise_SrcStride(R0), R8
	LSL  $2, R8
	SUB  $128, R8                // from a block's end to the next one's pixel
	MOVD Pointwise_NR(R0), R9
	LSL  $2, R9

tile:
	CMP  $ROWS, R6
	BLT  done
	MOVD $0, R10                 // bytes of channels done

channels:
	MOVD Pointwise_Bias(R0), R11
	ADD  R10, R3, R12
	CBZ  R11, part
	ADD  R10, R11
	FLDPQ (R11), (F24, F25)
	EACH(BIAS)
	MOVD Pointwise_Add(R0), R11
	CBZ  R11, sum
	EACH(ADD1)
	B    sum

part:
	EACH(PART)

sum:
	MOVD Pointwise_W(R0), R13
	ADD  R10, R13
	MOVD R2, R14
	MOVD Pointwise_K(R0), R15

block:
	MOVD $8, R19
	CMP  $32, R15
	BGE  four
	LSR  $2, R15, R19
	CBZ  R19, rest

four:
	STEP4
	SUB  $1, R19
	CBNZ R19, four
	SUBS $32, R15
	BLE  rest
	ADD  R8, R14
	B    block

rest:
	// K modulo 4, in a number that may have become K-32 or 0 modulo 32.
	ANDS $3, R15
	BEQ  finish

one:
	STEP1
	SUB  $1, R15
	CBNZ R15, one

finish:
	MOVBU Pointwise_ReLU6(R0), R11
	CBZ  R11, store
	LIMITS
	EACH(CLAMP)

store:
	ADD  R10, R1, R12
	EACH(STORE)
	ADD  $32, R10
	CMP  R9, R10
	BLT  channels
	ADD  $(ROWS*128), R1
	ADD  $(ROWS*128), R2
	ADD  $(ROWS*128), R3
	SUB  $ROWS, R6
	B    tile

done:
	RET

#undef STEP
