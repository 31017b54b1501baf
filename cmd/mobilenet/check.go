package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/wholefile"
	"github.com/mobilenet-go/mobilenet/onnx"
	"github.com/mobilenet-go/mobilenet/tflite"
)

func newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE.onnx|FILE.tflite",
		Short: "Check that an ONNX or TFLite file is well-formed, and summarise it",
		Long: `Check an ONNX file as onnx.checker does: versions, names, the order of the nodes,
operators' inputs, outputs and attributes, tensors, types and shapes. Every mistake
is reported with its node, the first ten of them in full, and the exit code is 1 if
there is one. Operators that MobileNetV2 graphs do not use are listed as not checked.

Of a TFLite file the first mistake is reported: offsets and counts, tensors, their
quantisation, metadata, and the shapes of the operators that a MobileNetV2 has.`,
		Example: `  mobilenet check mobilenet.onnx
  mobilenet check mobilenet.tflite`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if begins(args[0], tflite.Match) {
				return checkTFLite(cmd.OutOrStdout(), args[0])
			}
			p, err := onnx.Read(args[0])
			if err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			defer out.Flush() // what was found out before a mistake
			fmt.Fprintf(out, "%s: %.2f MB\n%s", args[0], float64(info.Size())/1e6, onnx.Summary(p))
			if names := onnx.Unchecked(p); len(names) > 0 {
				const shown = 10
				fmt.Fprintf(out, "not checked  %d nodes: %s", len(names), strings.Join(names[:min(shown, len(names))], ", "))
				if len(names) > shown {
					fmt.Fprint(out, ", ...")
				}
				fmt.Fprintln(out)
			}
			if err := onnx.Check(p); err != nil {
				return fault.In(args[0], err)
			}
			fmt.Fprintln(out, "ok")
			return out.Flush()
		},
	}
}

func checkTFLite(w io.Writer, file string) error {
	folder, name := wholefile.Folder(file)
	data, err := wholefile.Read(folder, name, math.MaxInt32)
	if err != nil {
		return fault.In(file, err)
	}
	about, err := tflite.Check(data)
	if about != "" {
		fmt.Fprintf(w, "%s: %.2f MB\n%s", file, float64(len(data))/1e6, about)
	}
	if err != nil {
		return fault.In(file, err)
	}
	_, err = fmt.Fprintln(w, "ok")
	return err
}
