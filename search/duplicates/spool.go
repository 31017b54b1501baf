package duplicates

import (
	"fmt"
	"os"
	"unsafe"
)

// rowsInMemory are kept there: 84 MB of 1280 values each.
const rowsInMemory = 1 << 14

// A spool is a Matrix that grows. The first rows are in memory and the others in a
// temporary file, so that a million photos, of which features take 5 GB, take no more
// memory than what they are compared by.
type spool struct {
	rows Rows
	most int // rows in memory
	file *os.File
	n    int
}

// add adds a row, which the spool may keep.
func (s *spool) add(row []float32) error {
	switch {
	case s.n > 0 && len(row) != s.Dim():
		return fmt.Errorf("features of %d values after some of %d", len(row), s.Dim())
	case s.n < s.most:
		s.rows = append(s.rows, row)
		s.n++
		return nil
	case s.file == nil:
		f, err := os.CreateTemp("", "mobilenet-features-*")
		if err != nil {
			return err
		}
		os.Remove(f.Name()) // where a file may lose its name before it is closed: a kill leaves nothing
		s.file = f
	}
	if _, err := s.file.Write(bytesIn(row)); err != nil {
		return err
	}
	s.n++
	return nil
}

// Len, Dim and Row make it a Matrix.
func (s *spool) Len() int { return s.n }
func (s *spool) Dim() int { return s.rows.Dim() }

func (s *spool) Row(dst []float32, i int) error {
	if i < len(s.rows) {
		return s.rows.Row(dst, i)
	}
	b := bytesIn(dst)
	_, err := s.file.ReadAt(b, int64(i-len(s.rows))*int64(len(b)))
	return err
}

// close removes the file.
func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.file.Name()) // where it still had its name
	}
}

// bytesIn is the memory of a row, for a file that only this process reads.
func bytesIn(row []float32) []byte {
	if len(row) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&row[0])), 4*len(row))
}
