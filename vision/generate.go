package vision

//go:generate go run -C _asm . -out ../avx2_amd64.s -stubs ../avx2_amd64.go -pkg vision
