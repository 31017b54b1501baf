package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
)

// Flags that belong to one call, not to the run, and those that a run may be
// resumed with.
var (
	notArgs   = []string{"resume", "run-dir", "dry-run", "help", "threads"}
	resumable = append([]string{"data"}, notArgs...)
)

func (f *trainFlags) argsFile() string { return filepath.Join(f.o.RunDir, "args.yaml") }

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeArgs writes the settings of the run, those of the recipe too, in the order
// of their names. Paths are absolute: the run may go on from another folder.
func (f *trainFlags) writeArgs(fs *pflag.FlagSet) (err error) {
	for _, path := range []*string{&f.data, &f.model, &f.config} {
		if named := *path == "none" || slices.Contains(mobilenet.Names(), *path); !named && *path != "" && isThere(*path) {
			if *path, err = filepath.Abs(*path); err != nil {
				return err
			}
		}
	}
	settings := map[string]any{}
	fs.VisitAll(func(flag *pflag.Flag) {
		if slices.Contains(notArgs, flag.Name) {
			return
		}
		settings[flag.Name] = flag.Value.String()
		if flag.Value.Type() != "string" { // a number or truth value
			var v any
			err = cmp.Or(err, yaml.Unmarshal([]byte(flag.Value.String()), &v))
			settings[flag.Name] = v
		}
	})
	text, marshalErr := yaml.Marshal(settings)
	if err = cmp.Or(err, marshalErr); err != nil {
		return err
	}
	return atomicfile.Write(f.argsFile(), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// maxText is how many bytes a config or args.yaml may have.
const maxText = 1 << 20

// resume sets the flags of the run in --run-dir. --data says where the data is
// now.
func (f *trainFlags) resume(cmd *cobra.Command) error {
	fs := cmd.Flags()
	if f.o.RunDir == "" {
		return usagef(cmd, "--resume needs the --run-dir to go on with")
	}
	var other []string
	fs.Visit(func(flag *pflag.Flag) {
		if !slices.Contains(resumable, flag.Name) {
			other = append(other, "--"+flag.Name)
		}
	})
	if len(other) > 0 {
		return usagef(cmd, "%s with --resume: a run goes on with the settings that it began with", strings.Join(other, ", "))
	}
	text, err := boundedfile.Read(f.argsFile(), maxText)
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	settings := map[string]any{}
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return fmt.Errorf("%s: %w", f.argsFile(), err)
	}
	if settings["data"] == nil || settings["recipe"] == nil {
		return fmt.Errorf("%s: not the settings of a run: data or recipe is missing", f.argsFile())
	}
	data := f.data
	for name, value := range settings {
		if slices.Contains(notArgs, name) {
			return fmt.Errorf("%s: %s: not a setting of a run", f.argsFile(), name)
		}
		if err := fs.Set(name, fmt.Sprint(value)); err != nil {
			return fmt.Errorf("%s: %w", f.argsFile(), err)
		}
	}
	f.data = cmp.Or(data, f.data)
	return nil
}
