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
	name := flag.String("isa", "", "instruction set: avx2 or avx512")
	flag.Parse() // creates the output files, still empty
	s, ok := sets[*name]
	if !ok {
		log.Fatalf("-isa %q: want avx2 or avx512", *name)
	}
	// The argument types come from the package, as it is where the files that
	// are being written don't belong to it.
	os.Setenv("GOARCH", "arm64")
	os.Setenv("GOFLAGS", "-tags=purego")
	Package(".")
	ConstraintExpr("!purego")
	for nr := 8; nr <= 32; nr += 8 {
		s.pointwise(nr)
	}
	for nr := 8; nr <= 32; nr += 8 {
		s.first(nr)
	}
	s.depthwise(1, (*walker).stride1)
	s.depthwise(2, (*walker).stride2)
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
	Generate()
}
