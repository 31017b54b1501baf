package main

import (
	"errors"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/internal/hub"
)

func newWeights() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "weights",
		Short: "List, fetch and verify published weights",
		Long: `List, fetch and verify published weights. They are kept in the user's cache
folder; MOBILENET_CACHE names another, MOBILENET_MIRROR another server.`,
		Example: `  mobilenet weights list
  mobilenet weights pull imagenet1k_v1
  MOBILENET_MIRROR=https://mirror.example.com/models mobilenet weights pull`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(weightsList(), weightsPull(),
		weightsEach("path [NAME...]", "Print where the files are", `  cp "$(mobilenet weights path imagenet1k_v2)" .`, printPath),
		weightsEach("verify [NAME...]", "Hash the cached files and compare with what was published", "  mobilenet weights verify imagenet1k_v1", verify))
	return cmd
}

func weightsList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List published weights and which are cached", Example: "  mobilenet weights list",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := hub.FromEnv()
			if err != nil {
				return err
			}
			t := newTable()
			t.AppendHeader(table.Row{"name", "acc@1", "acc@5", "resize", "MB", "cached"})
			for _, name := range builtin.Names() {
				data, _ := builtin.Lookup(name)
				t.AppendRow(table.Row{name, "", "", "", fmt.Sprintf("%.1f", float64(len(data))/1e6), "in the program"})
			}
			for _, w := range hub.List() {
				state := "no"
				switch s := client.State(w); {
				case s.Verified:
					state = "yes"
				case s.Cached:
					state = "damaged"
				case s.Partial > 0:
					state = fmt.Sprintf("%.1f MB", float64(s.Partial)/1e6)
				}
				t.AppendRow(table.Row{w.Name, w.Acc1, w.Acc5, w.Preprocess.Resize, fmt.Sprintf("%.1f", float64(w.Bytes)/1e6), state})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n\ncache: %s\n", t.Render(), client.Dir)
			return err
		},
	}
}

func weightsPull() *cobra.Command {
	var offline bool
	cmd := weightsEach("pull [NAME...]", "Download weights into the cache, all of them if none is named", "  mobilenet weights pull imagenet1k_v2",
		func(cmd *cobra.Command, client hub.Client, w hub.Weights) error {
			client.Offline, client.Progress = offline, downloadBar(cmd.ErrOrStderr())
			path, err := client.Pull(cmd.Context(), w)
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return err
		})
	cmd.Flags().BoolVar(&offline, "offline", false, "download nothing; fail unless the weights are there")
	return cmd
}

// weightsEach is a command that does something for each of the named weights, or
// for all.
func weightsEach(use, short, example string, do func(*cobra.Command, hub.Client, hub.Weights) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example,
		ValidArgs: mobilenet.Published(),
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = mobilenet.Published()
			}
			var all []hub.Weights
			for _, name := range names {
				if _, ok := builtin.Lookup(name); ok {
					return fmt.Errorf("%s is in the program; mobilenet convert %s FILE writes it to a file", name, name)
				}
				w, ok := hub.Lookup(name)
				if !ok {
					return usagef(cmd, "%q are no published weights; there are %q", name, mobilenet.Published())
				}
				all = append(all, w)
			}
			client, err := hub.FromEnv()
			if err != nil {
				return err
			}
			var errs []error // one that is absent does not hide one that is damaged
			for _, w := range all {
				errs = append(errs, do(cmd, client, w))
			}
			return errors.Join(errs...)
		},
	}
}

func printPath(cmd *cobra.Command, client hub.Client, w hub.Weights) error {
	if s := client.State(w); !s.Cached {
		return fmt.Errorf("%s is not in the cache; it would be %s", w.Name, client.Path(w))
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), client.Path(w))
	return err
}

func verify(cmd *cobra.Command, client hub.Client, w hub.Weights) error {
	if s := client.State(w); !s.Cached {
		if cmd.Flags().NArg() > 0 {
			return fmt.Errorf("%s is not in the cache", w.Name)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: not in the cache\n", w.Name)
		return err
	}
	if err := client.Verify(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: sha256 begins with %s, as published\n", client.Path(w), w.SHA256)
	return err
}
