// Command mobilenet classifies photos with MobileNetV2, describes the network
// and converts its weights.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/flags"
)

// Exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once, and so does one that nothing heeds:
	// a pipe that nobody writes to may never open. Files are whole at any moment.
	context.AfterFunc(ctx, func() {
		if drains.Load() {
			// timeout(1) sends a signal to the process and to its group: the two are one, and
			// no reason to drop what has been accepted.
			time.Sleep(time.Second)
			stop()
			return
		}
		stop()
		time.Sleep(3 * time.Second)
		os.Exit(exitInterrupted)
	})
	// Writing to a closed pipe is an error to handle, not a death: the reader has
	// seen enough.
	signal.Ignore(syscall.SIGPIPE)
	err := newRoot(asked(os.Args[1:])).ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		return 0
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, errReported):
		return exitFailed
	}
	fmt.Fprintln(os.Stderr, "error:", printable(message(err)))
	if errors.As(err, &usage) {
		fmt.Fprintln(os.Stderr, "hint:", printable(usage.hint))
		return exitUsage
	}
	return exitFailed
}

// drains is whether a command takes the time that it needs to end well.
var drains atomic.Bool

// message is an error's text, without the system call that failed on the way to a
// file.
func message(err error) string {
	if e, ok := err.(*fs.PathError); ok && slices.Contains([]string{"stat", "lstat", "open", "mkdir"}, e.Op) {
		return e.Path + ": " + e.Err.Error()
	}
	return err.Error()
}

// A usageError is a command line that makes no sense.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef is a usageError that points to the command's help.
func usagef(cmd *cobra.Command, format string, args ...any) *usageError {
	return &usageError{fmt.Errorf(format, args...), "see " + cmd.CommandPath() + " --help"}
}

// newRoot is the program's command with one verb, or with all if only is empty: to
// define all flags of all takes a quarter of a millisecond.
func newRoot(only string) *cobra.Command {
	root := &cobra.Command{
		Use:           "mobilenet",
		Short:         "MobileNetV2: classify photos, describe the network, convert its weights",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args)
		},
	}
	root.SetFlagErrorFunc(flagError)
	const letters = 2
	root.SuggestionsMinimumDistance = letters
	for _, v := range verbs {
		if only != "" && v.name != only {
			continue
		}
		cmd := v.command()
		cmd.SuggestFor, cmd.SuggestionsMinimumDistance = otherVerbs[v.name], letters
		root.AddCommand(cmd)
	}
	flags.Decimal(root)
	return root
}

// A verb is a command of the program.
type verb struct {
	name    string
	command func() *cobra.Command
}

var verbs []verb

func init() { // since what suggests commands is reached from them
	verbs = []verb{
		{"predict", newPredict}, {"summary", newSummary}, {"bench", newBench}, {"convert", newConvert},
		{"export", newExport}, {"check", newCheck}, {"graph", newGraph}, {"weights", newWeights},
		{"train", newTrain}, {"val", newVal}, {"quantize", newQuantize}, {"data", newData},
		{"explain", newExplain}, {"serve", newServe}, {"embed", newEmbed}, {"search", newSearch},
		{"duplicates", newDuplicates},
	}
}

// asked is the verb that a command line begins with, or "" if it does not.
func asked(args []string) string {
	if len(args) > 0 && slices.ContainsFunc(verbs, func(v verb) bool { return v.name == args[0] }) {
		return args[0]
	}
	return ""
}

// args checks the number of arguments and makes a wrong one a usageError.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := misread(cmd, args); err != nil {
			return err
		}
		if err := check(cmd, args); err != nil {
			return strayArguments(cmd, args)
		}
		return nil
	}
}

// oneOf is a usageError unless value is one of choices.
func oneOf(cmd *cobra.Command, flag, value string, choices ...string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return usagef(cmd, "--%s %s: want %s", flag, value, strings.Join(choices, ", "))
}

// complete offers choices as completions of a flag.
func complete(cmd *cobra.Command, flag string, choices ...string) {
	offer(cmd, flag, choices, cobra.ShellCompDirectiveNoFileComp)
}

// completeModel offers published weights and files as completions of --model.
func completeModel(cmd *cobra.Command) {
	offer(cmd, "model", mobilenet.Names(), cobra.ShellCompDirectiveDefault)
}

func offer(cmd *cobra.Command, flag string, choices []string, d cobra.ShellCompDirective) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(choices, d)); err != nil {
		panic(err) // the flag does not exist: a mistake in this program
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
