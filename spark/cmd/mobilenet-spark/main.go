// Command mobilenet-spark classifies, embeds and explains photos by the million, on Apache Spark or
// on the cores of this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		if child, ok := errors.AsType[*exec.ExitError](err); !ok || child.ExitCode() != 1 { // which has said why
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		if _, ok := errors.AsType[*usageError](err); ok {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// A usageError is a command line that makes no sense, which no other try mends.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "mobilenet-spark",
		Short:         "Classify, embed and explain photos by the million, on Apache Spark or on this machine",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return &usageError{fmt.Errorf("%s is no command: see %s --help", args[0], cmd.Name())}
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(newPredict(), newEmbed(), newExplain(), newWorker(), newList())
	for _, cmd := range root.Commands() {
		valid := cmd.Args
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := valid(cmd, args); err != nil {
				return &usageError{err}
			}
			return nil
		}
	}
	return root
}

// version is the module's version, or the commit of a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
