package checkpoint

import (
	"fmt"
	"strconv"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// classNames are what somebody keeps beside weights: the class_to_idx of a
// torchvision.datasets.ImageFolder, or a list.
type classNames struct {
	key   string
	names []string
}

// namesKeys are what such things are called.
var namesKeys = []string{
	"class_to_idx", "idx_to_class", "classes", "class_names", "classnames", "names", "labels", "label_names", "id2label", "label2id",
	"CLASSES",
}

// namesBeside finds the names of classes in an unpickled checkpoint: at its top, and in
// what mmpretrain and Lightning keep below.
func namesBeside(value any) []classNames {
	top, ok := value.(*dict)
	if !ok {
		return nil
	}
	var found []classNames
	in := func(prefix string, d *dict) {
		for _, key := range namesKeys {
			if names := namesOf(d.get(key)); names != nil {
				found = append(found, classNames{prefix + key, names})
			}
		}
	}
	in("", top)
	for _, key := range []string{"meta", "hyper_parameters", "datamodule_hyper_parameters"} {
		if d, ok := top.get(key).(*dict); ok {
			in(key+".", d)
			if d, ok := d.get("dataset_meta").(*dict); ok {
				in(key+".dataset_meta.", d)
			}
		}
	}
	return found
}

// namesOf lists the names in a list, or by number in a dictionary either way round, if
// there is one for each number from 0.
func namesOf(v any) []string {
	switch v := v.(type) {
	case *list:
		return texts(v.items)
	case tuple:
		return texts(v)
	case *dict:
		items := make([]any, len(v.keys))
		for i, key := range v.keys {
			name, number := key, v.values[i]
			if _, ok := number.(string); ok {
				name, number = number, key
			}
			at, ok := number.(int64)
			if text, isText := number.(string); isText { // JSON's keys
				n, err := strconv.ParseInt(text, 10, 64)
				at, ok = n, err == nil
			}
			if !ok || at < 0 || at >= int64(len(items)) || items[at] != nil {
				return nil
			}
			items[at] = name
		}
		return texts(items)
	}
	return nil
}

func texts(items []any) []string {
	var names []string
	for _, v := range items {
		name, ok := v.(string)
		if !ok || name == "" {
			return nil
		}
		names = append(names, name)
	}
	return names
}

// takeNames gives m the names that fit its classes. Others are noted.
func (f *contents) takeNames(m *model.Model) {
	n := m.Config.Outcomes()
	for _, c := range f.names {
		switch {
		case len(c.names) == n && m.Labels == nil:
			m.Labels = c.names
		case len(c.names) != n && m.Config.Classes > 0:
			m.Notes = append(m.Notes, fmt.Sprintf("left out: %s, %d names for %d classes", fault.Shown(c.key), len(c.names), n))
		}
	}
}
