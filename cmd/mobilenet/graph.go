package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/diagram"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/internal/foreign"
	"github.com/mobilenet-go/mobilenet/internal/wholefile"
	"github.com/mobilenet-go/mobilenet/onnx"
)

type graphFlags struct {
	networkFlags
	kind, format, out string
	scale             float64
}

func newGraph() *cobra.Command {
	var f graphFlags
	cmd := &cobra.Command{
		Use:   "graph [flags] [MODEL | FILE.onnx]",
		Short: "Draw the architecture, a block, or the operators of an ONNX file",
		Long: `Draw a picture as SVG, PNG, DOT (Graphviz) or Mermaid:

  architecture  the rows of the paper's Table 2 and the tensors between them
  block         the inverted residual, stride 1 and 2, beside the classical one
  onnx          every operator of any ONNX file, with shapes and attributes, and of
                8-bit integers with scales; of another model the operators that
                export writes

Of an ONNX file it is the operators that are drawn, unless --kind says otherwise.
Architecture and block are those of MODEL (published weights or a file), or else
of a network of the given width. OUT's ending says what is written: .svg, .png,
.dot (or .gv) or .mmd. Without -o a picture goes to standard output, or, if that is
a terminal, to a file whose name is said.`,
		Example: `  mobilenet graph -o architecture.svg
  mobilenet graph --width 0.35 --resolution 96 -o small.png --scale 3
  mobilenet graph --kind block -o block.png
  mobilenet graph mobilenet.onnx -o operators.svg
  mobilenet graph mobilenet.onnx --format dot | dot -Tpdf -o operators.pdf
  mobilenet graph --kind onnx int8.tflite -o scales.svg`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				f.model = args[0]
			}
			return f.run(cmd)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.kind, "kind", "k", "", "architecture, block or onnx; by default what MODEL is")
	fs.StringVarP(&f.out, "output", "o", "", "file to write; - is standard output")
	fs.StringVarP(&f.format, "format", "f", "", "svg, png, dot or mermaid; by default what the output's ending says, or svg")
	fs.Float64Var(&f.scale, "scale", 2, "pixels of a PNG for each unit of the SVG")
	fs.StringVarP(&f.model, "model", "m", "", "published weights or a file; the same as MODEL")
	fs.Float64VarP(&f.width, "width", "w", 1, "width multiplier")
	fs.VarP(flags.Size{In: &f.input}, "resolution", "r", "input of the network: pixels; the default is the model's")
	complete(cmd, "kind", "architecture", "block", "onnx")
	complete(cmd, "format", "svg", "png", "dot", "mermaid")
	complete(cmd, "model", mobilenet.Names()...)
	return cmd
}

func (f *graphFlags) run(cmd *cobra.Command) error {
	if f.kind == "" {
		f.kind = "architecture"
		if f.isONNX() {
			f.kind = "onnx"
		}
	}
	if err := f.chooseOutput(cmd); err != nil {
		return err
	}
	d, err := f.drawing(cmd)
	if err != nil {
		return err
	}
	write := map[string]func(io.Writer) error{
		"svg": d.SVG, "dot": d.DOT, "mermaid": d.Mermaid,
		"png": func(w io.Writer) error { return d.PNG(w, f.scale) },
	}[f.format]
	var picture bytes.Buffer
	if err := write(&picture); err != nil {
		return f.named(err)
	}
	if f.out == "-" {
		_, err = picture.WriteTo(cmd.OutOrStdout())
		return err
	}
	err = atomicfile.Write(f.out, func(w io.Writer) error {
		_, err := picture.WriteTo(w)
		return err
	})
	if err == nil && !cmd.Flags().Changed("output") {
		fmt.Fprintln(cmd.OutOrStdout(), "written to", f.out)
	}
	return err
}

// isONNX reports whether the model is an ONNX file, whatever its name.
func (f *graphFlags) isONNX() bool {
	if _, err := os.Stat(f.model); err != nil {
		return strings.EqualFold(filepath.Ext(f.model), ".onnx") // reading it says what is wrong
	}
	return begins(f.model, onnx.Match)
}

// begins reports whether a file is there whose first bytes match.
func begins(path string, match func(head []byte) bool) bool {
	folder, name := wholefile.Folder(path)
	file, err := wholefile.Open(folder, name, math.MaxInt64)
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, foreign.Head)
	n, _ := io.ReadFull(file, head)
	return match(head[:n])
}

// named says which file an error is about, if one was given.
func (f *graphFlags) named(err error) error {
	if f.model == "" {
		return err
	}
	return fault.In(f.model, err)
}

var (
	formatOfEnding = map[string]string{".svg": "svg", ".png": "png", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}
	endingOfFormat = map[string]string{"svg": ".svg", "png": ".png", "dot": ".dot", "mermaid": ".mmd"}
)

// chooseOutput completes the format from the output's ending, and the output from
// where standard output leads.
func (f *graphFlags) chooseOutput(cmd *cobra.Command) error {
	terminal := isTerminal(cmd.OutOrStdout())
	if f.format == "" && (f.out == "" || f.out == "-") {
		f.format = "svg"
	}
	if f.format == "" {
		ending := strings.ToLower(filepath.Ext(f.out))
		if f.format = formatOfEnding[ending]; f.format == "" {
			return usagef(cmd, "%s: the ending %q is none of .svg, .png, .dot, .gv, .mmd; --format says what to write", f.out, ending)
		}
	}
	if err := oneOf(cmd, "format", f.format, "svg", "png", "dot", "mermaid"); err != nil {
		return err
	}
	switch {
	case f.out == "" && terminal:
		base := filepath.Base(cmp.Or(f.model, f.kind))
		f.out = strings.TrimSuffix(base, filepath.Ext(base)) + endingOfFormat[f.format]
		if _, err := os.Lstat(f.out); err == nil {
			return usagef(cmd, "%s exists: name a file with -o", f.out)
		}
	case f.out == "":
		f.out = "-"
	case f.out == "-" && f.format == "png" && terminal:
		return usagef(cmd, "a PNG does not go to a terminal: name a file with -o")
	}
	if !(f.scale > 0) {
		return usagef(cmd, "--scale %v: want more than 0", f.scale)
	}
	return nil
}

func (f *graphFlags) drawing(cmd *cobra.Command) (*diagram.Drawing, error) {
	if err := oneOf(cmd, "kind", f.kind, "architecture", "block", "onnx"); err != nil {
		return nil, err
	}
	if f.kind == "onnx" {
		return f.onnx(cmd)
	}
	m, err := f.network(cmd)
	if err != nil {
		return nil, err
	}
	c := m.Config
	if h, w := c.InputSize(); h != w {
		return nil, fmt.Errorf("its input is %dx%d, and the picture is of square inputs: say one with --resolution", h, w)
	}
	if f.kind == "block" {
		d, err := diagram.Block(c)
		if err != nil {
			return nil, f.named(err)
		}
		return d, nil
	}
	return diagram.Architecture(c), nil
}

func (f *graphFlags) onnx(cmd *cobra.Command) (*diagram.Drawing, error) {
	if f.model == "" {
		return nil, usagef(cmd, "--kind onnx needs a MODEL or a FILE.onnx")
	}
	for _, flag := range []string{"width", "resolution"} {
		if cmd.Flags().Changed(flag) {
			return nil, usagef(cmd, "--%s is not for --kind onnx: %s says what it is", flag, f.model)
		}
	}
	p, err := f.operators(cmd)
	if err != nil {
		return nil, err
	}
	d, err := diagram.ONNX(filepath.Base(f.model), p)
	if err != nil {
		return nil, f.named(err)
	}
	return d, nil
}

// operators are those of an ONNX file, or what export writes of another model.
func (f *graphFlags) operators(cmd *cobra.Command) (*onnx.Graph, error) {
	if f.isONNX() {
		return onnx.Read(f.model)
	}
	m, q, err := precisionFlag("auto").load(cmd.Context(), f.model, mobilenet.WithProgress(downloadBar(cmd.ErrOrStderr())))
	if err != nil {
		return nil, err
	}
	var p *onnx.Graph
	if q != nil {
		p, err = onnx.ExportQuantized(q, onnx.QDQ, onnx.ExportOptions{})
	} else {
		p, err = onnx.Export(m, onnx.ExportOptions{})
	}
	if err != nil {
		return nil, f.named(err)
	}
	return p, nil
}
