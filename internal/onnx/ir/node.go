package ir

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mobilenet-go/mobilenet/fault"
)

// ConstantOf returns the value of a Constant node, in any of the forms the
// operator has (value_* from opset 12), or nil.
func ConstantOf(n *Node) *Tensor {
	if n.OpType != "Constant" || !Standard(n.Domain) || len(n.Output) != 1 || len(n.Attribute) != 1 {
		return nil
	}
	switch a := n.Attribute[0]; a.Name {
	case "value":
		return a.T
	case "value_float":
		return FloatTensor(n.Output[0], []float32{a.GetF()})
	case "value_floats":
		return FloatTensor(n.Output[0], a.Floats, len(a.Floats))
	case "value_int":
		return IntTensor(n.Output[0], []int64{a.GetI()})
	case "value_ints":
		return IntTensor(n.Output[0], a.Ints, len(a.Ints))
	}
	return nil
}

// Standard reports whether domain is that of ONNX's own operators.
func Standard(domain string) bool { return domain == "" || domain == "ai.onnx" }

// Opset returns the version of the standard operators that p imports, 0 for none.
func Opset(p *Proto) int64 {
	for _, o := range p.OpsetImport {
		if Standard(o.Domain) {
			return o.Version
		}
	}
	return 0
}

// Input returns the name of n's i-th input, "" where it has none.
func Input(n *Node, i int) string {
	if i < len(n.Input) {
		return n.Input[i]
	}
	return ""
}

// Attr returns n's attribute called name, or nil.
func Attr(n *Node, name string) *Attribute {
	for _, a := range n.Attribute {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// IntAttr returns the value of an integer attribute, or what is its default.
func IntAttr(n *Node, name string, otherwise int64) int64 {
	if a := Attr(n, name); a != nil {
		return a.GetI()
	}
	return otherwise
}

// FloatAttr returns the value of a float attribute, or what is its default.
func FloatAttr(n *Node, name string, otherwise float32) float32 {
	if a := Attr(n, name); a != nil {
		return a.GetF()
	}
	return otherwise
}

// StringAttr returns the value of a string attribute, or what is its default.
func StringAttr(n *Node, name, otherwise string) string {
	if a := Attr(n, name); a != nil {
		return string(a.GetS())
	}
	return otherwise
}

// FloatsAttr returns the values of an attribute that is a list of floats; nil if it is
// absent.
func FloatsAttr(n *Node, name string) []float32 {
	if a := Attr(n, name); a != nil {
		return a.Floats
	}
	return nil
}

// IntsAttr returns the values of an attribute that is a list of integers; nil if
// it is absent.
func IntsAttr(n *Node, name string) []int64 {
	if a := Attr(n, name); a != nil {
		return a.Ints
	}
	return nil
}

// Place names a node in messages: node "/features/features.0/Conv" (Conv), or by
// its first output where it has no name, as torch before 1.13 and TensorFlow leave
// it.
func Place(n *Node) string {
	switch op := Text(n.OpType); {
	case n.Name != "":
		return fmt.Sprintf("node %s (%s)", Quote(n.Name), op)
	case len(n.Output) > 0:
		return fmt.Sprintf("node that makes %s (%s)", Quote(n.Output[0]), op)
	default:
		return fmt.Sprintf("node without name or output (%s)", op)
	}
}

// At says that err is about n.
func At(n *Node, err error) error { return About(Place(n), err) }

// About says which place of the file err is about, in a message that stays short
// whatever lists of numbers the file has there.
func About(place string, err error) error {
	const longest = 300
	e := &fault.Error{Place: place, Reason: err.Error(), Err: err}
	if len(e.Reason) > longest {
		e.Reason = strings.ToValidUTF8(e.Reason[:longest], "") + "..."
	}
	if errors.Is(err, errors.ErrUnsupported) {
		e.Kind = fault.Unsupported
	}
	return e
}

// longest is how many bytes of a name from a file are printed.
const longest = 100

// Text is text from a file as a terminal may have it, its beginning if it is long: what
// does not print is escaped, as in "\x1b".
func Text(s string) string {
	more := ""
	if len(s) > longest {
		s, more = s[:longest], "..."
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			escaped := strconv.QuoteRune(r)
			b.WriteString(escaped[1 : len(escaped)-1])
		}
	}
	return b.String() + more
}

// Quote is a name from a file in quotes, cut if it is long.
func Quote(name string) string {
	if len(name) > longest {
		return strconv.Quote(name[:longest]) + "..."
	}
	return strconv.Quote(name)
}

// Metadata returns metadata_props as a map. Of entries with one key the first counts.
func Metadata(p *Proto) map[string]string {
	entries := map[string]string{}
	for _, e := range slices.Backward(p.MetadataProps) {
		entries[e.Key] = e.Value
	}
	return entries
}
