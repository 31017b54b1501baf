package main

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed check.py
var checkPy []byte

//go:embed compute.js
var computeJS []byte

// peers says where other people's programs are; "" is nowhere.
type peers struct {
	pythons string // interpreters, separated by commas
	modules string // folder of npm modules
}

// check has onnx.checker of each interpreter look at every file.
func (p peers) check(dir string, cases []*testCase) error {
	if p.pythons == "" {
		fmt.Println("skipped: onnx.checker, no Python has the module onnx")
		return nil
	}
	var files []string
	for _, c := range cases {
		files = append(files, c.file)
	}
	for python := range strings.SplitSeq(p.pythons, ",") {
		var answers []struct{ Version, Skipped, Error string }
		if err := ask(dir, "check.py", checkPy, files, &answers, python); err != nil {
			return err
		}
		for i, a := range answers {
			switch c := cases[i]; {
			case a.Error != "":
				c.failed = append(c.failed, "onnx.checker "+a.Version+": "+a.Error)
			case a.Skipped == "":
				c.checked++
			}
		}
		if len(answers) != len(cases) {
			return fmt.Errorf("%s answered for %d of %d files", python, len(answers), len(cases))
		}
		fmt.Printf("onnx.checker of onnx %s: %d files\n", answers[0].Version, len(files))
	}
	return nil
}

// compute has ONNX Runtime run every file and compares what it makes.
func (p peers) compute(dir string, cases []*testCase) error {
	if p.modules == "" {
		fmt.Println("skipped: onnxruntime-node is not installed")
		return nil
	}
	var trials []*trial
	var owners []*testCase
	for _, c := range cases {
		for _, t := range c.runs {
			if t.want != nil {
				trials, owners = append(trials, t), append(owners, c)
			}
		}
	}
	var answers []struct{ Error string }
	if err := ask(dir, "compute.js", computeJS, trials, &answers, "node", "NODE_PATH="+p.modules); err != nil {
		return err
	}
	if len(answers) != len(trials) {
		return fmt.Errorf("ONNX Runtime answered for %d of %d inputs", len(answers), len(trials))
	}
	for i, a := range answers {
		owners[i].judge(trials[i], a.Error)
	}
	return nil
}

// judge compares one output of ONNX Runtime with ours.
func (c *testCase) judge(t *trial, failure string) {
	if failure != "" {
		c.failed = append(c.failed, "ONNX Runtime: "+failure)
		return
	}
	raw, err := os.ReadFile(t.Output)
	if err != nil || len(raw) != 4*len(t.want) {
		c.failed = append(c.failed, fmt.Sprintf("ONNX Runtime: %d bytes for %d values: %v", len(raw), len(t.want), err))
		return
	}
	t.ran = true
	for i, want := range t.want {
		got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		if d := math.Abs(float64(got - want)); !(d <= t.difference) {
			t.difference = d
		}
	}
	if !(t.difference <= c.subject.tolerance) {
		c.failed = append(c.failed, fmt.Sprintf("ONNX Runtime: %v differs by %.3g, more than %g", t.Dims, t.difference, c.subject.tolerance))
	}
}

// ask runs a script in dir, with question as JSON on its standard input, and decodes
// the JSON that it answers with.
func ask(dir, name string, script []byte, question, answer any, command string, env ...string) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, script, 0o644); err != nil {
		return err
	}
	text, err := json.Marshal(question)
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd := exec.Command(command, path)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", command, name, err, stderr.Bytes())
	}
	return json.Unmarshal(out, answer)
}
