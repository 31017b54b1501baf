package kernel

//go:generate go run -C _asm . -isa avx2 -out avx2_amd64.s -stubs avx2_amd64.go -pkg kernel
//go:generate go run -C _asm . -isa avx512 -out avx512_amd64.s -stubs avx512_amd64.go -pkg kernel
//go:generate go run -C _asm . -isa int8_avx2 -out int8_avx2_amd64.s -stubs int8_avx2_amd64.go -pkg kernel
//go:generate go run -C _asm . -isa int8_avxvnni -out int8_avxvnni_amd64.s -stubs int8_avxvnni_amd64.go -pkg kernel
//go:generate go run -C _asm . -isa int8_avx512vnni -out int8_avx512vnni_amd64.s -stubs int8_avx512vnni_amd64.go -pkg kernel
