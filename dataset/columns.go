package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mobilenet-go/mobilenet/fault"
)

// What columns of tables are called, in small letters and digits alone. The first
// of a list that is there is taken.
var (
	pathKeys = []string{
		"path", "paths", "filepath", "filepaths", "imagepath", "imagepaths", "imgpath", "imagefilepath", "fullpath", "relativepath", "relpath",
		"file", "files", "filename", "filenames", "fname", "imagefile", "imagefilename", "imagename", "imgname",
		"image", "images", "img", "photo", "picture", "imageid", "imgid", "photoid", "fileid", "id", "name",
	}
	labelKeys = []string{
		"label", "labels", "class", "classes", "classname", "labelname", "classlabel", "imagelabel", "truelabel", "category", "categoryname", "target", "targets", "breed", "species",
		"diagnosis", "dx", "disease", "emotion", "tag", "groundtruth", "truth", "gt", "y", "classid", "classindex", "labelid", "categoryid", "predictionstring",
	}
	partKeys = []string{"split", "subset", "set", "partition", "dataset", "phase", "usage"}
	// Columns of 0 and 1, as fastai has them.
	flagKeys = map[string]string{
		"istrain": "train", "istraining": "train", "istrainingimage": "train", "isvalid": "val", "isval": "val", "isvalidation": "val", "istest": "test",
	}
	// Columns that are neither paths nor classes: row numbers (pandas' have no name),
	// sizes, boxes.
	otherKeys = []string{
		"", "unnamed0", "index", "idx", "no", "nr", "row", "rowid", "width", "height", "depth", "channels", "size",
		"xmin", "ymin", "xmax", "ymax", "x1", "y1", "x2", "y2", "roix1", "roiy1", "roix2", "roiy2", "url", "md5", "sha256",
	}
)

// key is a column's name with nothing but its letters and digits, in small letters.
func key(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// columns say where in a table's rows what is; -1 is nowhere.
type columns struct {
	header bool
	names  []string // of a header
	width  int

	path, label, part int
	hot               []int          // in place of a label, a column per class with one 1 in each row
	flags             map[string]int // columns of 0 and 1 that say whether a row belongs to a part

	guessed bool // the names of the columns don't say all of it
}

// understand finds the columns of a table by its header and some rows, or by what is
// in it.
func understand(records [][]string) (columns, error) {
	c := columns{path: -1, label: -1, part: -1, width: len(records[0]), flags: map[string]int{}}
	rows := records
	if c.header = isHeader(records); c.header {
		rows, c.names = records[1:], slices.Clone(records[0])
	}
	if c.width < 2 {
		return c, &fault.Error{Kind: fault.Unsupported, Reason: "one column", Err: errNoClasses}
	}
	if len(rows) == 0 {
		return c, fault.Unsupportedf("a header and no rows")
	}
	for _, r := range rows {
		if n := len(r); n != c.width && (n > c.width && strings.Join(r[c.width:], "") != "" || n < 2) {
			return c, fault.Unsupportedf("rows of %d and of %d columns (a comma in a name needs quotes around that)", c.width, n)
		}
	}
	t := sample{rows, make([]string, c.width)}
	if c.header {
		for i, name := range records[0] {
			t.keys[i] = key(name)
		}
	}
	if err := c.findPath(t); err != nil {
		return c, err
	}
	if err := c.findPart(t); err != nil {
		return c, err
	}
	return c, c.findLabel(t)
}

// A sample is some rows of a table with the keys of its columns.
type sample struct {
	rows [][]string
	keys []string
}

// all reports whether what is in a column is so, where there is anything.
func (t sample) all(column int, is func(string) bool) bool {
	some := false
	for _, r := range t.rows {
		if column < len(r) && r[column] != "" {
			if !is(r[column]) {
				return false
			}
			some = true
		}
	}
	return some
}

// called returns the columns that are called by one of keys, in the order of these.
func (t sample) called(keys []string) (found []int) {
	for _, k := range keys {
		for i, have := range t.keys {
			if have == k {
				found = append(found, i)
			}
		}
	}
	return found
}

// isHeader reports whether the first row names the columns: it has no image in it,
// and known names, or images below.
func isHeader(records [][]string) bool {
	if slices.ContainsFunc(records[0], looksLikeImage) {
		return false
	}
	for i, name := range records[0] {
		k := key(name)
		if slices.Contains(pathKeys, k) || slices.Contains(labelKeys, k) {
			return true
		}
		if len(records) > 1 && (sample{rows: records[1:]}).all(i, looksLikeImage) {
			return true
		}
	}
	return false
}

// findPath finds the column whose name and content are a path's, or whose content
// is, or whose name is: ids may stand for files without their endings.
func (c *columns) findPath(t sample) error {
	named := t.called(pathKeys)
	for _, i := range named {
		if t.all(i, looksLikeImage) {
			c.path = i
			return nil
		}
	}
	var found []int
	for i := range c.width {
		if t.all(i, looksLikeImage) {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 1:
		c.path, c.guessed = found[0], c.header
	case len(found) > 1:
		return fault.Unsupportedf("several columns with paths of images")
	case len(named) > 0:
		c.path = named[0]
	default:
		return fault.Unsupportedf("no column with paths of images")
	}
	return nil
}

// findPart finds a column that says train, val or test, or is_valid.
func (c *columns) findPart(t sample) error {
	isPart := func(s string) bool { return partOf(s) != "" }
	for _, i := range t.called(partKeys) {
		switch {
		case i == c.path || c.part >= 0:
		case t.all(i, isPart):
			c.part = i
		case t.keys[i] == "split" && t.all(i, func(string) bool { return true }): // nothing else is called so
			return fault.Unsupportedf("the column %q should have train, val or test", c.names[i])
		}
	}
	for i, k := range t.keys {
		switch {
		case c.part >= 0 || i == c.path:
		case c.header && flagKeys[k] != "" && t.all(i, isBool):
			c.flags[flagKeys[k]] = i
		case !c.header && c.width > 2 && t.all(i, isPart):
			c.part = i
		}
	}
	return nil
}

// findLabel finds the column of the classes: that with the name of one, words rather
// than numbers; or columns of 0 and 1; or the only one that is left.
func (c *columns) findLabel(t sample) error {
	var named, rest, bits []int
	for _, i := range t.called(labelKeys) {
		if i != c.path && i != c.part && t.all(i, func(string) bool { return true }) {
			named = append(named, i)
		}
	}
	for i, k := range t.keys {
		switch {
		case i == c.path || i == c.part || flagKeys[k] != "":
		case c.header && (slices.Contains(otherKeys, k) || slices.Contains(pathKeys, k)):
		case !c.header && c.width > 2 && t.counts(i):
		default:
			rest = append(rest, i)
			if c.header && t.all(i, isBool) {
				bits = append(bits, i)
			}
		}
	}
	switch {
	case len(named) > 0:
		words := slices.IndexFunc(named, func(i int) bool { return !t.all(i, isNumeric) })
		c.label, c.guessed = named[max(0, words)], c.guessed || len(named) > 1
	case len(bits) > 1:
		c.hot, c.guessed = bits, true
	case len(rest) == 1:
		c.label, c.guessed = rest[0], c.guessed || c.header
	case len(rest) == 0:
		return &fault.Error{Kind: fault.Unsupported, Reason: "no column of classes", Err: errNoClasses}
	default:
		return &fault.Error{Kind: fault.Unsupported, Reason: "no column that is called as one of classes is", Err: errNoClasses}
	}
	return nil
}

// counts reports whether a column counts the rows.
func (t sample) counts(column int) bool {
	first, err := strconv.Atoi(t.rows[0][column])
	if err != nil || first > 1 || first < 0 || len(t.rows) < 2 {
		return false
	}
	for i, r := range t.rows {
		if column >= len(r) || r[column] != strconv.Itoa(first+i) {
			return false
		}
	}
	return true
}

func isNumeric(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

func isBool(s string) bool { return truth[strings.ToLower(s)] != 0 }

// truth has 1 for what means no in a column of yes and no, and 2 for yes.
var truth = map[string]int{"0": 1, "0.0": 1, "false": 1, "1": 2, "1.0": 2, "true": 2}

// describe says what was taken for what, or nothing if the names of the columns do.
func (c columns) describe() string {
	if !c.guessed {
		return ""
	}
	column := func(i int) string {
		if c.header {
			return strconv.Quote(c.names[i])
		}
		return strconv.Itoa(i + 1)
	}
	text := fmt.Sprintf("the paths are in column %s, ", column(c.path))
	if c.hot == nil {
		return text + "the classes in column " + column(c.label)
	}
	var classes []string
	for _, i := range c.hot {
		classes = append(classes, c.names[i])
	}
	return text + fmt.Sprintf("the classes are the columns of 0 and 1 (%s)", some(classes))
}
