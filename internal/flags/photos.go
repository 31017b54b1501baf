// Package flags has what the command lines of mobilenet and mobilenet-spark have in common:
// the same names and values, which mean the same.
package flags

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/mobilenet-go/mobilenet/model"
)

// Photos say how photos become the input of the network, where the model does not say it or
// says it wrongly.
type Photos struct{ In model.Input }

// photoNames are the flags of Photos.
var photoNames = []string{"resolution", "resize", "crop", "interpolation", "mean", "std", "rescale", "squash"}

// Register adds the flags. size is false for a command that has a --resolution of its own.
func (f *Photos) Register(fs *pflag.FlagSet, size bool) {
	if size {
		fs.VarP(Size{&f.In}, "resolution", "r", "input of the network: pixels, or HEIGHTxWIDTH; the default is the model's")
	}
	fs.IntVar(&f.In.Resize, "resize", 0, "pixels that a photo's shorter side is resized to; the default is the model's, in proportion to the resolution")
	fs.Float64Var(&f.In.Crop, "crop", 0, "what is cut out of the middle: pixels (the input's), or up to 1 a share of the resized side, as timm's crop_pct")
	fs.Var((*interpolation)(&f.In.Interpolation), "interpolation", "bilinear or bicubic; the default is the model's")
	fs.Var(channels{&f.In.Mean}, "mean", "mean of red, green and blue, levels being 0 to 1, as 0.485,0.456,0.406; the default is the model's")
	fs.Var(channels{&f.In.Std}, "std", "standard deviation of red, green and blue, as 0.229,0.224,0.225; the default is the model's")
	fs.Var(rescale{&f.In.Rescale}, "rescale", "what levels of 0 to 255 are multiplied by before --mean and --std, which are of such levels then: 1/127.5, 1; the default is 1/255")
	fs.BoolVar(&f.In.Squash, "squash", false, "resize photos to the input whatever their shape, and cut nothing off")
}

// Check refuses what can't be of any model; what doesn't go with this one is an error of
// opening it.
func (f *Photos) Check(fs *pflag.FlagSet) error {
	for _, flag := range []struct {
		name string
		zero bool
	}{{"resolution", f.In.Height == 0}, {"resize", f.In.Resize == 0}, {"crop", f.In.Crop == 0}} {
		if flag.zero && fs.Changed(flag.name) {
			return fmt.Errorf("--%s 0: want more than 0", flag.name)
		}
	}
	for _, v := range slices.Concat(f.In.Mean, f.In.Std) {
		if v > 2 && f.In.Rescale == 0 {
			return fmt.Errorf("--mean and --std are of levels from 0 to 1: want %v/255, or --rescale 1 for levels up to 255", v)
		}
	}
	c := model.Default()
	return f.In.Apply(&c)
}

// Args are those of a command that is to prepare photos as fs says.
func (*Photos) Args(fs *pflag.FlagSet) []string {
	var args []string
	for _, name := range photoNames {
		if f := fs.Lookup(name); f != nil && f.Changed {
			args = append(args, "--"+name+"="+f.Value.String())
		}
	}
	return args
}

// Size is the value of a flag: a square's side, or HEIGHTxWIDTH.
type Size struct{ In *model.Input }

func (f Size) Type() string { return "size" }

func (f Size) String() string {
	switch {
	case f.In == nil || f.In.Height == 0:
		return ""
	case f.In.Width == 0 || f.In.Width == f.In.Height:
		return strconv.Itoa(f.In.Height)
	}
	return fmt.Sprintf("%dx%d", f.In.Height, f.In.Width)
}

func (f Size) Set(text string) error {
	height, width, rectangle := strings.Cut(text, "x")
	h, err := strconv.Atoi(height)
	w := h
	if err == nil && rectangle {
		w, err = strconv.Atoi(width)
	}
	if err != nil || h < 0 || w < 0 {
		return fmt.Errorf("want pixels, as 224, or height and width, as 192x256")
	}
	f.In.Height, f.In.Width = h, w
	return nil
}

// channels is a number for each of three channels, or one for all.
type channels struct{ values *[]float32 }

func (f channels) Type() string { return "string" } // as which args.yaml keeps it

func (f channels) String() string {
	if f.values == nil {
		return ""
	}
	var parts []string
	for _, v := range *f.values {
		parts = append(parts, strconv.FormatFloat(float64(v), 'g', -1, 32))
	}
	return strings.Join(parts, ",")
}

func (f channels) Set(text string) error {
	var values []float32
	if text == "" { // the model's
		*f.values = nil
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 32)
		if err != nil {
			return fmt.Errorf("want a number, or three with commas between")
		}
		values = append(values, float32(v))
	}
	if len(values) != 1 && len(values) != 3 {
		return fmt.Errorf("%d numbers: want 1 or 3", len(values))
	}
	*f.values = values
	return nil
}

// rescale is a number, or one over another: 1/255.
type rescale struct{ value *float64 }

func (f rescale) Type() string { return "string" } // as which args.yaml keeps it

func (f rescale) String() string {
	if f.value == nil || *f.value == 0 {
		return ""
	}
	return strconv.FormatFloat(*f.value, 'g', -1, 64)
}

func (f rescale) Set(text string) error {
	if *f.value = 0; text == "" { // 1/255
		return nil
	}
	above, below, isRatio := strings.Cut(text, "/")
	v, err := strconv.ParseFloat(above, 64)
	if err == nil && isRatio {
		var by float64
		if by, err = strconv.ParseFloat(below, 64); by != 0 {
			v /= by
		} else {
			v = 0
		}
	}
	if err != nil || !(v > 0) {
		return fmt.Errorf("want a number above 0, or a ratio, such as 1/127.5")
	}
	*f.value = v
	return nil
}

// interpolation is a filter that photos are resized with.
type interpolation model.Interpolation

func (f *interpolation) Type() string   { return "string" }
func (f *interpolation) String() string { return string(*f) }

func (f *interpolation) Set(text string) error {
	switch v := model.Interpolation(text); v {
	case model.Bilinear, model.Bicubic, "": // "" for the model's
		*f = interpolation(v)
		return nil
	}
	return fmt.Errorf("want %s or %s", model.Bilinear, model.Bicubic)
}
