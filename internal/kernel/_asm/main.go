// Command _asm writes the amd64 kernels of package kernel. It is run by go
// generate, once for each instruction set.
package main

import (
	"flag"
	"log"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	// The files to write are relative to the package.
	if err := os.Chdir(".."); err != nil {
		log.Fatal(err)
	}
	name := flag.String("isa", "", "instruction set: avx2 or avx512, or of the 8-bit kernels int8_avx2, int8_avxvnni or int8_avx512vnni")
	flag.Parse() // creates the output files, still empty
	s, ok := sets[*name]
	s8, ok8 := int8Sets[*name]
	if !ok && !ok8 {
		log.Fatalf("-isa %q: there is no such set", *name)
	}
	// The argument types come from the package, as it is where the files that
	// are being written don't belong to it.
	os.Setenv("GOARCH", "arm64")
	os.Setenv("GOFLAGS", "-tags=purego")
	Package(".")
	ConstraintExpr("!purego")
	if ok8 {
		s8.kernels()
	} else {
		s.kernels()
	}
	Generate()
}

// kernels emits the kernels of a set.
func (s isa) kernels() {
	for nr := 8; nr <= 32; nr += 8 {
		s.pointwise(nr)
	}
	for nr := 8; nr <= 32; nr += 8 {
		s.first(nr)
	}
	s.depthwise(1)
	s.depthwise(2)
	s.pool()
	s.peak()
	s.affine()
	s.moments()
	s.affineGrad()
	s.normGrad()
	for nr := 8; nr <= 32; nr += 8 {
		s.pointwiseGrad(nr)
	}
	s.depthwiseGrad()
	s.depthwiseTransposed()
	s.turn()
}
