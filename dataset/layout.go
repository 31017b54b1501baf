package dataset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/vision"
)

// wanted is what errors say of the forms that data may have.
const wanted = "want a folder per class with photos in it, train/ and val/ of such, a CSV of path and label, or IDX files"

// A layout is where the parts of a data set are, before any is opened. A set that
// isn't divided is all train.
type layout struct {
	path             string
	train, val, test *source
	divided          bool
	notes            []string
}

// A source is a part of a data set.
type source struct {
	name string // "Train/", "val.csv"
	path string
	open func(training bool) (*Set, error)
}

// part returns where l keeps a part.
func (l *layout) part(name string) **source {
	return map[string]**source{"train": &l.train, "val": &l.val, "test": &l.test}[name]
}

// without is the error that says that a part is not there.
func (l *layout) without(part string) error {
	return fault.In(l.path, fault.Unsupportedf("no %s part, only %s%s", part, l.there(), l.instead()))
}

// instead says how to use the one part that is there.
func (l *layout) instead() string {
	for _, s := range []*source{l.train, l.val, l.test} {
		if s != nil && s.path != l.path {
			return "; to use that all the same give " + s.path
		}
	}
	return ""
}

// partWords name the parts of a data set: Keras's examples say train and
// validation, Roboflow's exports valid, others training and testing.
var partWords = map[string]string{
	"train": "train", "training": "train", "trainset": "train",
	"val": "val", "valid": "val", "validation": "val", "valset": "val",
	"test": "test", "testing": "test", "testset": "test",
}

// fillers may stand beside such a word: training_set, test-images, seg_train.
var fillers = []string{"set", "data", "dataset", "images", "photos", "split", "seg"}

// partOf returns which part a folder's or a file's name means ("train", "val" or
// "test"), or "".
func partOf(name string) string {
	part := ""
	for _, word := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune(" _-.", r) }) {
		switch p := partWords[word]; {
		case p != "" && part != "":
			return ""
		case p != "":
			part = p
		case !slices.Contains(fillers, word):
			return ""
		}
	}
	return part
}

// survey finds out which form the data at path has.
func survey(path string) (*layout, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return surveyTable(path)
	case hasIDX(path):
		return surveyIDX(path), nil
	}
	return surveyFolder(path)
}

// content is what is visible in a folder.
type content struct {
	folders []string
	tables  []string // CSV and TSV files
	images  int      // files that are images by their names
}

func look(dir string) (c content, err error) {
	err = entries(dir, func(e fs.DirEntry) bool {
		switch name := e.Name(); {
		case isFolder(dir, e):
			c.folders = append(c.folders, name)
		case isTable(name):
			c.tables = append(c.tables, name)
		case vision.IsImage(name):
			c.images++
		}
		return true
	})
	slices.Sort(c.folders)
	slices.Sort(c.tables)
	return c, err
}

func isTable(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".csv" || ext == ".tsv"
}

// list picks the table that describes the images of a folder: the name that
// Roboflow or Hugging Face or Kaggle gives it, or the only one.
func (c content) list() string {
	for _, name := range []string{"_classes.csv", "metadata.csv", "labels.csv"} {
		if slices.Contains(c.tables, name) {
			return name
		}
	}
	if len(c.tables) == 1 {
		return c.tables[0]
	}
	return ""
}

func surveyFolder(dir string) (*layout, error) {
	c, err := look(dir)
	if err != nil {
		return nil, err
	}
	l := &layout{path: dir}
	if err := l.tables(c); err != nil || l.train != nil || l.val != nil {
		return l, err
	}
	*l = layout{path: dir}
	if err := l.folders(c); err != nil || l.divided {
		return l, err
	}
	list := c.list()
	if list != "" && (len(c.folders) == 0 || c.onlyParts() || len(c.folders) == 1 && l.plain(c.folders[0])) {
		// A table beside the images, the one folder of them, or the folders of its
		// parts.
		l, err := surveyTable(filepath.Join(dir, list))
		if err == nil {
			l.note("the images are those of the table")
		}
		return l, err
	}
	switch {
	case len(c.folders) == 0 && len(c.tables) > 1:
		return nil, fault.In(dir, fault.Unsupportedf("several tables (%s): name the one that lists the images", some(c.tables)))
	case len(c.folders) == 0 && c.images > 0:
		return nil, fault.In(dir, fault.Unsupportedf("%s, but no folders that say what is in them: %s", images(c.images), wanted))
	}
	if err := l.classes(c); err != nil {
		return nil, err
	}
	l.train = &source{name: "the whole", path: dir, open: func(training bool) (*Set, error) { return openClasses(dir, c.folders, training) }}
	return l, nil
}

// onlyParts reports whether all folders are called as parts are.
func (c content) onlyParts() bool {
	return !slices.ContainsFunc(c.folders, func(name string) bool { return partOf(name) == "" })
}

// plain reports whether a folder holds no folders.
func (l *layout) plain(folder string) bool {
	c, err := look(filepath.Join(l.path, folder))
	return err == nil && len(c.folders) == 0
}

// tables finds train.csv and val.csv.
func (l *layout) tables(c content) error {
	for _, name := range c.tables {
		part := partOf(strings.TrimSuffix(name, filepath.Ext(name)))
		if part == "" {
			continue
		}
		path := filepath.Join(l.path, name)
		if err := l.put(part, &source{name: name, path: path, open: func(bool) (*Set, error) { return openList(path) }}); err != nil {
			return err
		}
	}
	return nil
}

// put makes s a part, unless there is one.
func (l *layout) put(part string, s *source) error {
	at := l.part(part)
	if *at != nil {
		return fault.In(l.path, fault.Unsupportedf("%s and %s are both the %s part: leave one", (*at).name, s.name, part))
	}
	*at, l.divided = s, true
	return nil
}

// folders finds train/ and val/. These have folders in them, or a table: train/
// may also be the class of the photos of trains.
func (l *layout) folders(c content) error {
	var classes, flat []string
	inner := map[string]content{}
	for _, name := range c.folders {
		part := partOf(name)
		if part == "" {
			classes = append(classes, name)
			continue
		}
		in, err := look(filepath.Join(l.path, name))
		if err != nil {
			return err
		}
		inner[name] = in
		if len(in.folders) == 0 && in.list() == "" {
			flat = append(flat, name)
			continue
		}
		path := filepath.Join(l.path, name)
		open := func(training bool) (*Set, error) { return openPart(path, part, training) }
		if err := l.put(part, &source{name + "/", path, open}); err != nil {
			return err
		}
	}
	if !l.divided {
		return nil
	}
	// What is beside the parts must not look like a class.
	for _, name := range classes {
		in, err := look(filepath.Join(l.path, name))
		if err != nil {
			return err
		}
		switch {
		case in.images > 0:
			return fault.In(l.path, fault.Unsupportedf("%s/ holds images itself, but lies beside parts of a data set (%s): move it into one, or away", name, l.there()))
		case len(in.folders) > 0:
			l.note("not used: %s/ beside %s", name, l.there())
		}
	}
	for _, name := range flat {
		switch in := inner[name]; {
		case in.images > 0 && partOf(name) == "train":
			return fault.In(l.path, fault.Unsupportedf("%s/ has %s, but no folder per class as %s has", name, images(in.images), l.there()))
		case in.images > 0:
			l.note("not used: %s/, whose images lie in no class's folder", name)
		}
	}
	if c.images > 0 {
		l.note("not used: %s beside %s", images(c.images), l.there())
	}
	if c.tables != nil {
		l.note("not used: %s beside %s", some(c.tables), l.there())
	}
	return nil
}

func (l *layout) there() string {
	var names []string
	for _, s := range []*source{l.train, l.val, l.test} {
		if s != nil {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, " and ")
}

func (l *layout) note(format string, args ...any) {
	l.notes = append(l.notes, l.path+": "+fmt.Sprintf(format, args...))
}

// classes refuses folders that can't be classes and says what else there is.
func (l *layout) classes(c content) error {
	if err := boxes(l.path, c); err != nil {
		return err
	}
	var parts, classes []string
	for _, name := range c.folders {
		if partOf(name) != "" {
			parts = append(parts, name+"/")
		} else {
			classes = append(classes, name+"/")
		}
	}
	// Beside classes, valid may be the opposite of invalid, and train the vehicle.
	words := !slices.ContainsFunc(parts, func(name string) bool { return name != "train/" && name != "valid/" })
	switch {
	case len(parts) > 0 && len(classes) == 0:
		return fault.In(l.path, fault.Unsupportedf("only %s, without folders of classes: move the images of each class into a folder with its name", strings.Join(parts, " and ")))
	case len(parts) > 0 && !words:
		return fault.In(l.path, fault.Unsupportedf("%s is called as a part of a data set, but lies beside classes (%s): move these into train/, or rename a class that is called so", strings.Join(parts, " and "), some(classes)))
	case len(parts) > 0:
		l.note("taken for a class: %s, which has no folders in it", strings.Join(parts, " and "))
	}
	if c.images > 0 {
		l.note("not used: %s in no class's folder", images(c.images))
	}
	if len(c.tables) > 0 {
		l.note("the classes are the folders; not read: %s", some(c.tables))
	}
	return nil
}

// boxes refuses the layouts of data for finding objects.
func boxes(dir string, c content) error {
	is := func(name string) func(string) bool {
		return func(s string) bool { return strings.EqualFold(s, name) }
	}
	if slices.ContainsFunc(c.folders, is("images")) && slices.ContainsFunc(c.folders, is("labels")) {
		return fault.In(dir, fault.Unsupportedf("images/ and labels/ are data for finding objects, with boxes; here every image has one class: %s", wanted))
	}
	return nil
}

// openPart opens train/ or another part: a folder per class, or images with a table.
// Archives are sometimes packed with the name twice, train/train/.
func openPart(dir, part string, training bool) (*Set, error) {
	c, err := look(dir)
	if err != nil {
		return nil, err
	}
	if len(c.folders) == 1 && c.images == 0 && partOf(c.folders[0]) == part {
		return openPart(filepath.Join(dir, c.folders[0]), part, training)
	}
	if list := c.list(); list != "" && len(c.folders) < 2 {
		return openList(filepath.Join(dir, list))
	}
	l := layout{path: dir}
	if err := l.classes(c); err != nil {
		return nil, err
	}
	s, err := openClasses(dir, c.folders, training)
	if err == nil {
		s.Notes = append(l.notes, s.Notes...)
	}
	return s, err
}
