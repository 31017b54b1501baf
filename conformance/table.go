package main

import (
	"fmt"

	pretty "github.com/jedib0t/go-pretty/v6/table"
)

// table has a row for each model and set of options, over all opsets.
func table(cases []*testCase) string {
	t := pretty.NewWriter()
	t.AppendHeader(pretty.Row{"model", "mode, axes, extras", "opsets", "files", "checked", "runs", "largest difference", "allowed", ""})
	for rest := cases; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].subject == rest[0].subject && rest[n].options.String() == rest[0].options.String() {
			n++
		}
		t.AppendRow(row(rest[:n]))
		rest = rest[n:]
	}
	return t.Render()
}

// row sums up the cases of one model with the same options.
func row(cases []*testCase) pretty.Row {
	first, last := cases[0], cases[len(cases)-1]
	opsets := fmt.Sprint(first.options.Opset)
	if last != first {
		opsets = fmt.Sprintf("%s-%d", opsets, last.options.Opset)
	}
	checked, runs, worst, verdict := 0, 0, 0.0, "ok"
	for _, c := range cases {
		checked += c.checked
		for _, r := range c.runs {
			if r.ran {
				runs++
				worst = max(worst, r.difference)
			}
		}
		if c.failed != nil {
			verdict = "FAILED"
		}
	}
	return pretty.Row{first.subject.name, first.options.String(), opsets, len(cases), checked, runs, fmt.Sprintf("%.2g", worst), first.subject.tolerance, verdict}
}
