//go:build !unix

package engine

import (
	"os"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// mapFile reads a file to memory that starts at a cache line.
func mapFile(path string) (data []byte, unmap func(), err error) {
	read, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	data = bytesOf(kernel.Aligned(len(read)/4 + 1))[:len(read)]
	copy(data, read)
	return data, func() {}, nil
}
