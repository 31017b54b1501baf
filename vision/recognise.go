package vision

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
)

// HeadSize is how many of a file's first bytes [Recognise] looks at: the tags that
// tell a camera's raw file from a TIFF lie within the first kilobytes.
const HeadSize = 4096

// Recognise names the format of an image file by its first bytes, [HeadSize] of
// them where there are as many: "JPEG", "HEIC"; "" if they are no image's that is
// known here. read reports whether [Decode] reads that format. File names are not
// asked: cameras, browsers and data sets get them wrong.
func Recognise(head []byte) (name string, read bool) {
	f := recognise(head)
	return f.name, f.decode != nil
}

// RecogniseFile is [Recognise] for the file at path. Folders, devices, pipes and
// sockets are errors.
func RecogniseFile(path string) (name string, read bool, err error) {
	head, err := boundedfile.Head(path, HeadSize)
	if err != nil {
		return "", false, err
	}
	name, read = Recognise(head)
	return name, read, nil
}

// recognise returns the format of a file, the zero format if it has none.
func recognise(head []byte) format {
	head = head[:min(len(head), HeadSize)]
	for _, f := range formats {
		if f.match(head) {
			return f
		}
	}
	return format{}
}

// readable lists the formats that are read, for messages.
func readable() string {
	var names []string
	for _, f := range formats {
		if f.decode != nil && !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}

// prefix matches files that begin with one of some strings.
func prefix(magic ...string) func([]byte) bool {
	return func(head []byte) bool {
		return slices.ContainsFunc(magic, func(m string) bool { return bytes.HasPrefix(head, []byte(m)) })
	}
}

func isWebP(head []byte) bool {
	return len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP"
}

// isBMP looks at the size of the second header too: a text may begin with BM.
func isBMP(head []byte) bool {
	return len(head) >= 18 && string(head[:2]) == "BM" && slices.Contains([]byte{12, 16, 40, 52, 56, 64, 108, 124}, head[14]) &&
		head[15] == 0 && head[16] == 0 && head[17] == 0
}

// isICO wants a directory of 1 to 255 pictures.
func isICO(head []byte) bool {
	return len(head) >= 6 && string(head[:4]) == "\x00\x00\x01\x00" && head[4] != 0 && head[5] == 0
}

// isSVG finds the root element behind a declaration, comments and a doctype.
func isSVG(head []byte) bool {
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	if !bytes.HasPrefix(text, []byte("<")) {
		return false
	}
	text = bytes.ToLower(text)
	return bytes.Contains(text, []byte("<svg")) && !bytes.Contains(text, []byte("<html"))
}

// brand matches files of the ISO base media format (ISO 14496-12) that name one
// of some brands, first or among those that they are compatible with.
func brand(names ...string) func([]byte) bool {
	return func(head []byte) bool {
		if len(head) < 12 || string(head[4:8]) != "ftyp" {
			return false
		}
		size := min(int(head[2])<<8|int(head[3]), len(head))
		for at := 8; at+4 <= size; at += 4 {
			if at != 12 && slices.Contains(names, string(head[at:at+4])) { // at 12 is a version
				return true
			}
		}
		return false
	}
}

// isMPEG4 matches what [brand] leaves of its files, and those of QuickTime, which
// begin with other boxes.
func isMPEG4(head []byte) bool {
	return len(head) >= 12 && slices.Contains([]string{"ftyp", "moov", "wide"}, string(head[4:8]))
}

// Tags of a TIFF directory that tell a camera's raw file.
const (
	tagSubfileType = 0x00fe
	tagMake        = 0x010f
	tagSubIFDs     = 0x014a
	tagDNGVersion  = 0xc612
)

func isDNG(head []byte) bool {
	_, ok := directory(head)[tagDNGVersion]
	return ok
}

// isRaw reports whether a TIFF file begins with a small copy of a picture that
// lies in a directory below it, as those of Nikon, Sony and Pentax do. A pyramid
// of pictures begins with the largest.
func isRaw(head []byte) bool {
	tags := directory(head)
	_, below := tags[tagSubIFDs]
	return below && tags[tagSubfileType].value&1 == 1
}

const tiffShortKind = 3 // a 16-bit number

// An entry of a TIFF directory. The value is that of a single number, or where
// the numbers are.
type tiffEntry struct {
	kind         uint16
	count, value uint32
}

// directory returns the entries, as many as there are in head, of the first
// directory of a TIFF file; nil if it is none.
func directory(head []byte) map[uint16]tiffEntry {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case len(head) < 8:
		return nil
	case string(head[:2]) == "MM":
		order = binary.BigEndian
	case string(head[:2]) != "II":
		return nil
	}
	at := uint64(order.Uint32(head[4:]))
	if at+2 > uint64(len(head)) {
		return nil
	}
	tags := map[uint16]tiffEntry{}
	n := int(order.Uint16(head[at:]))
	for e := head[at+2:]; n > 0 && len(e) >= 12; n, e = n-1, e[12:] {
		entry := tiffEntry{kind: order.Uint16(e[2:]), count: order.Uint32(e[4:]), value: order.Uint32(e[8:])}
		if entry.kind == tiffShortKind {
			entry.value = uint32(order.Uint16(e[8:]))
		}
		if _, twice := tags[order.Uint16(e)]; !twice {
			tags[order.Uint16(e)] = entry
		}
	}
	return tags
}
