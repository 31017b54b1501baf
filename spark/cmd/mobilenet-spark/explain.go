package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mobilenet-go/mobilenet"
)

// explainFlags say what is explained of each photo.
type explainFlags struct {
	classes       []string
	method, layer string
}

func (f *explainFlags) register(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.classes, "class", "c", []string{"top1"}, "a class's name or index, or topK for the K most probable; several times for several classes")
	fs.StringVar(&f.method, "method", "", "cam, gradcam or occlusion; by default cam, and gradcam for another --layer than the last")
	fs.StringVar(&f.layer, "layer", "", "the module whose output is looked at, such as features.14; the default is the last, features.18")
}

func newExplain() *cobra.Command {
	return newJob("explain", "Show where in the photos of a manifest a class is seen", func(f *jobFlags, fs *pflag.FlagSet) {
		f.explain = true
		f.explaining.register(fs)
	})
}

// args are those of a worker that explains so.
func (f *explainFlags) args() []string {
	args := []string{"--explain"}
	for _, class := range f.classes {
		args = append(args, "--class="+class)
	}
	if f.method != "" {
		args = append(args, "--method="+f.method)
	}
	if f.layer != "" {
		args = append(args, "--layer="+f.layer)
	}
	return args
}

// options are what the flags ask of c.
func (f *explainFlags) options(c *mobilenet.Classifier) (*mobilenet.ExplainOptions, error) {
	o := &mobilenet.ExplainOptions{Method: mobilenet.Method(f.method), Layer: f.layer}
	for _, text := range f.classes {
		if k, ok := strings.CutPrefix(text, "top"); ok && !slices.Contains(c.Labels(), text) {
			if n, err := strconv.Atoi(k); err == nil && n > 0 {
				if len(f.classes) > 1 {
					return nil, fmt.Errorf("--class %s beside another --class: which classes are the most probable differs from photo to photo; want names and indices, or one topK alone", text)
				}
				o.Top = min(n, len(c.Labels()))
				return o, nil
			}
		}
		class, err := findClass(c.Labels(), text)
		if err != nil {
			return nil, err
		}
		o.Classes = append(o.Classes, class)
	}
	return o, nil
}

// findClass finds a class by its name or its index.
func findClass(labels []string, text string) (int, error) {
	index, err := strconv.Atoi(text)
	named := slices.Index(labels, text)
	switch {
	case named >= 0 && slices.Contains(labels[named+1:], text):
		return 0, fmt.Errorf("--class %s: several classes have that name: say an index", text)
	case named >= 0 && err == nil && index != named:
		return 0, fmt.Errorf("--class %s is the name of class %d, and an index", text, named)
	case named >= 0:
		return named, nil
	case err != nil:
		return 0, fmt.Errorf("--class %s: no class has that name", text)
	case index < 0 || index >= len(labels):
		return 0, fmt.Errorf("--class %s: want 0 to %d", text, len(labels)-1)
	}
	return index, nil
}
