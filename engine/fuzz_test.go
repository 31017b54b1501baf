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

var update = flag.Bool("update", false, "write testdata/fuzz/FuzzPacked/tiny anew")

// fuzzIdentity is the same on every machine, so that the seed is of use on each.
var fuzzIdentity = identity{Key: "key", Build: "build", Arch: "any", ByteOrder: "little", CPU: "generic", Precision: "float32", Packing: packingVersion}

// seed is a tiny network, packed.
const seed = "testdata/fuzz/FuzzPacked/tiny"

// TestPackedSeed reads the committed seed: fuzzing begins behind all checks of a whole
// file. Where the format has changed, packingVersion must have, too; then -update
// writes the seed anew.
func TestPackedSeed(t *testing.T) {
	const head, foot = "go test fuzz v1\n[]byte(", ")\n"
	if *update {
		c := model.Default()
		c.Classes, c.RoundTo, c.FirstChannels, c.LastChannels = 2, 1, 4, 5
		c.Table = []model.Stage{{T: 2, C: 3, N: 1, S: 1}}
		m := random(t, c)
		m.Labels = []string{"cat", "dog"}
		net := newNetwork(c, &kernel.Generic)
		net.pack(m)
		text := head + strconv.Quote(string(packedBytes(t, net, m))) + foot
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
	if _, _, err := readPacked(strings.NewReader(data), int64(len(data)), fuzzIdentity, &kernel.Generic); err != nil {
		t.Fatal(err)
	}
}

// FuzzPacked reads files of packed weights that may hold anything. What is
// accepted must be the same after it was written and read again. Because a
// checksum stops nearly every change of a file, it is repaired for a second try.
func FuzzPacked(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		readAndWrite(t, data)
		readAndWrite(t, repaired(data))
	})
}

func readAndWrite(t *testing.T, data []byte) {
	net, m, err := readPacked(bytes.NewReader(data), int64(len(data)), fuzzIdentity, &kernel.Generic)
	if err != nil {
		return
	}
	again := packedBytes(t, net, m)
	net2, m2, err := readPacked(bytes.NewReader(again), int64(len(again)), fuzzIdentity, &kernel.Generic)
	if err != nil || !reflect.DeepEqual(m2, m) || !bytes.Equal(net.arena, net2.arena) {
		t.Fatalf("written again it is something else: %v", err)
	}
}

func packedBytes(t testing.TB, net *network, m *model.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writePacked(&b, fuzzIdentity, net.arena, m); err != nil {
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
