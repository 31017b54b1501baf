package search

import (
	"bytes"
	"hash/maphash"
)

// A lookup finds rows by their paths. It keeps the rows' numbers only, eight bytes or
// less for each: the paths of a million photos stay where they are.
type lookup struct {
	path  func(row int) []byte
	seed  maphash.Seed
	table []uint32 // row+1, or 0; open addressing
	used  int
}

// add adds a row, unless there is one with its path.
func (l *lookup) add(row int) {
	if 2*(l.used+1) > len(l.table) {
		l.grow()
	}
	if at, ok := l.slot(l.path(row)); !ok {
		l.table[at] = uint32(row + 1)
		l.used++
	}
}

func (l *lookup) find(path []byte) (row int, ok bool) {
	if l.used == 0 {
		return 0, false
	}
	at, ok := l.slot(path)
	return int(l.table[at]) - 1, ok
}

// slot returns where the row of a path is, or would be.
func (l *lookup) slot(path []byte) (at int, ok bool) {
	mask := len(l.table) - 1
	at = int(maphash.Bytes(l.seed, path)) & mask
	for ; l.table[at] != 0; at = (at + 1) & mask {
		if bytes.Equal(l.path(int(l.table[at])-1), path) {
			return at, true
		}
	}
	return at, false
}

func (l *lookup) grow() {
	old := l.table
	if old == nil {
		l.seed = maphash.MakeSeed()
	}
	l.table = make([]uint32, max(64, 2*len(old)))
	for _, v := range old {
		if v != 0 {
			at, _ := l.slot(l.path(int(v) - 1))
			l.table[at] = v
		}
	}
}
