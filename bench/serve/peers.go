//go:build linux

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

// wants is what a peer's interpreter must have besides.
var wants = map[string]string{"mlserver": `, uvloop; assert uvloop.__version__ < "0.22"`} // with others its workers end as they start

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
			if p != "" && python == "" && exec.Command(p, "-c", "import "+s.name+", onnxruntime, PIL"+wants[s.name]).Run() == nil {
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
	capacity, soon, cost := map[*server][]float64{}, map[*server][]float64{}, map[*server][]float64{}
	failed := map[*server]bool{}
	for range *rounds {
		for _, s := range all {
			if failed[s] {
				continue
			}
			l, fast, err := s.most()
			if err != nil {
				fmt.Println("skipped:", err)
				failed[s] = true
				continue
			}
			capacity[s], soon[s], cost[s] = append(capacity[s], l.rate()), append(soon[s], fast), append(cost[s], 1000/l.perCPU())
		}
	}
	row("photos a second: median (best)", "eight clients", "p99 within 50 ms", "CPU ms each")
	best := 0.0
	for i, s := range all {
		if failed[s] {
			continue
		}
		row(s.name, show(capacity[s]), show(soon[s]), fmt.Sprintf("%.2f", middle(cost[s])))
		if i >= len(own) {
			best = max(best, middle(soon[s]))
		}
	}
	if best > 0 {
		for i, o := range own {
			if !failed[all[i]] {
				row(o.name+" of the best peer  >= 2, 4", "", fmt.Sprintf("%.2f", middle(soon[all[i]])/best))
			}
		}
	}
	return nil
}

func show(v []float64) string { return fmt.Sprintf("%.0f (%.0f)", middle(v), slices.Max(v)) }

// most returns what eight clients get, and the highest rate with a p99 within 50 ms.
func (s *server) most() (l load, fast float64, err error) {
	if _, err := s.start(); err != nil {
		return l, 0, err
	}
	defer s.stop()
	if l, err = s.closed(8); err != nil {
		return l, 0, err
	}
	return l, s.within(50*time.Millisecond, l.rate()), nil
}
