package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/vision"
)

// What is typed in error is answered with what was meant.

// otherNames are what other programs call a flag of this one.
var otherNames = map[string][]string{
	"model":      {"weights", "checkpoint", "ckpt", "pretrained", "net", "network", "model-path", "onnx"},
	"data":       {"dataset", "dir", "folder", "path", "input", "source", "images", "photos", "train-dir"},
	"top":        {"topk", "top-k", "num", "best", "classes"},
	"threshold":  {"conf", "confidence", "min-probability", "min-confidence", "score"},
	"resolution": {"imgsz", "img-size", "image-size", "input-size", "size", "res"},
	"threads":    {"workers", "jobs", "cpus", "cores", "num-threads", "num-workers", "parallel"},
	"batch":      {"batch-size", "bs"},
	"epochs":     {"num-epochs"},
	"lr":         {"learning-rate"},
	"output":     {"out", "file", "save", "to"},
	"out":        {"output", "output-dir", "save", "report"},
	"run-dir":    {"output", "out", "output-dir", "project", "save-dir"},
	"labels":     {"names", "class-names", "classes"},
	"width":      {"width-mult", "alpha", "depth-multiplier"},
}

// otherVerbs are what other programs call a command of this one.
var otherVerbs = map[string][]string{
	"predict": {"classify", "infer", "inference", "detect", "label", "run"},
	"val":     {"eval", "evaluate", "validate", "validation", "test", "accuracy"},
	"train":   {"finetune", "fine-tune", "fit", "learn"},
	"summary": {"info", "show", "describe", "inspect", "layers", "print"},
	"weights": {"models", "model", "list", "pull", "download", "zoo"},
	"bench":   {"benchmark", "speed", "time", "profile"},
	"graph":   {"draw", "plot", "visualize", "visualise", "diagram"},
	"data":    {"dataset", "datasets"},
	"explain": {"cam", "gradcam", "grad-cam", "heatmap", "why", "saliency"},
	"export":  {"onnx"},
}

// flagError explains a flag that can't be parsed.
func flagError(cmd *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		if want := kindOf(e.GetFlag()); want != "" {
			return usagef(cmd, "--%s %s: want %s", e.GetFlag().Name, e.GetValue(), want)
		}
		return usagef(cmd, "--%s %s: %w", e.GetFlag().Name, e.GetValue(), e.Unwrap())
	}
	e, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return usagef(cmd, "%w", err)
	}
	// -topk is five flags of one letter to the parser, and one to who typed it.
	if before := cmd.Flags().Args(); !cmd.HasParent() && len(before) > 0 {
		return unknownCommand(cmd, before) // whose flags nobody knows
	}
	name, dashes := e.GetSpecifiedName(), "--"
	if short := e.GetSpecifiedShortnames(); short != "" {
		name, dashes = short, "-"
	}
	u := usagef(cmd, "unknown flag: %s%s", dashes, name)
	if hint := meantFlag(cmd, name); hint != "" {
		u.hint = hint
	}
	return u
}

// kindOf says what values a flag of a plain type takes; others say it themselves.
func kindOf(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int", "int64":
		return "a whole number"
	case "uint", "uint64":
		return "a whole number, 0 or more"
	case "float64":
		return "a number, such as 0.5"
	case "bool":
		return "true or false"
	}
	return ""
}

// meantFlag returns a hint for a flag that cmd has not, or "".
func meantFlag(cmd *cobra.Command, name string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	if !cmd.HasParent() {
		return "flags stand behind a command: mobilenet predict --model FILE PHOTO; see mobilenet --help"
	}
	if f := cmd.Flag("format"); f != nil && slices.Contains([]string{"json", "csv", "table"}, name) {
		return "did you mean --format " + name + "?"
	}
	var flags []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
	if meant := nearest(name, flags); meant != "" {
		return "did you mean --" + meant + "?"
	}
	if slices.Contains([]string{"gpu", "gpus", "cuda", "device"}, name) {
		return "everything runs on the CPU; see " + cmd.CommandPath() + " --help"
	}
	var others []string
	for _, other := range newRoot("").Commands() {
		if other.Flags().Lookup(name) != nil {
			others = append(others, other.Name())
		}
	}
	if len(others) == 0 {
		return ""
	}
	return "--" + name + " is a flag of mobilenet " + strings.Join(others, ", ") + "; see " + cmd.CommandPath() + " --help"
}

// nearest returns the one of the flags that name stands for, or "".
func nearest(name string, flags []string) string {
	best, least := "", 3 // a slip or two
	for _, f := range flags {
		d := distance(name, f)
		switch {
		case slices.Contains(otherNames[f], name):
			return f
		case len(name) >= 3 && strings.HasPrefix(f, name):
			d = 1
		}
		if d < least && d < max(len(name), len(f))-1 { // of two letters, not both
			best, least = f, d
		}
	}
	return best
}

// distance is how many letters have to be inserted, deleted, replaced or swapped
// with their neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	above, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := make([]int, len(b)+1)
		last[0] = i + 1
		for j := range len(b) {
			same := 1
			if a[i] == b[j] {
				same = 0
			}
			last[j+1] = min(last[j]+1, row[j+1]+1, row[j]+same)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				last[j+1] = min(last[j+1], above[j-1]+1)
			}
		}
		above, row = row, last
	}
	return row[len(b)]
}

// unknownCommand explains what is no command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	name := args[0]
	err := usagef(cmd, "unknown command %q", name)
	near := cmd.SuggestionsFor(name)
	info, statErr := os.Stat(name)
	meant := "" // a command line
	switch {
	case cmd.HasParent() && len(near) == 0: // a command of weights or data
	case cmd.HasParent(), len(near) > 0 && statErr != nil:
		meant = strings.Join(append(near[:1], args[1:]...), " ")
	case name == "version":
		meant = "--version"
	case isModel(name):
		meant = "summary " + name
	case statErr == nil && (info.IsDir() || isPhoto(name)), isURL(name), vision.IsImage(name):
		meant = "predict " + strings.Join(args, " ")
	}
	if meant != "" {
		err.hint = "did you mean " + cmd.CommandPath() + " " + meant + "?"
	}
	return err
}

// strayArguments explains the wrong number of arguments.
func strayArguments(cmd *cobra.Command, args []string) error {
	model, data := cmd.Flag("model"), cmd.Flag("data")
	switch {
	case cmd.HasSubCommands() && len(args) > 0:
		return unknownCommand(cmd, args)
	case model != nil && isPhoto(model.Value.String()):
		return photoAsModel(cmd, model.Value.String())
	}
	if want := arguments(cmd); want != "" {
		return usagef(cmd, "%s wants %s, and got %s", cmd.CommandPath(), want, counted(len(args)))
	}
	u := usagef(cmd, "%s takes no argument %q", cmd.CommandPath(), args[0])
	switch {
	case data != nil && !data.Changed:
		u.hint = fmt.Sprintf("did you mean %s --data %s?", cmd.CommandPath(), args[0])
	case model != nil && !model.Changed && isModel(args[0]):
		u.hint = fmt.Sprintf("did you mean %s --model %s?", cmd.CommandPath(), args[0])
	}
	return u
}

func counted(arguments int) string {
	switch arguments {
	case 0:
		return "nothing"
	case 1:
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", arguments)
}

// arguments are those of a command as its help has them, "IN OUT", without flags.
func arguments(cmd *cobra.Command) string {
	_, rest, _ := strings.Cut(strings.Replace(cmd.Use, " [flags]", "", 1), " ")
	if strings.HasPrefix(rest, "-") {
		return ""
	}
	return rest
}

// misread finds arguments that the parser took for something else: a flag of one
// letter that was meant as a long one, and dashes that a web page made beautiful.
func misread(cmd *cobra.Command, args []string) error {
	for _, a := range args {
		if flag := strings.TrimLeft(a, "–—−‐‑"); flag != a {
			u := usagef(cmd, "%s begins with a dash of another kind", a)
			u.hint = "did you mean --" + strings.TrimLeft(flag, "-") + "?"
			return u
		}
	}
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Shorthand != "" && f.Shorthand+f.Value.String() == f.Name {
			u := usagef(cmd, "-%s: a flag of several letters has two dashes", f.Name)
			u.hint = "did you mean --" + f.Name + "?"
			err = u
		}
	})
	return err
}

// modelAsPhoto finds a model among photos to classify.
func modelAsPhoto(cmd *cobra.Command, photos []string) error {
	i := slices.IndexFunc(photos, func(name string) bool { return !isURL(name) && isModel(name) && !isPhoto(name) })
	if i < 0 || cmd.Flag("model").Changed {
		return nil
	}
	u := usagef(cmd, "%s is a model and no photo", photos[i])
	u.hint = "did you mean " + cmd.CommandPath() + " --model " + strings.Join(append([]string{photos[i]}, slices.Delete(slices.Clone(photos), i, i+1)...), " ") + "?"
	return u
}

// photoAsModel explains a photo where a model should be.
func photoAsModel(cmd *cobra.Command, photo string) error {
	u := usagef(cmd, "--model %s: an image and no model", photo)
	u.hint = "photos need no flag: mobilenet predict " + photo
	return u
}

// isModel reports whether a word is meant for a model: by its name, or by that of a
// file.
func isModel(name string) bool {
	endings := []string{".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".tflite", ".keras", ".h5", ".pb", ".bin"}
	return slices.Contains(mobilenet.Names(), name) || slices.Contains(endings, strings.ToLower(filepath.Ext(name)))
}

// isPhoto reports whether a file holds an image of any format.
func isPhoto(path string) bool {
	format, _, err := vision.RecogniseFile(path)
	return err == nil && format != "" && format != "Git LFS pointer" // which may be that of a model
}
