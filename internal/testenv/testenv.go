// Package testenv finds what a test may use but must not need: data beside the
// checkout and other people's programs. What is absent skips the test with a
// reason, unless MOBILENET_TEST_REQUIRE (a comma-separated list) names it: then
// the test fails, so that CI cannot skip what its machine has.
package testenv

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Skip skips the test, or fails it if what is required.
func Skip(t testing.TB, what, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("MOBILENET_TEST_REQUIRE"), ","), what) {
		t.Fatalf("%s is required by MOBILENET_TEST_REQUIRE: %s", what, why)
	}
	t.Skipf("needs %s: %s", what, why)
}

// Shared returns the path of a file or folder of the shared test data, which
// lies in $MOBILENET_SHARED or in ../shared beside the checkout.
func Shared(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("MOBILENET_SHARED")
	if dir == "" {
		_, file, _, _ := runtime.Caller(0)
		dir = filepath.Join(filepath.Dir(file), "..", "..", "..", "shared")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		Skip(t, "shared", err.Error())
	}
	return path
}

// SystemPython returns the system's Python interpreter, the one that Debian's
// packages install modules for, if it can import all of modules.
func SystemPython(t testing.TB, modules ...string) string {
	t.Helper()
	const python = "/usr/bin/python3"
	out, err := exec.Command(python, "-c", "import "+strings.Join(modules, ", ")).CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		Skip(t, modules[0], python+": "+err.Error()+": "+lines[len(lines)-1])
	}
	return python
}

// Python returns an interpreter that can import all of modules: that which the
// environment variable MOBILENET_TEST_PYTHON names, or the one on the PATH.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	python := cmp.Or(os.Getenv("MOBILENET_TEST_PYTHON"), "python3")
	out, err := exec.Command(python, "-c", "import "+strings.Join(modules, ", ")).CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		Skip(t, modules[0], python+": "+err.Error()+": "+lines[len(lines)-1])
	}
	return python
}
