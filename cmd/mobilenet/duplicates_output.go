package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/search/duplicates"
)

// writeDuplicates writes the groups that were found, or in imagededup's format the
// pairs.
func writeDuplicates(w io.Writer, format string, r *duplicates.Report, args []string) error {
	b := bufio.NewWriter(w)
	write := map[string]func(io.Writer, *duplicates.Report) error{
		"text": duplicatesText, "json": duplicatesJSON, "csv": duplicatesCSV,
		"imagededup": func(w io.Writer, r *duplicates.Report) error { return duplicatesDictionary(w, r, args) },
	}[format]
	if err := write(b, r); err != nil {
		return err
	}
	return b.Flush()
}

func duplicatesText(w io.Writer, r *duplicates.Report) error {
	for _, g := range r.Groups {
		fmt.Fprintf(w, "%s  keep: %s\n", shown(g.Members[g.Keep].Path), g.Why)
		for i := range g.Members {
			if m := &g.Members[i]; i != g.Keep {
				fmt.Fprintf(w, "  %s  %s\n", shown(m.Path), m.Phrase())
			}
		}
		fmt.Fprintln(w)
	}
	return nil
}

// duplicateJSON is a photo of a group.
type duplicateJSON struct {
	jsonFile
	Keep     bool           `json:"keep"`
	How      duplicates.How `json:"how,omitempty"`
	Likeness float64        `json:"likeness"`
	Width    int            `json:"width,omitempty"`
	Height   int            `json:"height,omitempty"`
	Bytes    int64          `json:"bytes"`
}

// duplicatesJSON writes an object a group.
func duplicatesJSON(w io.Writer, r *duplicates.Report) error {
	for _, g := range r.Groups {
		var photos []duplicateJSON
		for i, m := range g.Members {
			photos = append(photos, duplicateJSON{jsonFileOf(m.Path), i == g.Keep, m.How, m.Likeness, m.Width, m.Height, m.Bytes})
		}
		err := jsonResults{w}.write(struct {
			Keep      string          `json:"keep"`
			KeepBytes []byte          `json:"keep_bytes,omitempty"` // see jsonFile
			Why       string          `json:"why"`
			Photos    []duplicateJSON `json:"photos"`
		}{g.Members[g.Keep].Path, bytesOf(g.Members[g.Keep].Path), g.Why, photos})
		if err != nil {
			return err
		}
	}
	return nil
}

// duplicatesCSV writes a line a photo, its name as in the CSV of mobilenet predict.
func duplicatesCSV(w io.Writer, r *duplicates.Report) error {
	c := csv.NewWriter(w)
	c.Write([]string{"group", "file", "keep", "how", "likeness", "width", "height", "bytes", "why"})
	for n, g := range r.Groups {
		for i, m := range g.Members {
			why := ""
			if i == g.Keep {
				why = g.Why
			}
			c.Write([]string{
				strconv.Itoa(n + 1), shown(m.Path), strconv.FormatBool(i == g.Keep), string(m.How), strconv.FormatFloat(m.Likeness, 'f', 6, 64),
				strconv.Itoa(m.Width), strconv.Itoa(m.Height), strconv.FormatInt(m.Bytes, 10), why,
			})
		}
	}
	c.Flush()
	return c.Error()
}

// duplicatesDictionary writes what imagededup's find_duplicates saves: of each photo
// the names of those that are like it. Of one folder names are relative to it.
func duplicatesDictionary(w io.Writer, r *duplicates.Report, args []string) error {
	photos, err := r.Neighbours()
	if err != nil {
		return err
	}
	quoted := func(path string) []byte {
		if dirs := folders(args); len(args) == 1 && len(dirs) == 1 {
			if rel, err := filepath.Rel(dirs[0], path); err == nil {
				path = filepath.ToSlash(rel)
			}
		}
		var b bytes.Buffer
		writeJSON(&b, pythonJSON(path))
		return b.Bytes()
	}
	between := "{"
	for path, others := range photos {
		fmt.Fprintf(w, "%s\n  %s: [", between, quoted(path))
		between = ","
		for i, other := range others {
			comma := ","
			if i == 0 {
				comma = ""
			}
			fmt.Fprintf(w, "%s\n    %s", comma, quoted(other))
		}
		if len(others) > 0 {
			io.WriteString(w, "\n  ")
		}
		io.WriteString(w, "]")
	}
	if between == "{" {
		io.WriteString(w, between)
	}
	_, err = io.WriteString(w, "\n}\n")
	return err
}

// pythonJSON is a name as Python's json writes it: a byte that is no UTF-8 is a lone
// surrogate (PEP 383), from which Python's open makes the byte again.
func pythonJSON(name string) []byte {
	if utf8.ValidString(name) {
		text, _ := json.Marshal(name)
		return text
	}
	text := []byte{'"'}
	for name != "" {
		r, n := utf8.DecodeRuneInString(name)
		if r == utf8.RuneError && n == 1 {
			text = fmt.Appendf(text, `\udc%02x`, name[0])
		} else {
			c, _ := json.Marshal(name[:n])
			text = append(text, c[1:len(c)-1]...)
		}
		name = name[n:]
	}
	return append(text, '"')
}
