package vision

import (
	"bytes"
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
	return f.name, f.open != nil
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
		if f.open != nil && !slices.Contains(names, f.name) {
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

func isDNG(head []byte) bool {
	d := directory(head)
	return d.has(tagDNGVersion)
}

// isRaw reports whether a TIFF file begins with a small copy of a picture that
// lies in a directory below it, as those of Nikon, Sony and Pentax do. A pyramid
// of pictures begins with the largest.
func isRaw(head []byte) bool {
	d := directory(head)
	return d.has(tagSubIFDs) && d.first(tagSubfileType, 0)&1 == 1
}
