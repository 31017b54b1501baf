package flags

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet"
)

// Precision is what a network runs in: auto, float or int8. float32, as the library calls
// it, is float, too.
type Precision string

// Precisions are its values.
var Precisions = []string{"auto", "float", "int8"}

const PrecisionUsage = "float, int8, or auto: what the model was made for"

func (*Precision) Type() string     { return "string" }
func (f *Precision) String() string { return string(*f) }

// Set takes any text: the command that has the flag says which there are.
func (f *Precision) Set(text string) error {
	if text == "float32" {
		text = "float"
	}
	*f = Precision(text)
	return nil
}

// Option is what the flag asks of [mobilenet.Open], nil for auto.
func (f Precision) Option() mobilenet.Option {
	switch f {
	case "float":
		return mobilenet.WithPrecision(mobilenet.Float32)
	case "int8":
		return mobilenet.WithPrecision(mobilenet.Int8)
	}
	return nil
}

// Tolerance is how many of some photos may fail: a count, as 10, or a share of them, as 1%
// or 0.01. Its zero is what the command makes of it.
type Tolerance struct {
	set   bool
	count int64
	share float64 // of 1; -1 for a count
}

func (*Tolerance) Type() string { return "number" }

func (t *Tolerance) String() string {
	switch {
	case !t.set:
		return ""
	case t.share >= 0:
		return strconv.FormatFloat(100*t.share, 'g', 6, 64) + "%"
	}
	return strconv.FormatInt(t.count, 10)
}

// Set reads 10, 1% or 0.01: a number without a point and without % is a count.
func (t *Tolerance) Set(text string) error {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		*t = Tolerance{set: true, count: n, share: -1}
		return nil
	}
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) { // NaN neither
		return fmt.Errorf("want a count, as 10, or a share, as 1%% or 0.01")
	}
	*t = Tolerance{set: true, share: v}
	return nil
}

// IsSet reports whether somebody has said how many.
func (t *Tolerance) IsSet() bool { return t.set }

// Of is how many of n photos may fail.
func (t *Tolerance) Of(n int64) int64 {
	if t.share < 0 {
		return t.count
	}
	return int64(math.Floor(t.share*float64(n) + 1e-6)) // 29 of 100 are 29 %, which 0.29*100 is not
}
