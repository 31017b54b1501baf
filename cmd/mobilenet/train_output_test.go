package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/train"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// TestUnbalancedNote: of ten times as many photos of a class as of another it is said
// what can be done, unless it is done.
func TestUnbalancedNote(t *testing.T) {
	for _, c := range []struct {
		many, few int
		balance   train.Balance
		said      bool
	}{{10, 1, train.NoBalance, true}, {9, 1, train.NoBalance, false}, {100, 1, train.BalanceLoss, false}, {10, 0, train.NoBalance, false}} {
		set := &dataset.Set{Classes: []string{"many", "few"}}
		for i := range c.many + c.few {
			set.Items = append(set.Items, dataset.Item{Label: min(1, i/c.many)})
		}
		var f trainFlags
		f.o.Train, f.o.Balance = set, c.balance
		var out bytes.Buffer
		f.warnUnbalanced(&out)
		if said := strings.Contains(out.String(), "from 1 to"); said != c.said {
			t.Errorf("%+v: %q", c, out.String())
		}
	}
}

// TestNumber: a loss that has grown beyond all bounds is no row of digits.
func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0.12345: "0.1235", 999999: "999999.0000", 44425597239584360: "4.443e+16", math.Inf(1): "+Inf"} {
		if got := number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if got := number(math.NaN()); got != "-" {
		t.Errorf("NaN: %s", got)
	}
}

// TestFullDiskTraining: a run that is there can go on once there is room.
func TestFullDiskTraining(t *testing.T) {
	var f trainFlags
	f.o.RunDir = t.TempDir()
	full := fmt.Errorf("saving: %w", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})
	if err := f.canGoOn(full); err != full {
		t.Errorf("of no run: %v", err)
	}
	if err := os.WriteFile(filepath.Join(f.o.RunDir, train.ArgsFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := f.canGoOn(full)
	if want := "go on with: mobilenet train --resume --run-dir " + shellWord(f.o.RunDir) + ")"; !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if other := errors.New("other"); f.canGoOn(other) != other {
		t.Error("another error says so")
	}
}

// TestTop5 is of use for more than five classes alone.
func TestTop5(t *testing.T) {
	for n, want := range map[int]bool{5: false, 6: true} {
		e := report.Evaluation{PerClass: make([]report.Class, n)}
		if got := strings.Contains(overall(&e), "top-5"); got != want {
			t.Errorf("%d classes: top-5 %v, want %v", n, got, want)
		}
	}
}

// TestShellWord lets a shell read the paths of hints.
func TestShellWord(t *testing.T) {
	for path, want := range map[string]string{
		"runs/train": "runs/train", "köln/2": "köln/2", "my run": "'my run'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "~": "'~'", "": "''",
		"a\x1b'\n": `$'a\x1b\'\n'`,
	} {
		got := shellWord(path)
		if got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
		if bash, err := exec.LookPath("bash"); err == nil {
			if out, err := exec.Command(bash, "-c", "printf %s "+got).Output(); err != nil || string(out) != path {
				t.Errorf("bash reads %s as %q, error %v; want %q", got, out, err, path)
			}
		}
	}
}
