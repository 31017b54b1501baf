package report

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Events is an event file of TensorBoard, which draws a curve per tag while the
// training goes on. It is a sequence of TFRecords, each a protobuf message Event
// (tensorboard/compat/proto/event.proto). Every record is written at once, so
// that a file whose writer was killed is sound up to there.
type Events struct{ file *os.File }

// Numbers of the fields used.
const (
	eventWallTime    = 1 // double, seconds since 1970
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5 // Summary
	eventSessionLog  = 7 // SessionLog

	summaryValue       = 1 // Summary.Value, repeated
	valueTag           = 1 // string
	valueSimple        = 2 // float
	sessionLogStatus   = 1 // enum
	sessionStatusStart = 1
)

// NewEvents creates an event file in a folder that exists, beside those of
// earlier runs.
func NewEvents(dir string) (*Events, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	now := time.Now()
	// TensorBoard takes names with "tfevents" and reads them in order. Nanoseconds
	// tell apart what is written within a second.
	name := fmt.Sprintf("events.out.tfevents.%d.%s.%d.%09d", now.Unix(), host, os.Getpid(), now.Nanosecond())
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	e := &Events{f}
	if err := e.write(versionEvent(now)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return e, nil
}

// Restart says that the training continues at step: what earlier files say of it
// and of later steps was lost, and TensorBoard forgets it.
func (e *Events) Restart(step int) error {
	return e.write(restart(time.Now(), step))
}

// Scalar adds a point to the curve called tag, such as "loss/train". TensorBoard
// keeps float32.
func (e *Events) Scalar(tag string, step int, v float64) error {
	return e.write(scalar(time.Now(), tag, step, v))
}

// Close closes the file.
func (e *Events) Close() error { return e.file.Close() }

func (e *Events) write(event []byte) error {
	_, err := e.file.Write(record(event))
	return err
}

// versionEvent is the first of every file.
func versionEvent(at time.Time) []byte {
	return event(at, 0, message(eventFileVersion, []byte("brain.Event:2")))
}

func restart(at time.Time, step int) []byte {
	status := protowire.AppendTag(nil, sessionLogStatus, protowire.VarintType)
	return event(at, step, message(eventSessionLog, protowire.AppendVarint(status, sessionStatusStart)))
}

func scalar(at time.Time, tag string, step int, v float64) []byte {
	value := protowire.AppendTag(nil, valueTag, protowire.BytesType)
	value = protowire.AppendString(value, tag)
	value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
	value = protowire.AppendFixed32(value, math.Float32bits(float32(v)))
	return event(at, step, message(eventSummary, message(summaryValue, value)))
}

// event is an Event with what, an encoded field. As in every proto3 message a
// field that is 0 is left out.
func event(at time.Time, step int, what []byte) []byte {
	seconds := float64(at.Unix()) + float64(at.Nanosecond())/1e9
	b := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(seconds))
	if step != 0 {
		b = protowire.AppendTag(b, eventStep, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(int64(step)))
	}
	return append(b, what...)
}

// message is a field that holds an encoded message, or a string.
func message(field protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), body)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record frames data as a TFRecord: uint64 length, masked CRC of the length,
// data, masked CRC of the data; little-endian.
func record(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(data))
}

// maskedCRC is the CRC-32C rotated and shifted, as TFRecord has it, since the CRC
// of data that contains CRCs is of little worth.
func maskedCRC(b []byte) uint32 {
	crc := crc32.Checksum(b, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}
