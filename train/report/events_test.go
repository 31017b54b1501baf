package report

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// testdata/events.tfevents is TensorBoard's own, by testdata/events.py.
func TestEventsEqualTensorBoard(t *testing.T) {
	want, err := os.ReadFile("testdata/events.tfevents")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1700000000, 250e6)
	var got []byte
	for _, e := range [][]byte{
		versionEvent(at),
		scalar(at, "loss/train", 1, 2.5), scalar(at, "loss/train", 300, 0.1), scalar(at, "accuracy/val", 300, 0.9375),
		restart(at, 200), scalar(at, "loss/train", 200, math.NaN()),
	} {
		got = append(got, record(e)...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-TensorBoard +ours:\n%s", diff)
	}
}

func TestNewEvents(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	for range 3 { // within a second
		e, err := NewEvents(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Scalar("lr", 7, 0.5); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v, %v; want 3", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]byte{versionEvent(time.Unix(0, 0)), scalar(time.Unix(0, 0), "lr", 7, 0.5)} {
		n := len(record(want))
		if len(data) < n {
			t.Fatalf("%d bytes left for a record of %d", len(data), n)
		}
		event := data[12 : n-4]
		if !bytes.Equal(record(event), data[:n]) {
			t.Errorf("bad frame %x", data[:n])
		}
		wall, _ := protowire.ConsumeFixed64(event[1:])
		if at := time.UnixMicro(int64(1e6 * math.Float64frombits(wall))); at.Sub(began).Abs() > time.Hour { // clocks are set
			t.Errorf("wall time %v", at)
		}
		if !bytes.Equal(event[9:], want[9:]) {
			t.Errorf("event %x, want %x", event[9:], want[9:])
		}
		data = data[n:]
	}
	if len(data) > 0 {
		t.Errorf("%d bytes more", len(data))
	}
	if _, err := NewEvents(filepath.Join(dir, "absent")); err == nil {
		t.Error("no error for a folder that does not exist")
	}
}
