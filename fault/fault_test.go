package fault_test

import (
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

func TestError(t *testing.T) {
	_, missing := os.Open("no/such/file")
	for _, c := range []struct {
		err  error
		want string
	}{
		{fault.At(17, "a header of %d bytes", 9), "at byte 17: a header of 9 bytes"},
		{fault.In("a.pth", fault.At(17, "cut short")), "a.pth: at byte 17: cut short"},
		{fault.In("b.zip", fault.In("a.pth", fault.Brokenf("cut short"))), "a.pth: cut short"},
		{fault.In("b.zip", fmt.Errorf("loading: %w", fault.In("a.pth", fault.Brokenf("cut short")))), "loading: a.pth: cut short"},
		{fault.In("a.pth", errors.New("no")), "a.pth: no"},
		{fault.In("a.pth", missing), "a.pth: no such file or directory"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if !errors.Is(fault.In("a.pth", missing), fs.ErrNotExist) {
		t.Error("the reason of a path error is lost")
	}
	if fault.In("a.pth", nil) != nil {
		t.Error("nil became an error")
	}
}

func TestIs(t *testing.T) {
	for _, c := range []struct {
		err         error
		unsupported bool
	}{
		{fault.Brokenf("cut short"), false},
		{fault.Unsupportedf("version 9"), true},
		{fault.In("a.png", fault.TooLargef("%d pixels", 1)), true},
		{fmt.Errorf("more: %w", fault.In("a.png", fault.Unsupportedf("HEIC"))), true},
	} {
		if got := errors.Is(c.err, errors.ErrUnsupported); got != c.unsupported {
			t.Errorf("%v: is unsupported: %v", c.err, got)
		}
	}
	if err := (&fault.Error{Kind: fault.Unsupported, Reason: "not an image", Err: image.ErrFormat}); !errors.Is(err, image.ErrFormat) {
		t.Error("the cause is not found")
	}
}

func TestShown(t *testing.T) {
	for name, want := range map[string]string{
		"features.0.0.weight":         "features.0.0.weight",
		"poids du café":               "poids du café",
		"\x1b[31mred":                 `"\x1b[31mred"`,
		"two\nlines":                  `"two\nlines"`,
		"\xff":                        `"\xff"`,
		strings.Repeat("é", 51):       strings.Repeat("é", 50) + "...",
		"a" + strings.Repeat("é", 51): "a" + strings.Repeat("é", 49) + "...",
	} {
		if got := fault.Shown(name); got != want {
			t.Errorf("%q is shown as %s, want %s", name, got, want)
		}
	}
}
