package diagram

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// A graph is what the text formats write: boxes and labelled arrows.
type graph struct {
	title string
	nodes []node
	edges []edge
}

// A node is a box with a heading and lines of detail.
type node struct {
	name  string
	lines []string
	group group
}

// An edge leads from one node to another, by index.
type edge struct {
	from, to int
	label    string
	output   int // which of the outputs of from, where it has several
}

// A group is a family of operators that share a colour.
type group struct {
	name       string // also a Mermaid class
	dark, pale color
}

var (
	tensors     = group{"tensor", muted, white}
	convolution = group{"convolution", blue, paleBlue}
	depthwise   = group{"depthwise", orange, paleOrange}
	bottleneck  = group{"bottleneck", orange, paleOrange}
	pooling     = group{"pooling", green, paleGreen}
	linear      = group{"linear", purple, palePurple}
)

func (g *graph) writeDOT(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "digraph {\n  graph [labelloc=t label=%s fontname=\"Helvetica\"]\n", quoteDOT(g.title))
	b.WriteString("  node [shape=box style=\"rounded,filled\" fontname=\"Helvetica\" fontsize=11]\n")
	b.WriteString("  edge [fontname=\"Helvetica\" fontsize=10]\n")
	for i, n := range g.nodes {
		label := quoteDOT(append([]string{n.name}, n.lines...)...)
		fmt.Fprintf(b, "  n%d [label=%s color=%q fillcolor=%q]\n", i, label, n.group.dark, n.group.pale)
	}
	for _, e := range g.edges {
		fmt.Fprintf(b, "  n%d -> n%d", e.from, e.to)
		if e.label != "" {
			fmt.Fprintf(b, " [label=%s]", quoteDOT(e.label))
		}
		b.WriteByte('\n')
	}
	b.WriteString("}\n")
	return b.Flush()
}

// In a DOT label a backslash and an entity would be read as such.
var escapeDOT = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;")

// quoteDOT is a DOT string of one or more centred lines.
func quoteDOT(lines ...string) string {
	escaped := make([]string, len(lines))
	for i, l := range lines {
		escaped[i] = escapeDOT.Replace(clean(l))
	}
	return `"` + strings.Join(escaped, `\n`) + `"`
}

func (g *graph) writeMermaid(w io.Writer) error {
	b := bufio.NewWriter(w)
	title := strings.ReplaceAll(strconv.Quote(clean(g.title)), "%", `\x25`) // YAML
	fmt.Fprintf(b, "---\ntitle: %s\n---\nflowchart TB\n", title)
	var groups []group
	members := map[group][]string{}
	for i, n := range g.nodes {
		id := fmt.Sprintf("n%d", i)
		fmt.Fprintf(b, "  %s[%s]\n", id, quoteMermaid(append([]string{n.name}, n.lines...)...))
		if members[n.group] == nil {
			groups = append(groups, n.group)
		}
		members[n.group] = append(members[n.group], id)
	}
	for _, e := range g.edges {
		fmt.Fprintf(b, "  n%d -->", e.from)
		if e.label != "" {
			fmt.Fprintf(b, "|%s|", quoteMermaid(e.label))
		}
		fmt.Fprintf(b, " n%d\n", e.to)
	}
	for _, c := range groups {
		fmt.Fprintf(b, "  classDef %s fill:%s,stroke:%s,color:%s\n", c.name, c.pale, c.dark, ink)
		fmt.Fprintf(b, "  class %s %s\n", strings.Join(members[c], ","), c.name)
	}
	return b.Flush()
}

// Mermaid reads HTML, Markdown, its own #codes and %%{directives}%%, within quotes
// too.
var escapeMermaid = strings.NewReplacer("#", "#35;", `"`, "#quot;", "&", "#amp;", "<", "#lt;", ">", "#gt;", "`", "#96;",
	`\`, "#92;", "*", "#42;", "_", "#95;", "%", "#37;")

// quoteMermaid is a Mermaid string of one or more lines, with something in it as
// the language demands.
func quoteMermaid(lines ...string) string {
	escaped := make([]string, len(lines))
	for i, l := range lines {
		escaped[i] = escapeMermaid.Replace(clean(l))
	}
	return `"` + cmp.Or(strings.Join(escaped, "<br>"), " ") + `"`
}

// longest is how many characters of a name from a file are kept.
const longest = 80

// clean makes a string from a file fit to print: valid UTF-8, on one line, and
// at most longest characters.
func clean(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > longest {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r) // an invalid byte is U+FFFD already
	}
	return b.String()
}
