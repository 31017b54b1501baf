package flags

import (
	"testing"

	"github.com/spf13/pflag"

	"github.com/mobilenet-go/mobilenet/model"
)

func TestTolerance(t *testing.T) {
	for _, c := range []struct {
		text     string
		n, want  int64
		rewrites string
	}{
		{"0", 100, 0, "0"}, {"1", 100, 1, "1"}, {"10", 5, 10, "10"}, {"1%", 272, 2, "1%"}, {"1%", 300, 3, "1%"}, {"0.01", 300, 3, "1%"},
		{"29%", 100, 29, "29%"}, {"0.29", 100, 29, "29%"}, {"100%", 7, 7, "100%"}, {"1.0", 7, 7, "100%"}, {"0%", 7, 0, "0%"}, {"0.1%", 999, 0, "0.1%"},
	} {
		var v Tolerance
		if v.IsSet() || v.String() != "" {
			t.Errorf("set before it is")
		}
		if err := v.Set(c.text); err != nil || v.Of(c.n) != c.want || v.String() != c.rewrites || !v.IsSet() {
			t.Errorf("%s of %d: %d, want %d; %s, %v", c.text, c.n, v.Of(c.n), c.want, v.String(), err)
		}
	}
	for _, text := range []string{"", "-1", "101%", "1.5", "x", "NaN", "-1%", "%", "1e3%", "Inf"} {
		if err := new(Tolerance).Set(text); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// What Args says is what the flags were.
func TestPhotosArgs(t *testing.T) {
	read := func(args []string) (f Photos, fs *pflag.FlagSet) {
		fs = pflag.NewFlagSet("", pflag.ContinueOnError)
		f.Register(fs, true)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		return f, fs
	}
	for _, args := range [][]string{
		{}, {"-r", "192"}, {"--resolution=192x256", "--interpolation", "bicubic", "--squash"}, {"--crop=0.875", "--mean=0.1234567,0.5,0.25", "--std", "0.3"},
		{"--resize=237", "--rescale=1/127.5", "--mean=1", "--std=1"},
	} {
		f, fs := read(args)
		again, _ := read(f.Args(fs))
		a, b := model.Default(), model.Default()
		if err1, err2 := f.In.Apply(&a), again.In.Apply(&b); err1 != nil || err2 != nil || a.Preprocess != b.Preprocess || a.Resolution != b.Resolution || a.InputWidth != b.InputWidth {
			t.Errorf("%q became %q: %v %v", args, f.Args(fs), err1, err2)
		}
	}
}
