//go:build !purego

package kernel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// vex is an instruction of AVX-VNNI as the generator writes it: what it is, and
// its bytes.
var vex = regexp.MustCompile(`// (VPDPBUSD Y(\d+), Y(\d+), Y(\d+))((?:\s+BYTE\s+\$0x[0-9a-f]{2}){5})\n`)

// TestVEX decodes the bytes.
func TestVEX(t *testing.T) {
	text, err := os.ReadFile("int8_avxvnni_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	found := vex.FindAllSubmatch(text, -1)
	if n := bytes.Count(text, []byte("BYTE")); len(found) == 0 || n != 5*len(found) {
		t.Fatalf("%d instructions in %d bytes", len(found), n)
	}
	for _, m := range found {
		var b []uint64
		for _, s := range regexp.MustCompile(`0x([0-9a-f]{2})`).FindAllSubmatch(m[5], -1) {
			n, _ := strconv.ParseUint(string(s[1]), 16, 8)
			b = append(b, n)
		}
		// Intel's manual, volume 2, 2.3.5: registers' high bits are inverted.
		sum := b[4]>>3&7 | (b[1]>>7^1)<<3
		x := b[2]>>3&15 ^ 15
		w := b[4]&7 | (b[1]>>5&1^1)<<3
		got := fmt.Sprintf("VPDPBUSD Y%d, Y%d, Y%d", w, x, sum)
		// The prefix of three bytes, map 0F38 and X; W0, 256 bits and prefix 66; the
		// operation; registers only.
		if b[0] != 0xc4 || b[1]&0x5f != 0x42 || b[2]&0x87 != 0x05 || b[3] != 0x50 || b[4]>>6 != 3 || got != string(m[1]) {
			t.Errorf("%x is not %s", b, m[1])
		}
	}
}

// TestAVXVNNIAsAVX512 runs the tests with the AVX-VNNI kernels on a CPU with
// AVX-512 VNNI, which has the same instruction in another encoding.
func TestAVXVNNIAsAVX512(t *testing.T) {
	if testing.Short() || emulatedInt8 != nil {
		t.Skip("builds the tests anew")
	}
	if !slices.Contains(AvailableInt8(), &avx512vnniInt8) {
		testenv.Skip(t, "avx512vnni", "not in this machine")
	}
	text, err := os.ReadFile("int8_avxvnni_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for name, content := range map[string][]byte{
		"int8_avxvnni_amd64.s":  vex.ReplaceAll(text, []byte("$1\n")),
		"int8_asavx512_test.go": []byte("package kernel\n\nfunc init() { emulatedInt8 = append(emulatedInt8, &avxvnniInt8) }\n"),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		here, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		replace[here] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "test", "-overlay", path, "-run", "(Int8|SameBytesHoweverCut|ONNXRuntime)/avxvnni", "-v", ".").CombinedOutput()
	if err != nil || !regexp.MustCompile(`--- PASS: TestPointwiseInt8/avxvnni`).Match(out) {
		t.Fatalf("%v\n%s", err, out)
	}
}
