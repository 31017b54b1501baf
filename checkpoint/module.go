package checkpoint

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A module is what a file of a whole network says of one of its parts: torch.save(model)
// has the attributes of each, TorchScript the text of its code.
type module struct {
	name, scope string // as those of a leaf
	class       string // without its package: "Conv2d"
	torch       bool   // the class is one of torch.nn
	known       bool   // the class is one of a well-known package
	parent      *module
	index       int  // in the order of registration, parents first
	leaf        bool // it has no modules in it
	tensors     bool // it has tensors of its own

	// says are the attributes that tell what it computes, such as "stride": numbers,
	// booleans and strings as in Python, pairs as [2]int.
	says map[string]any

	script global // its class in TorchScript
	code   string // the text of that class
}

// attributes are those of torch's modules, and of blocks, that matter here.
var attributes = []string{
	"eps", "stride", "padding", "dilation", "groups", "padding_mode", "min_val", "max_val", "kernel_size",
	"use_res_connect", "use_residual", "has_residual", "has_skip", "identity", "affine",
}

// packages are those whose MobileNetV2, and parts of it, compute what they are here for.
var packages = []string{"torch", "torchvision", "timm", "transformers", "mmcls", "mmpretrain", "mmcv", "mmengine"}

func isScript(class global) bool { return strings.HasPrefix(class.module, "__torch__") }

// enter records a module, and returns the place of what is in it.
func (w *walker) enter(class global, state *dict, at step) step {
	m := &module{
		name: at.name, scope: at.scope, class: class.name, torch: strings.Contains(class.module, "torch.nn."), parent: at.in,
		known: slices.Contains(packages, strings.Split(class.module, ".")[0]), index: len(w.modules), leaf: true, says: map[string]any{},
	}
	if isScript(class) {
		m.script = class
	}
	for _, key := range attributes {
		switch v := state.get(key).(type) {
		case nil:
		case tuple:
			if p, ok := pairOf(v); ok {
				m.says[key] = p
			}
		case int64:
			m.says[key] = int(v)
		case float64, bool, string:
			m.says[key] = v
		}
	}
	if at.in != nil {
		at.in.leaf = false
	}
	w.modules = append(w.modules, m)
	at.in, at.parameter = m, false
	return at
}

func pairOf(t tuple) ([2]int, bool) {
	if len(t) != 2 {
		return [2]int{}, false
	}
	a, ok := t[0].(int64)
	b, ok2 := t[1].(int64)
	return [2]int{int(a), int(b)}, ok && ok2
}

// maxCode bounds the code of TorchScript, read once for each module: MobileNetV2's has
// 200 KB, in all.
const maxCode = 64 << 20

// readCode gives the modules of TorchScript the text of their classes, which is never
// run, and reads off it what the attributes of whole modules are.
func (a *archive) readCode(f *contents) error {
	texts := map[string]string{}
	total := 0
	for _, m := range f.modules {
		if m.script.name == "" {
			continue
		}
		name := "code/" + strings.ReplaceAll(m.script.module, ".", "/") + ".py"
		text, known := texts[name]
		if entry := a.files[name]; entry != nil && !known {
			data, err := a.read(name)
			if err != nil {
				return err
			}
			text = string(data)
		}
		if total += len(text); total > maxCode {
			return fault.TooLargef("the code of its modules is more than %d MB", maxCode>>20)
		}
		texts[name] = text
		m.code = classText(text, m.script.name)
		m.readCalls()
	}
	for i, l := range f.leaves {
		if l.in == nil || l.in.code == "" {
			continue
		}
		_, kind := cutLast(l.name)
		list, _, _ := strings.Cut(l.in.code, "\n  __buffers__")
		f.leaves[i].parameter = strings.Contains(list, strconv.Quote(kind[1:])+",")
	}
	return nil
}

// classText is the text of one class of a file of TorchScript.
func classText(text, class string) string {
	_, body, ok := strings.Cut("\n"+text, "\nclass "+class+"(")
	if !ok {
		return ""
	}
	if end := strings.Index(body, "\nclass "); end >= 0 {
		body = body[:end]
	}
	return body
}

// Literals of TorchScript's code.
var (
	pairLiteral = pattern(`^\[(\d+), (\d+)\]$`)
	paddingMode = pattern(`padding_mode : Final\[str\] = "(\w+)"`)
	switches    = pattern(`(use_res_connect|use_residual|has_residual|has_skip|identity) : Final\[bool\] = (True|False)`)
)

// pattern returns what compiles expr at its first use: all of them at once would take
// every process 0.1 ms.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// readCalls reads the arguments of the calls that a convolution and a norm are. An
// argument that is no literal is not known.
func (m *module) readCalls() {
	pair := func(key string, args []string, at int) {
		if at >= len(args) {
			return
		}
		if p := pairLiteral().FindStringSubmatch(args[at]); p != nil {
			a, _ := strconv.Atoi(p[1])
			b, _ := strconv.Atoi(p[2])
			m.says[key] = [2]int{a, b}
		}
	}
	for _, call := range []string{"_convolution(", "conv2d("} {
		if args := arguments(m.code, call); args != nil {
			pair("stride", args, 3)
			pair("padding", args, 4)
			pair("dilation", args, 5)
			break
		}
	}
	for _, call := range []string{"batch_norm(", "_0("} { // which scripted code calls it
		args := arguments(m.code, call)
		if len(args) < 8 || !strings.Contains(m.code, "batch_norm") {
			continue
		}
		if eps, err := strconv.ParseFloat(args[7], 64); err == nil {
			m.says["eps"] = eps
			break
		}
	}
	if args := arguments(m.code, "hardtanh_("); m.class == "Hardtanh" && len(args) == 3 {
		m.says["min_val"], _ = strconv.ParseFloat(args[1], 64)
		m.says["max_val"], _ = strconv.ParseFloat(args[2], 64)
	}
	if mode := paddingMode().FindStringSubmatch(m.code); mode != nil {
		m.says["padding_mode"] = mode[1]
	}
	for _, s := range switches().FindAllStringSubmatch(m.code, -1) {
		m.says[s[1]] = s[2] == "True"
	}
}

// arguments are those of the first call of a function in a text; nil without one.
func arguments(text, call string) []string {
	_, rest, ok := strings.Cut(text, call)
	if !ok {
		return nil
	}
	var out []string
	depth, from := 0, 0
	for i, c := range rest {
		switch {
		case c == '(' || c == '[':
			depth++
		case c == ']' || c == ')' && depth > 0:
			depth--
		case c == ')':
			return append(out, strings.TrimSpace(rest[from:i]))
		case c == ',' && depth == 0:
			out = append(out, strings.TrimSpace(rest[from:i]))
			from = i + 1
		}
	}
	return nil
}
