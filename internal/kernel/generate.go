package kernel

//go:generate go run -C _asm . -isa avx2 -out avx2_amd64.s -stubs avx2_amd64.go -pkg kernel
//go:generate go run -C _asm . -isa avx512 -out avx512_amd64.s -stubs avx512_amd64.go -pkg kernel
