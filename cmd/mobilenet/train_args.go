package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/train"
)

// Flags that belong to one call, not to the run, and those that a run may be
// resumed with.
var (
	notArgs   = []string{"resume", "run-dir", "dry-run", "help", "threads"}
	resumable = append([]string{"data", "test", "teacher", "int8", "epochs", "max-errors"}, notArgs...)
)

// later are flags that runs of earlier versions do not name, as they had them: a recipe
// may have others by now.
var later = map[string]any{"warmup-steps": 0, "head-epochs": 0, "head-lr": 0, "layer-decay": 0, "undo": false}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// args returns the settings of the run for args.yaml, those of the recipe too, in
// the order of their names. Paths are absolute: the run may go on from another
// folder.
func (f *trainFlags) args(fs *pflag.FlagSet) (text []byte, err error) {
	for _, path := range []*string{&f.data, &f.model, &f.config, &f.test, &f.teacher} {
		if named := *path == "none" || slices.Contains(mobilenet.Names(), *path); !named && *path != "" && isThere(*path) {
			if *path, err = filepath.Abs(*path); err != nil {
				return nil, err
			}
		}
	}
	// All flags, not those given: a later version may have other defaults and recipes.
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
	return text, cmp.Or(err, marshalErr)
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
	path := filepath.Join(f.o.RunDir, train.ArgsFile)
	text, err := boundedfile.Read(path, maxText)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("resume: no run in %s", shown(f.o.RunDir))
	case err != nil:
		return fmt.Errorf("resume: %w", err)
	}
	// What may be said anew is kept aside while args.yaml sets all flags.
	data, test, teacher, epochs, maxErrors := f.data, f.test, f.teacher, f.o.Epochs, f.o.MaxErrors
	f.o.Extend = fs.Changed("epochs")
	tolerant, int8 := fs.Changed("max-errors"), f.o.Int8
	f.settled = true
	if err := setArgs(fs, text, nil); err != nil {
		return fmt.Errorf("resume: %w", &fault.Error{
			File: path, Reason: err.Error() + "; put the file back as it was, or begin a new run in another --run-dir", Err: err,
		})
	}
	f.data, f.test, f.teacher = cmp.Or(data, f.data), cmp.Or(test, f.test), cmp.Or(teacher, f.teacher)
	if f.o.Extend {
		f.o.Epochs = epochs
	}
	if tolerant {
		f.o.MaxErrors = maxErrors
	}
	f.o.Int8 = f.o.Int8 || int8
	return nil
}

// likeAnother sets the flags that are not given as --config says, if that is the
// args.yaml of a run: a new one begins with its settings.
func (f *trainFlags) likeAnother(cmd *cobra.Command) error {
	if f.config == "" {
		return nil
	}
	text, err := boundedfile.Read(f.config, maxText)
	if err != nil || bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) { // an architecture, or nothing: see architecture
		return err
	}
	var given []string
	cmd.Flags().Visit(func(flag *pflag.Flag) { given = append(given, flag.Name) })
	given = slices.DeleteFunc(given, func(name string) bool { return name == "config" }) // the run's own
	path := f.config
	f.config, f.settled = "", true
	return fault.In(path, setArgs(cmd.Flags(), text, given))
}

// setArgs sets flags but those given as text, an args.yaml, says. Errors are a line:
// what it names may be anything.
func setArgs(fs *pflag.FlagSet, text []byte, given []string) error {
	settings := map[string]any{}
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return fmt.Errorf("not YAML of settings (%s)", strings.Join(strings.Fields(err.Error()), " "))
	}
	for _, name := range []string{"data", "recipe", "model"} {
		if settings[name] == nil {
			return fmt.Errorf("not the settings of a run: %s is missing", name)
		}
	}
	for name, value := range later {
		if settings[name] == nil {
			settings[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value := settings[name]
		switch value.(type) { // not a list, a map or a date, which YAML has too
		case string, bool, int, int64, uint64, float64:
		default:
			return fmt.Errorf("%.40q is %.40q: want text, a number or a truth value", name, fmt.Sprint(value))
		}
		if fs.Lookup(name) == nil || slices.Contains(notArgs, name) {
			return fmt.Errorf("%.40q: not a setting of a run", name)
		}
		if slices.Contains(given, name) {
			continue
		}
		if err := fs.Set(name, fmt.Sprint(value)); err != nil {
			return fmt.Errorf("%s is %.40q, which can't be", name, fmt.Sprint(value))
		}
	}
	return nil
}
