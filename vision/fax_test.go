package vision

import (
	"hash/crc32"
	"os"
	"testing"
)

// TestFax reads a bilevel drawing in which 0 is black (tag 262), as Pillow 9.4
// saved it with compression group4; the sum is of the RGB pixels that Pillow reads
// back.
func TestFax(t *testing.T) {
	data, err := os.ReadFile("testdata/fax_black.tif")
	if err != nil {
		t.Fatal(err)
	}
	img, err := Decode(t.Context(), data, DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := crc32.ChecksumIEEE(img.Pix); got != 0x35103a04 {
		t.Errorf("CRC-32 %#08x", got)
	}
}
