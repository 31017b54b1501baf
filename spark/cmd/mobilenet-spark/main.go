// Command mobilenet-spark classifies, embeds and explains photos by the million, on Apache Spark or
// on the cores of this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/internal/flags"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		if ctx.Err() != nil {
			if e, ok := errors.AsType[*stoppedError](err); ok {
				fmt.Fprintln(os.Stderr, e)
			}
			os.Exit(exitInterrupted)
		}
		if child, ok := errors.AsType[*exec.ExitError](err); !ok || child.ExitCode() != 1 { // which has said why
			fmt.Fprintln(os.Stderr, "error:", message(err))
		}
		if _, ok := errors.AsType[*usageError](err); ok {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

const exitInterrupted = 130 // 128 + SIGINT, as shells have it

// message is an error's text, without the system call that failed on the way to a file.
func message(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return strings.ReplaceAll(err.Error(), e.Op+" "+e.Path+": ", e.Path+": ")
	}
	return err.Error()
}

// A stoppedError is a job that a signal has ended.
type stoppedError struct {
	output string
	wrote  bool
}

func (e *stoppedError) Error() string {
	if !e.wrote {
		return "stopped before anything was written"
	}
	return "stopped: what is in " + e.output + " stays, and --resume goes on with the rest"
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
	root.AddCommand(newPredict(), newEmbed(), newExplain(), newWorker(), newList(), newLocal())
	flags.Decimal(root)
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

// newLocal answers who takes --local for a command.
func newLocal() *cobra.Command {
	return &cobra.Command{
		Use: "local", Hidden: true, DisableFlagParsing: true, Args: cobra.ArbitraryArgs,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{errors.New("local is no command, but a flag: mobilenet-spark predict --local")}
		},
	}
}

// version is the module's version, or the commit of a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
