package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/model"
)

// photoFlags say how photos become the input of the network, where the model does
// not say it or says it wrongly.
type photoFlags struct{ in model.Input }

// register adds the flags that a command has for photos. size is false for a
// command that has a --resolution of its own.
func (f *photoFlags) register(cmd *cobra.Command, size bool) {
	fs := cmd.Flags()
	if size {
		fs.VarP(sizeFlag{&f.in}, "resolution", "r", "input of the network: pixels, or HEIGHTxWIDTH; the default is the model's")
	}
	fs.IntVar(&f.in.Resize, "resize", 0, "pixels that a photo's shorter side is resized to; the default is the model's, in proportion to the resolution")
	fs.Float64Var(&f.in.Crop, "crop", 0, "what is cut out of the middle: pixels (the input's), or up to 1 a share of the resized side, as timm's crop_pct")
	fs.Var((*interpolationFlag)(&f.in.Interpolation), "interpolation", "bilinear or bicubic; the default is the model's")
	fs.Var(channelsFlag{&f.in.Mean}, "mean", "mean of red, green and blue, levels being 0 to 1, as 0.485,0.456,0.406; the default is the model's")
	fs.Var(channelsFlag{&f.in.Std}, "std", "standard deviation of red, green and blue, as 0.229,0.224,0.225; the default is the model's")
	fs.Var(rescaleFlag{&f.in.Rescale}, "rescale", "what levels of 0 to 255 are multiplied by before --mean and --std, which are of such levels then: 1/127.5, 1; the default is 1/255")
	fs.BoolVar(&f.in.Squash, "squash", false, "resize photos to the input whatever their shape, and cut nothing off")
	complete(cmd, "interpolation", string(model.Bilinear), string(model.Bicubic))
}

// check refuses what can't be of any model; what doesn't go with this one is an error
// of opening it.
func (f *photoFlags) check(cmd *cobra.Command) error {
	for _, flag := range []struct {
		name string
		zero bool
	}{{"resolution", f.in.Height == 0}, {"resize", f.in.Resize == 0}, {"crop", f.in.Crop == 0}} {
		if flag.zero && cmd.Flags().Changed(flag.name) {
			return usagef(cmd, "--%s 0: want more than 0", flag.name)
		}
	}
	for _, v := range slices.Concat(f.in.Mean, f.in.Std) {
		if v > 2 && f.in.Rescale == 0 {
			return usagef(cmd, "--mean and --std are of levels from 0 to 1: want %v/255, or --rescale 1 for levels up to 255", v)
		}
	}
	c := model.Default()
	if err := f.in.Apply(&c); err != nil {
		return usagef(cmd, "%w", err)
	}
	return nil
}

// sayAssumed says what a model's file leaves open and was assumed.
func sayAssumed(stderr io.Writer, model string, assumed []string) {
	if len(assumed) > 0 {
		fmt.Fprintf(stderr, "mobilenet: %s does not say how its photos were prepared; assumed: %s\n", printable(model), strings.Join(assumed, " "))
	}
}

// sizeFlag is a square's side, or HEIGHTxWIDTH.
type sizeFlag struct{ in *model.Input }

func (f sizeFlag) Type() string { return "size" }

func (f sizeFlag) String() string {
	switch {
	case f.in == nil || f.in.Height == 0:
		return ""
	case f.in.Width == 0 || f.in.Width == f.in.Height:
		return strconv.Itoa(f.in.Height)
	}
	return fmt.Sprintf("%dx%d", f.in.Height, f.in.Width)
}

func (f sizeFlag) Set(text string) error {
	height, width, rectangle := strings.Cut(text, "x")
	h, err := strconv.Atoi(height)
	w := h
	if err == nil && rectangle {
		w, err = strconv.Atoi(width)
	}
	if err != nil || h < 0 || w < 0 {
		return fmt.Errorf("want pixels, as 224, or height and width, as 192x256")
	}
	f.in.Height, f.in.Width = h, w
	return nil
}

// channelsFlag is a number for each of three channels, or one for all.
type channelsFlag struct{ values *[]float32 }

func (f channelsFlag) Type() string { return "string" } // as which args.yaml keeps it

func (f channelsFlag) String() string {
	if f.values == nil {
		return ""
	}
	var parts []string
	for _, v := range *f.values {
		parts = append(parts, strconv.FormatFloat(float64(v), 'g', -1, 32))
	}
	return strings.Join(parts, ",")
}

func (f channelsFlag) Set(text string) error {
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

// rescaleFlag is a number, or one over another: 1/255.
type rescaleFlag struct{ value *float64 }

func (f rescaleFlag) Type() string { return "string" } // as which args.yaml keeps it

func (f rescaleFlag) String() string {
	if f.value == nil || *f.value == 0 {
		return ""
	}
	return strconv.FormatFloat(*f.value, 'g', -1, 64)
}

func (f rescaleFlag) Set(text string) error {
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

// interpolationFlag is a filter that photos are resized with.
type interpolationFlag model.Interpolation

func (f *interpolationFlag) Type() string   { return "string" }
func (f *interpolationFlag) String() string { return string(*f) }

func (f *interpolationFlag) Set(text string) error {
	switch v := model.Interpolation(text); v {
	case model.Bilinear, model.Bicubic, "": // "" for the model's
		*f = interpolationFlag(v)
		return nil
	}
	return fmt.Errorf("want %s or %s", model.Bilinear, model.Bicubic)
}
