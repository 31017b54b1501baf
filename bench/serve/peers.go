//go:build unix

package main

import (
	"encoding/base64"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// peers returns the servers of others that an interpreter has, and says which none has.
func peers(photos [][]byte) (list []*server) {
	inJSON := make([][]byte, len(photos))
	for i, p := range photos {
		inJSON[i] = fmt.Appendf(nil, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"content_type": "base64"}, "data": [%q]}]}`, base64.StdEncoding.EncodeToString(p))
	}
	for _, s := range []*server{
		{name: "litserve", path: "/predict", kind: "image/jpeg", bodies: photos},
		{name: "bentoml", path: "/predict", kind: "image/jpeg", bodies: photos},
		{name: "mlserver", path: "/v2/models/m/infer", kind: "application/json", bodies: inJSON},
	} {
		python := ""
		for p := range strings.SplitSeq(*pythons, ",") {
			if p != "" && python == "" && exec.Command(p, "-c", "import "+s.name+", onnxruntime, PIL").Run() == nil {
				python = p
			}
		}
		if python == "" {
			fmt.Printf("skipped: %s is not installed\n", s.name)
			continue
		}
		s.args, s.env = []string{python, filepath.Join(*scripts, s.name+"_server.py")}, []string{"MODEL=" + *onnx}
		list = append(list, s)
	}
	return list
}

// compare prints what servers answer at most, all with the same cores.
func compare(own []*ours, others []*server) error {
	var all []*server
	for _, o := range own {
		all = append(all, &o.server)
	}
	all = append(all, others...)
	capacity, soon := map[*server][]float64{}, map[*server][]float64{}
	failed := map[*server]bool{}
	for range *rounds {
		for _, s := range all {
			if failed[s] {
				continue
			}
			rate, fast, err := s.most()
			if err != nil {
				fmt.Println("skipped:", err)
				failed[s] = true
				continue
			}
			capacity[s], soon[s] = append(capacity[s], rate), append(soon[s], fast)
		}
	}
	row("photos a second: median (best)", "eight clients", "p99 within 50 ms")
	best := 0.0
	for i, s := range all {
		if failed[s] {
			continue
		}
		show := func(v []float64) string { return fmt.Sprintf("%.0f (%.0f)", middle(v), slices.Max(v)) }
		row(s.name, show(capacity[s]), show(soon[s]))
		if i >= len(own) {
			best = max(best, middle(soon[s]))
		}
	}
	if best > 0 {
		for _, o := range own {
			row(o.name+" of the best peer", "", fmt.Sprintf("%.2f", middle(soon[&o.server])/best))
		}
	}
	return nil
}

// most returns the photos a second of eight clients, and the highest rate with a p99
// within 50 ms.
func (s *server) most() (rate, fast float64, err error) {
	if _, err := s.start(); err != nil {
		return 0, 0, err
	}
	defer s.stop()
	l, err := s.closed(8)
	if err != nil {
		return 0, 0, err
	}
	return l.rate(), s.within(50*time.Millisecond, l.rate()), nil
}
