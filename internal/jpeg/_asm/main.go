// Command _asm writes the AVX2 kernels of package jpeg. It is run by go
// generate.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func main() {
	ConstraintExpr("!purego")
	idct()
	blend()
	spread()
	rgb()
	Generate()
}

// words returns 16 words in memory that repeat a pattern.
func words(pattern ...int16) Mem {
	name := "w"
	for _, v := range pattern {
		name += fmt.Sprintf("_%d", uint16(v))
	}
	return constant(name, 16, func(i int) Constant { return I16(pattern[i%len(pattern)]) })
}

// doubles returns 8 doublewords of a value.
func doubles(v int32) Mem {
	return constant(fmt.Sprintf("d_%d", v), 8, func(int) Constant { return I32(v) })
}

// bytes returns 16 bytes, twice.
func bytes(name string, at func(i int) byte) Mem {
	return constant(name, 32, func(i int) Constant { return U8(at(i % 16)) })
}

var constants = map[string]Mem{}

// constant returns the 32 bytes called name, which it puts into the file when
// they are first asked for.
func constant(name string, n int, at func(i int) Constant) Mem {
	if m, ok := constants[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	for i := range n {
		DATA(i*32/n, at(i))
	}
	constants[name] = m
	return m
}
