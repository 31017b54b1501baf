package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/train"
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
