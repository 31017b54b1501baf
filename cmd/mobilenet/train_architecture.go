package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train"
)

// architecture is that of a network without weights: --config's, the recipe's, or
// torchvision's of --width.
func (f *trainFlags) architecture(cmd *cobra.Command, recipe train.Recipe) (c model.Config, err error) {
	c = model.Default()
	c.Width = f.width
	text, name := recipe.Config, recipe.Name
	if f.config != "" {
		if text, err = boundedfile.Read(f.config, maxText); err != nil {
			return c, err
		}
		name = f.config
	}
	if text == nil {
		return c, nil
	}
	if err := readArchitecture(text, &c); err != nil {
		return c, fault.In(name, err)
	}
	if cmd.Flags().Changed("width") && c.Width != f.width {
		return c, usagef(cmd, "--width %v, and %s has width %v: want one of the two", f.width, shown(name), c.Width)
	}
	return c, nil
}

// readArchitecture changes the fields of c that text, JSON, has. A name that no field
// has is an error: a slip of the pen would train another network.
func readArchitecture(text []byte, c *model.Config) error {
	var names any
	err := json.Unmarshal(text, &names)
	if err == nil {
		if unknown := unknownFields("", names, reflect.TypeFor[model.Config]()); len(unknown) > 0 {
			return fault.Brokenf("not in an architecture: %s", strings.Join(unknown, ", "))
		}
		err = json.Unmarshal(text, c)
	}
	if err != nil {
		return fault.Brokenf("not the JSON of an architecture: %v", err)
	}
	if !c.Head.Plain() {
		return fault.Unsupportedf("head: a network is trained with one linear layer and a softmax")
	}
	return nil
}

// unknownFields lists the names in v, which JSON was read to, that t has no fields for.
func unknownFields(at string, v any, t reflect.Type) (unknown []string) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			if t.Kind() == reflect.Slice {
				unknown = append(unknown, unknownFields(fmt.Sprintf("%s[%d]", at, i), e, t.Elem())...)
			}
		}
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return nil // which the decoder reports
		}
		fields := map[string]reflect.Type{}
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields[name] = f.Type
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			path := strings.TrimPrefix(at+"."+name, ".")
			if is, ok := fields[strings.ToLower(name)]; ok { // as encoding/json takes them
				unknown = append(unknown, unknownFields(path, v[name], is)...)
				continue
			}
			text := fmt.Sprintf("%.60q", path)
			if meant := nearest(strings.ToLower(name), slices.Sorted(maps.Keys(fields))); meant != "" {
				text += fmt.Sprintf(" (did you mean %s?)", meant)
			}
			unknown = append(unknown, text)
		}
	}
	return unknown
}
