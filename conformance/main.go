// Command conformance exports models in every form and has other people's programs
// judge the files: onnx.checker whether they are well-formed, ONNX Runtime whether
// they compute what the engine does. It prints a table and fails if anything
// differs. conformance/run installs the programs; what is absent is skipped by name.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	var peers peers
	flag.StringVar(&peers.pythons, "python", "", "comma-separated Python interpreters that have the module onnx")
	flag.StringVar(&peers.modules, "node-modules", "", "folder of npm modules that has onnxruntime-node")
	shared := flag.String("shared", "", "folder with weights/mobilenet_v2_imagenet.pth and images/nips17")
	flag.Parse()
	if err := run(peers, *shared); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(p peers, shared string) error {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	photos, err := readPhotos(shared)
	if err != nil {
		return err
	}
	subjects, err := readSubjects(shared)
	if err != nil {
		return err
	}
	var cases []*testCase
	for _, s := range subjects {
		for _, o := range s.options {
			c, err := newCase(filepath.Join(dir, fmt.Sprintf("%04d", len(cases))), s, o, photos)
			if err != nil {
				return fmt.Errorf("%s %v: %w", s.name, o, err)
			}
			cases = append(cases, c)
		}
	}
	if err := errors.Join(p.check(dir, cases), p.compute(dir, cases)); err != nil {
		return err
	}
	fmt.Println(table(cases))
	return failures(cases)
}

// failures lists every case that a peer found fault with.
func failures(cases []*testCase) error {
	var lines []string
	for _, c := range cases {
		for _, f := range c.failed {
			lines = append(lines, fmt.Sprintf("%s: %s", c, f))
		}
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("%d failures:\n%s", len(lines), strings.Join(lines, "\n"))
}
