package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/onnx"
)

func newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE.onnx",
		Short: "Check that an ONNX file is well-formed, and summarise it",
		Long: `Check an ONNX file as onnx.checker does: versions, names, the order of the nodes,
operators' inputs, outputs and attributes, tensors, types and shapes. Every mistake
is reported with its node, the first ten of them in full, and the exit code is 1 if
there is one. Operators that MobileNetV2 graphs do not use are listed as not checked.`,
		Example: `  mobilenet check mobilenet.onnx`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
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
