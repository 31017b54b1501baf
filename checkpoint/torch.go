package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// maxElements bounds a tensor: the largest MobileNetV2 that a config allows has
// far fewer.
const maxElements = 1 << 28

// IsTorch reports whether a file with these first bytes may be of torch.save: it is a
// zip archive, a pickle, or a tar archive, which may hold such a file.
func IsTorch(head []byte) bool {
	pickle := len(head) > 1 && head[0] == 0x80 && head[1] >= 1 && head[1] <= 5
	return pickle || bytes.HasPrefix(head, []byte(zipMagic)) || isTar(head)
}

const zipMagic = "PK\x03\x04"

// parseTorch reads what torch.save wrote, in either format, or an archive with it.
func parseTorch(data []byte, archives bool) (*contents, error) {
	f, err := parseContainer(data, archives)
	if err != nil || f.quantised != nil {
		return f, err
	}
	packed := unpacked(f.leaves)
	var ok bool
	if f.quantised, ok, err = torchInt8(packed); !ok {
		f.leaves = withoutScales(packed, f.leaves)
	}
	return f, err
}

func parseContainer(data []byte, archives bool) (*contents, error) {
	switch {
	case bytes.HasPrefix(data, []byte(zipMagic)):
		return parseZip(data, archives)
	case archives && isTar(data):
		return parseTar(data)
	}
	return parseLegacy(data)
}

// parseZip reads torch's format since 1.6: a zip archive with data.pkl and a
// file per storage.
func parseZip(data []byte, archives bool) (*contents, error) {
	a, err := openArchive(data)
	if err != nil {
		return nil, err
	}
	if a.isKeras() {
		return a.keras()
	}
	if a.files["data.pkl"] == nil {
		if !archives {
			return nil, fault.Unsupportedf("an archive in an archive: unpack it")
		}
		files, err := a.wrapped()
		if err != nil {
			return nil, err
		}
		return parseOne("a zip archive", files)
	}
	if a.files["byteorder"] != nil {
		order, err := a.read("byteorder")
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, fault.Unsupportedf("byte order %.16q: only little-endian files are read", order)
		}
	}
	pkl, err := a.read("data.pkl")
	if err != nil {
		return nil, err
	}
	state, err := unpickle(pkl, 0)
	if err != nil {
		return nil, err
	}
	f := &contents{metadata: map[string]string{}}
	for _, key := range []string{model.ConfigKey, model.LabelsKey} {
		if a.files[key] == nil {
			continue
		}
		text, err := a.read(key)
		if err != nil {
			return nil, err
		}
		f.metadata[key] = string(text)
	}
	loaded := map[string][]byte{} // by key: many tensors may share a storage
	f.what, f.names = describe(state.value), namesBeside(state.value)
	f.leaves, f.modules, err = leaves(state.value, func(s storage) ([]byte, error) {
		raw, ok := loaded[s.key]
		if !ok {
			var err error
			if raw, err = a.read("data/" + s.key); err != nil {
				return nil, err
			}
			loaded[s.key] = raw
		}
		want := s.numel * uint64(s.dtype.size)
		if uint64(len(raw)) < want {
			return nil, fault.Brokenf("storage %.40q has %d bytes, want %d", s.key, len(raw), want)
		}
		return raw[:want], nil
	})
	if err != nil {
		return nil, err
	}
	return f, a.readCode(f)
}

// An archive is a zip file that torch wrote.
type archive struct {
	data  []byte
	files map[string]*zip.File // by name, in the folder of data.pkl if there is one
	room  uint64               // bytes that compressed files may still inflate to
}

// inflation bounds compressed files: torch writes none, and weights barely
// shrink, so that one that inflates to more than this many times the archive is
// a bomb.
const inflation = 8

// maxInflated is the most that they inflate to: ten times the largest MobileNetV2.
const maxInflated = 256 << 20

func openArchive(data []byte) (*archive, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fault.Brokenf("%v; is the file complete?", err)
	}
	a := &archive{data, map[string]*zip.File{}, min(inflation*uint64(len(data)), maxInflated)}
	root := ""
	for _, f := range z.File {
		if folder, ok := strings.CutSuffix(f.Name, "data.pkl"); ok && (folder == "" || strings.HasSuffix(folder, "/")) {
			root = folder
			break
		}
	}
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, root)
		if ok && a.files[name] != nil { // which one counts depends on who reads it
			return nil, fault.Brokenf("two entries are called %s", fault.Shown(f.Name))
		}
		if ok {
			a.files[name] = f
		}
	}
	return a, nil
}

// encrypted is an error for a file that needs a password.
func encrypted(f *zip.File) error {
	if f.Flags&1 == 0 {
		return nil
	}
	return fault.Unsupportedf("entry %s is encrypted", fault.Shown(f.Name))
}

// open opens a file for reading; it may hold anything.
func (a *archive) open(f *zip.File) (io.ReadCloser, error) {
	if err := encrypted(f); err != nil {
		return nil, err
	}
	r, err := f.Open()
	if err != nil {
		return nil, fault.Brokenf("entry %s: %v", fault.Shown(f.Name), err)
	}
	return r, nil
}

// read returns the content of a file. One that is not compressed is not copied.
func (a *archive) read(name string) ([]byte, error) {
	f := a.files[name]
	if f == nil {
		return nil, fault.Brokenf("entry %.80q is missing", name)
	}
	if err := encrypted(f); err != nil {
		return nil, err
	}
	begin, err := f.DataOffset()
	fail := func(reason any) error {
		return fault.At(begin, "entry %.80q: %v", f.Name, reason)
	}
	if err != nil {
		return nil, fail(err)
	}
	if offset := uint64(begin); f.Method == zip.Store {
		if offset > uint64(len(a.data)) || f.UncompressedSize64 > uint64(len(a.data))-offset {
			return nil, fail("unexpected end")
		}
		b := a.data[offset:][:f.UncompressedSize64]
		// Newer torch can leave the checksum out.
		if f.CRC32 != 0 && crc32.ChecksumIEEE(b) != f.CRC32 {
			return nil, fail("checksum error")
		}
		return b, nil
	}
	if f.UncompressedSize64 > a.room {
		return nil, fault.TooLargef("entry %.80q: inflates to more than %d times the file, or %d MB", f.Name, inflation, maxInflated>>20)
	}
	a.room -= f.UncompressedSize64
	r, err := a.open(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r) // which ends with an error where there is more than UncompressedSize64
	if err != nil {
		return nil, fail(err)
	}
	return b, nil
}

// legacyMagic is the number that the format of torch before 1.6 begins with, as
// a pickle: 0x1950a86a20f9469cfc6c.
const legacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"

// parseLegacy reads the older format: pickles of the magic number, the protocol,
// the machine, the object and the storage keys, then the storages, each a count
// and its elements.
func parseLegacy(data []byte) (*contents, error) {
	magic, err := unpickle(data[:min(len(data), 64)], 0)
	if err != nil || magic.value != legacyMagic {
		return parseArrays(data)
	}
	at := magic.size
	var parts [4]pickled // protocol, machine, object, keys
	for i := range parts {
		p, err := unpickle(data[at:], int64(at))
		if err != nil {
			return nil, err
		}
		parts[i] = p
		at += p.size
	}
	if machine, ok := parts[1].value.(*dict); ok && machine.get("little_endian") == false {
		return nil, fault.Unsupportedf("written by a big-endian machine: only little-endian files are read")
	}
	state := parts[2]
	keys, _ := parts[3].value.(*list)
	if keys == nil {
		return nil, fault.At(int64(at), "no list of storages")
	}
	begins := map[string]int{}
	for _, k := range keys.items {
		key, _ := k.(string)
		if len(data)-at < 8 {
			return nil, fault.At(int64(at), "unexpected end before a storage")
		}
		numel := binary.LittleEndian.Uint64(data[at:])
		t, ok := state.storages[key]
		if !ok {
			return nil, fault.Unsupportedf("storage %.40q is of an unknown type", key)
		}
		at += 8
		if numel > maxElements || numel*uint64(t.size) > uint64(len(data)-at) {
			return nil, fault.At(int64(at), "storage of %d elements: unexpected end", numel)
		}
		begins[key] = at
		at += int(numel) * t.size
	}
	tensors, modules, err := leaves(state.value, func(s storage) ([]byte, error) {
		begin, ok := begins[s.key]
		if n := s.numel * uint64(s.dtype.size); ok && n <= uint64(len(data)-begin) {
			return data[begin:][:n], nil
		}
		return nil, fault.Brokenf("storage %.40q is missing or short", s.key)
	})
	return &contents{leaves: tensors, modules: modules, what: describe(state.value), names: namesBeside(state.value)}, err
}
