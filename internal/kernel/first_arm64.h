// The first convolution for as many tiles of ROWS pixels as there are, 8 channels
// at a time. The includer defines FIRST, ROWS and EACH.

#define STEP 24

// func FIRST(a *First)
TEXT FIRST(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R0
	MOVD First_Dst(R0), R1
	MOVD $0, R2                  // bytes into the rows
	MOVD First_Width(R0), R6
	MOVD First_NR(R0), R9
	LSL  $2, R9

tile:
	CMP  $ROWS, R6
	BLT  done
	MOVD $0, R10                 // bytes of channels done

channels:
	MOVD First_Bias(R0), R11
	ADD  R10, R11
	FLDPQ (R11), (F24, F25)
	EACH(BIAS)
	MOVD First_W(R0), R13
	ADD  R10, R13
	ADD  $First_Rows, R0, R19
	MOVD $3, R20

row:
	MOVD.P 24(R19), R14          // a slice is 24 bytes
	ADD  R2, R14
	STEP4
	STEP4
	STEP1
	SUB  $1, R20
	CBNZ R20, row
	LIMITS
	EACH(CLAMP)
	ADD  R10, R1, R12
	EACH(STORE)
	ADD  $32, R10
	CMP  R9, R10
	BLT  channels
	ADD  $(ROWS*128), R1
	ADD  $(ROWS*STEP), R2
	SUB  $ROWS, R6
	B    tile

done:
	RET

#undef STEP
