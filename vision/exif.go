package vision

import (
	"bytes"
	"encoding/binary"
)

// orientation returns the EXIF orientation of an image file, 1 to 8; 1, as
// stored, if it has none or a broken one.
func orientation(format string, data []byte) int {
	var block []byte
	switch format {
	case "JPEG":
		block = jpegEXIF(data)
	case "PNG":
		block = chunk(data, 8, "eXIf", binary.BigEndian)
	case "WebP":
		block = chunk(data, 12, "EXIF", binary.LittleEndian)
		block = bytes.TrimPrefix(block, []byte("Exif\x00\x00"))
	case "TIFF":
		block = data
	}
	return tiffOrientation(block)
}

// jpegEXIF returns the TIFF structure in the first EXIF segment, nil if none.
func jpegEXIF(data []byte) []byte {
	for at := 2; at+4 <= len(data) && data[at] == 0xff; {
		marker := data[at+1]
		if marker == 0xff { // fill byte
			at++
			continue
		}
		if marker == 0xda || marker == 0xd9 { // pixels begin, or nothing more
			return nil
		}
		if marker == 0x01 || marker >= 0xd0 && marker <= 0xd7 { // no length
			at += 2
			continue
		}
		end := at + 2 + int(binary.BigEndian.Uint16(data[at+2:]))
		if end < at+4 || end > len(data) {
			return nil
		}
		if body, ok := bytes.CutPrefix(data[at+4:end], []byte("Exif\x00\x00")); ok && marker == 0xe1 {
			return body
		}
		at = end
	}
	return nil
}

// chunk returns the body of the first chunk called name of a PNG or RIFF file
// whose chunks begin at offset at, nil if there is none.
func chunk(data []byte, at int, name string, order binary.ByteOrder) []byte {
	for at+8 <= len(data) {
		length, tag, after := order.Uint32(data[at:]), string(data[at+4:at+8]), uint64(4) // PNG ends a chunk with a CRC
		if order == binary.ByteOrder(binary.LittleEndian) {
			length, tag = order.Uint32(data[at+4:]), string(data[at:at+4])
			after = uint64(length % 2) // RIFF pads to even
		}
		end := uint64(at) + 8 + uint64(length)
		if end > uint64(len(data)) {
			return nil
		}
		if tag == name {
			return data[at+8 : end]
		}
		if end+after > uint64(len(data)) {
			return nil
		}
		at = int(end + after)
	}
	return nil
}

// tiffOrientation returns the orientation in the first directory of a TIFF
// structure.
func tiffOrientation(data []byte) int {
	d := directory(data)
	if v, ok := d.value(tagOrientation, 0); ok && v >= 1 && v <= 8 && d.fields[tagOrientation].kind == tiffShort {
		return int(v)
	}
	return 1
}
