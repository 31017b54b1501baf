// Package foreign recognises what people give to a program by mistake: the page
// about a file, a pointer to it, an archive of it, or something else altogether.
package foreign

import (
	"bytes"
	"encoding/binary"
	"unicode"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/vision"
)

// Head is how many bytes of a file are enough for [Describe].
const Head = vision.HeadSize

// A signature is what files of a kind begin with.
type signature struct {
	magic string
	at    int
	kind  string
	todo  string // what helps; may be empty
}

const unpack = "unpack it and give the file in it"

var signatures = []signature{
	{magic: "version https://git-lfs", kind: "a Git LFS pointer", todo: "fetch the file itself with git lfs pull"},
	{magic: "\x89HDF\r\n\x1a\n", kind: "an HDF5 file, as Keras writes them"},
	{magic: "TFL3", at: 4, kind: "a TensorFlow Lite model"},
	{magic: "GGUF", kind: "a GGUF file"},
	{magic: "\x93NUMPY", kind: "a NumPy array"},
	{magic: "\x1f\x8b", kind: "a gzip archive", todo: unpack},
	{magic: "\xfd7zXZ", kind: "an xz archive", todo: unpack},
	{magic: "\x28\xb5\x2f\xfd", kind: "a Zstandard archive", todo: unpack},
	{magic: "BZh", kind: "a bzip2 archive", todo: unpack},
	{magic: "7z\xbc\xaf\x27\x1c", kind: "a 7z archive", todo: unpack},
	{magic: "Rar!", kind: "a RAR archive", todo: unpack},
	{magic: "ustar", at: 257, kind: "a tar archive", todo: unpack},
	{magic: "PK\x03\x04", kind: "a zip archive", todo: unpack},
	{magic: "\x7fELF", kind: "a program"},
}

// Describe says what kind of file begins with head, its first [Head] bytes or all of
// it, and what can be done about it. Both are empty where that is not known.
func Describe(head []byte) (kind, todo string) {
	if len(head) == 0 {
		return "an empty file", ""
	}
	if page(head) {
		return "a web page", "download the file itself, not the page about it"
	}
	if torch(head) {
		return "a torch checkpoint", ""
	}
	for _, s := range signatures {
		if len(head) >= s.at && bytes.HasPrefix(head[s.at:], []byte(s.magic)) {
			return s.kind, s.todo
		}
	}
	if name, _ := vision.Recognise(head); name != "" {
		return "an image (" + name + ")", ""
	}
	switch {
	case text(head):
		return "a text file", ""
	case bytes.Count(head, []byte{0}) == len(head) && len(head) >= 64:
		return "a file of zeros", "its download or copy did not end"
	}
	return "", ""
}

// Check returns an error that says what begins with head if that is known, and nil
// if not. want is what was expected: "a model".
func Check(head []byte, want string) error {
	kind, todo := Describe(head)
	if kind == "" {
		return nil
	}
	if todo != "" {
		todo = ": " + todo
	}
	return fault.Unsupportedf("%s, not %s%s", kind, want, todo)
}

// page reports whether head begins like HTML, or like XML, which some servers
// answer with.
func page(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	for _, tag := range []string{"<!doctype html", "<html", "<head", "<?xml", "<!--"} {
		if len(head) >= len(tag) && bytes.EqualFold(head[:len(tag)], []byte(tag)) {
			return true
		}
	}
	return false
}

// torch reports whether head begins like the zip archives of torch.save, whose first
// entry is the pickle.
func torch(head []byte) bool {
	const nameLength, name = 26, 30 // offsets in the header of a zip's entry
	if !bytes.HasPrefix(head, []byte("PK\x03\x04")) || len(head) < name {
		return false
	}
	end := name + int(binary.LittleEndian.Uint16(head[nameLength:]))
	return end <= len(head) && bytes.HasSuffix(head[name:end], []byte("/data.pkl"))
}

// text reports whether head is UTF-8 without control characters.
func text(head []byte) bool {
	if len(head) == Head { // the cut may be within a letter
		for i := 0; i < utf8.UTFMax && len(head) > 0 && !utf8.Valid(head); i++ {
			head = head[:len(head)-1]
		}
	}
	return utf8.Valid(head) && !bytes.ContainsFunc(head, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
	})
}
