package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
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
	resumable = append([]string{"data", "test", "teacher", "int8", "epochs", "patience", "max-errors"}, notArgs...)
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
	case errors.Is(err, os.ErrNotExist) && train.IsRun(f.o.RunDir):
		return fmt.Errorf("resume: %s is missing: it has the settings of the run; put it back, or begin a new run", shown(path))
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("resume: no run in %s", shown(f.o.RunDir))
	case err != nil:
		return fmt.Errorf("resume: %w", err)
	}
	// What may be said anew is kept aside while args.yaml sets all flags.
	data, test, teacher, epochs, patience, maxErrors := f.data, f.test, f.teacher, f.o.Epochs, f.o.Patience, f.o.MaxErrors
	more, patient := fs.Changed("epochs"), fs.Changed("patience")
	f.o.Extend = true // a call with --epochs may have ended between writing args.yaml and the state
	f.anew = slices.ContainsFunc(resumable, func(name string) bool { return fs.Changed(name) && !slices.Contains(notArgs, name) })
	tolerant, int8 := fs.Changed("max-errors"), f.o.Int8
	f.settled = true
	settings, err := resumed(text)
	if err == nil {
		err = setArgs(fs, settings, nil)
	}
	if err != nil {
		return fmt.Errorf("resume: %w", &fault.Error{
			File: path, Reason: err.Error() + "; put the file back as it was, or begin a new run in another --run-dir", Err: err,
		})
	}
	if teacher != "" && f.teacher == "" {
		return usagef(cmd, "--teacher with --resume: the run began without a teacher, and goes on with the settings that it began with")
	}
	f.data, f.test, f.teacher = cmp.Or(data, f.data), cmp.Or(test, f.test), cmp.Or(teacher, f.teacher)
	if more {
		f.o.Epochs = epochs
	}
	if patient {
		f.o.Patience = patience
	}
	if tolerant {
		f.o.MaxErrors = maxErrors
	}
	f.o.Int8 = f.o.Int8 || int8
	return nil
}

// likeAnother sets the flags that are not given as --config says, if that is YAML: the
// args.yaml of a run, whose settings a new one begins with, or a few settings that
// somebody wrote; what these leave out is as if no flag set it.
func (f *trainFlags) likeAnother(cmd *cobra.Command) error {
	if f.config == "" {
		return nil
	}
	text, err := boundedfile.Read(f.config, maxText)
	if err != nil || bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) { // an architecture, or nothing: see architecture
		return err
	}
	path := f.config
	settings, err := readSettings(text)
	if err == nil && len(settings) == 0 {
		err = errors.New("no settings: want lines such as epochs: 20, or an architecture in JSON")
	}
	if err != nil {
		return fault.In(path, err)
	}
	var given []string
	cmd.Flags().Visit(func(flag *pflag.Flag) { given = append(given, flag.Name) })
	given = slices.DeleteFunc(given, func(name string) bool { return name == "config" }) // the run's own
	f.config, f.settled = "", isWhole(settings)
	if f.settled {
		addLater(settings)
	}
	f.from = settingsFile{path, maps.Clone(settings)}
	for _, name := range given {
		delete(f.from.settings, name)
	}
	return fault.In(path, setArgs(cmd.Flags(), settings, given))
}

// A settingsFile is what --config had of settings that no flag gave.
type settingsFile struct {
	path     string
	settings map[string]any
}

// blame names --config in an error about a setting that was made there. Such errors begin
// with the names of settings.
func (f *trainFlags) blame(err error) error {
	for wrong := range strings.SplitSeq(err.Error(), "; ") {
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(wrong, "model config: "), "--"), " ")
		if _, there := f.from.settings[strings.TrimSuffix(name, ":")]; there {
			return fmt.Errorf("%s: %w", shown(f.from.path), err)
		}
	}
	return err
}

// always are settings that every args.yaml of a run has, of any version.
var always = []string{
	"augment", "batch", "data", "epochs", "freeze", "gamma", "lr", "model", "momentum", "optimizer", "recipe", "schedule", "seed", "weight-decay",
}

// isWhole reports whether settings are all of a run's, and not a few.
func isWhole(settings map[string]any) bool {
	return !slices.ContainsFunc(always, func(name string) bool { return settings[name] == nil })
}

func addLater(settings map[string]any) {
	for name, value := range later {
		if settings[name] == nil {
			settings[name] = value
		}
	}
}

// resumed are the settings that text, the args.yaml of a run, has.
func resumed(text []byte) (map[string]any, error) {
	settings, err := readSettings(text)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"data", "recipe", "model"} {
		if settings[name] == nil {
			return nil, fmt.Errorf("not the settings of a run: %s is missing", name)
		}
	}
	addLater(settings)
	return settings, nil
}

func readSettings(text []byte) (map[string]any, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var nodes map[string]yaml.Node
	settings := map[string]any{}
	err := d.Decode(&nodes)
	for name, node := range nodes {
		var v any
		err = cmp.Or(err, node.Decode(&v))
		if settings[name] = v; node.Kind == yaml.ScalarNode && node.ShortTag() == "!!int" && isOctal(node.Value) {
			settings[name] = node.Value // 010 would be 8
		}
	}
	if err != nil && err != io.EOF { // of a file of comments
		return nil, fmt.Errorf("not YAML of settings (%s)", strings.Join(strings.Fields(err.Error()), " "))
	}
	if err := d.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("more than one document of YAML: want no --- or ... and settings behind it")
	}
	return settings, nil
}

// isOctal reports whether a whole number begins with a zero, and so may be another than
// people take it for.
func isOctal(text string) bool {
	digits := strings.TrimLeft(text, "+-")
	return len(digits) > 1 && digits[0] == '0'
}

// setArgs sets flags but those given. All settings that can't be are in one error, of a
// line: what it names may be anything.
func setArgs(fs *pflag.FlagSet, settings map[string]any, given []string) error {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		switch flag := fs.Lookup(name); {
		case flag == nil || slices.Contains(notArgs, name):
			wrong = append(wrong, notSetting(fs, name))
		case slices.Contains(given, name):
		default:
			if why := setArg(fs, flag, settings[name]); why != "" {
				wrong = append(wrong, why)
			}
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// notSetting says what was meant by a name that no setting has.
func notSetting(fs *pflag.FlagSet, name string) string {
	text := fmt.Sprintf("%.40q: not a setting of a run", name)
	var known []string
	fs.VisitAll(func(flag *pflag.Flag) { known = append(known, flag.Name) })
	meant := nearest(strings.ToLower(strings.ReplaceAll(name, "_", "-")), known)
	switch {
	case slices.Contains(notArgs, meant):
		text += fmt.Sprintf(" (--%s is of each call)", meant)
	case meant != "":
		text += fmt.Sprintf(" (did you mean %s?)", meant)
	}
	return text
}

// setArg sets a flag, or says why it can't.
func setArg(fs *pflag.FlagSet, flag *pflag.Flag, value any) string {
	switch value.(type) { // not a list, a map or a date, which YAML has too
	case nil:
		return fmt.Sprintf("%s has no value", flag.Name)
	case string, bool, int, int64, uint64, float64:
	default:
		return fmt.Sprintf("%s is %.40q: want text, a number or a truth value", flag.Name, fmt.Sprint(value))
	}
	text, want := fmt.Sprint(value), kindOf(flag)
	if whole := strings.HasPrefix(want, "a whole number"); whole && isOctal(text) {
		return fmt.Sprintf("%s is %.40q, which can't be: want %s without a zero in front", flag.Name, text, want)
	}
	if err := fs.Set(flag.Name, text); err != nil {
		if want != "" {
			return fmt.Sprintf("%s is %.40q, which can't be: want %s", flag.Name, text, want)
		}
		return fmt.Sprintf("%s is %.40q, which can't be: %v", flag.Name, text, flag.Value.Set(text)) // without the name of the flag
	}
	return ""
}
