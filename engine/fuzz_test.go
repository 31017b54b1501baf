package engine

import (
	"bytes"
	"encoding/binary"
	"flag"
	"hash/crc32"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

var update = flag.Bool("update", false, "write testdata/fuzz/FuzzPacked anew")

// fuzzIdentity is the same on every machine, so that the seeds are of use on each.
func fuzzIdentity(precision string) identity {
	return identity{Key: "key", Build: "build", Arch: "any", ByteOrder: "little", CPU: "generic", Precision: precision, Packing: packingVersion}
}

var generic = kernels{&kernel.Generic, &kernel.GenericInt8}

// seeds are tiny networks, packed.
var seeds = map[string]string{float32Precision: "testdata/fuzz/FuzzPacked/tiny", int8Precision: "testdata/fuzz/FuzzPacked/tiny_int8"}

// tiny returns what is in the seed of a precision.
func tiny(t testing.TB, precision string) Source {
	c := model.Default()
	c.Classes, c.RoundTo, c.FirstChannels, c.LastChannels = 2, 1, 4, 5
	c.Table = []model.Stage{{T: 2, C: 3, N: 1, S: 1}}
	if precision == int8Precision {
		c.Table[0].N = 2
		q := randomInt8(c, 1, 255, false, false)
		q.Labels = []string{"cat", "dog"}
		return Source{Quantized: q}
	}
	m := random(t, c)
	m.Labels = []string{"cat", "dog"}
	return Source{Model: m}
}

// TestPackedSeed reads the committed seeds: fuzzing begins behind all checks of a whole
// file. Where the format has changed, packingVersion must have, too; then -update
// writes the seeds anew.
func TestPackedSeed(t *testing.T) {
	const head, foot = "go test fuzz v1\n[]byte(", ")\n"
	for precision, seed := range seeds {
		if *update {
			from := tiny(t, precision)
			net, err := from.pack(generic)
			if err != nil {
				t.Fatal(err)
			}
			text := head + strconv.Quote(string(packedBytes(t, net, from))) + foot
			if err := os.WriteFile(seed, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(seed)
		if err != nil {
			t.Fatal(err)
		}
		quoted := strings.TrimSuffix(strings.TrimPrefix(string(text), head), foot)
		data, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := readPacked(strings.NewReader(data), int64(len(data)), fuzzIdentity(precision), generic); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzPacked reads files of packed weights that may hold anything. What is
// accepted must run, and be the same after it was written and read again. Because a
// checksum stops nearly every change of a file, it is repaired for a second try.
func FuzzPacked(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		for precision := range seeds {
			readAndWrite(t, data, precision)
			readAndWrite(t, repaired(data), precision)
		}
	})
}

func readAndWrite(t *testing.T, data []byte, precision string) {
	id := fuzzIdentity(precision)
	net, from, err := readPacked(bytes.NewReader(data), int64(len(data)), id, generic)
	if err != nil {
		return
	}
	again := packedBytes(t, net, from)
	net2, from2, err := readPacked(bytes.NewReader(again), int64(len(again)), id, generic)
	if err != nil || !reflect.DeepEqual(from2, from) || !bytes.Equal(net.program().weights, net2.program().weights) {
		t.Fatalf("written again it is something else: %v", err)
	}
	e, err := start(net.program(), Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	outputs(t, e, Input{Pixels: noise(32 * 32 * 3), N: 1, H: 32, W: 32})
}

func packedBytes(t testing.TB, net compiled, from Source) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writePacked(&b, fuzzIdentity(net.program().precision), net, from); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// repaired returns data with the header's checksum made right, if it has a header.
func repaired(data []byte) []byte {
	at := len(packedMagic)
	if len(data) < headerAt {
		return nil
	}
	n := int64(binary.LittleEndian.Uint32(data[at:]))
	text, err := io.ReadAll(io.NewSectionReader(bytes.NewReader(data), int64(headerAt), n))
	if err != nil || int64(len(text)) != n {
		return nil
	}
	data = slices.Clone(data)
	binary.LittleEndian.PutUint32(data[at+4:], crc32.Checksum(text, castagnoli))
	return data
}
