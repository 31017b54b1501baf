package search

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/mobilenet-go/mobilenet/fault"
)

// An NPY is an array of vectors in numpy's format, open for reading: of shape [rows][dim]
// or [dim], little-endian float32 or float64, C order.
type NPY struct {
	Rows, Dim int
	f         *os.File
	at        int64 // of the data
	size      int   // of a number
}

// npyHead is numpy's header, as its writers have it: a Python dictionary. It is compiled
// at the first use.
var npyHead = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([0-9, ]*)\),?\s*\}\s*$`)
})

// maxNPYHead is far more than numpy writes.
const maxNPYHead = 1 << 16

// OpenNPY opens a .npy file, of format 1.0, 2.0 or 3.0.
func OpenNPY(path string) (*NPY, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	a := &NPY{f: f}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fault.Unsupportedf("not a file")
	}
	if err == nil {
		err = a.readHead(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, fault.In(path, err)
	}
	return a, nil
}

func (a *NPY) readHead(r io.ReaderAt, size int64) error {
	s := file{r}
	b, err := s.bytes(0, min(size, 12))
	if err != nil {
		return err
	}
	if len(b) < 12 || string(b[:6]) != "\x93NUMPY" {
		return fault.Unsupportedf("no array of numpy's: it does not begin with \\x93NUMPY")
	}
	at, n := int64(10), int64(binary.LittleEndian.Uint16(b[8:]))
	switch b[6] {
	case 1:
	case 2, 3:
		at, n = 12, int64(binary.LittleEndian.Uint32(b[8:]))
	default:
		return fault.Unsupportedf("an array in version %d.%d of numpy's format; 1.0, 2.0 and 3.0 are read", b[6], b[7])
	}
	if n > maxNPYHead || at+n > size {
		return fault.At(8, "a header of %d bytes in a file of %d", n, size)
	}
	head, err := s.bytes(at, n)
	if err != nil {
		return err
	}
	m := npyHead().FindSubmatch(head)
	if m == nil {
		return fault.At(at, "a header that numpy does not write: %s", fault.Shown(string(head)))
	}
	switch string(m[1]) {
	case "<f4":
		a.size = 4
	case "<f8":
		a.size = 8
	default:
		return fault.Unsupportedf("an array of %s: want <f4, float32, or <f8", fault.Shown(string(m[1])))
	}
	if string(m[2]) == "True" {
		return fault.Unsupportedf("an array in Fortran's order: write it with numpy.ascontiguousarray")
	}
	shape, err := npyShape(string(m[3]))
	if err != nil {
		return err
	}
	a.at = at + n
	a.Rows, a.Dim = shape[0], shape[1]
	if int64(a.Rows)*int64(a.Dim)*int64(a.size) != size-a.at {
		return fault.Brokenf("%d bytes of data: an array of %d rows of %d has %d", size-a.at, a.Rows, a.Dim, int64(a.Rows)*int64(a.Dim)*int64(a.size))
	}
	return nil
}

// npyShape returns rows and values of "3, 1280" or "1280,".
func npyShape(text string) ([2]int, error) {
	parts := strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, " ", ""), ","), ",")
	shape := [2]int{1, 0}
	if len(parts) > 2 {
		return shape, fault.Unsupportedf("an array of %d dimensions: want rows of vectors, or one", len(parts))
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return shape, fault.Unsupportedf("an array of shape (%s): want rows of vectors", fault.Shown(text))
		}
		shape[2-len(parts)+i] = int(n)
	}
	if shape[1] < 1 || shape[1] > MaxDim {
		return shape, fault.Unsupportedf("vectors of %d values: want 1 to %d", shape[1], MaxDim)
	}
	return shape, nil
}

// Row returns a row, 0 to Rows-1.
func (a *NPY) Row(row int) ([]float32, error) {
	n := int64(a.Dim * a.size)
	b, err := file{a.f}.bytes(a.at+int64(row)*n, n)
	if err != nil {
		return nil, err
	}
	if a.size == 4 {
		return floatsOf(b), nil
	}
	v := make([]float32, a.Dim)
	for k := range v {
		v[k] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*k:])))
	}
	return v, nil
}

// Close closes the file.
func (a *NPY) Close() error { return a.f.Close() }

// WriteNPYHead writes the header of an array [rows][dim] of a type of numpy's, such as
// "<f4", in format 1.0. The data follows, little-endian.
func WriteNPYHead(w io.Writer, kind string, rows, dim int) error {
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }", kind, rows, dim)
	// Data begins at a multiple of 64 bytes, behind 10 bytes and a line end.
	n := up(10+len(text)+1, 64) - 10
	b := append([]byte("\x93NUMPY\x01\x00"), byte(n), byte(n>>8))
	b = append(b, text...)
	b = append(b, bytes.Repeat([]byte(" "), n-len(text)-1)...)
	_, err := w.Write(append(b, '\n'))
	return err
}
