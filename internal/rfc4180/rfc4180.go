// Package rfc4180 splits CSV byte for byte. Package encoding/csv makes "\n" of "\r\n" inside
// quotes, which is another file's name, and has no bound on a record whose quotes never
// close.
package rfc4180

import (
	"bytes"
	"errors"
)

var quote = []byte{'"'}

// Cut returns the first record of data, without its line end, what comes behind it, and how
// many lines it takes.
func Cut(data []byte) (record, rest []byte, lines int) {
	inQuotes := false
	for rest = data; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		if bytes.Count(rest[:end], quote)%2 == 1 { // those inside quotes are doubled, and change nothing
			inQuotes = !inQuotes
		}
		rest = rest[end:]
		lines++
		if !inQuotes {
			break
		}
	}
	record = data[:len(data)-len(rest)]
	return bytes.TrimSuffix(bytes.TrimSuffix(record, []byte("\n")), []byte("\r")), rest, lines
}

// Fields splits a record without its line end into fields.
func Fields(record []byte) ([]string, error) {
	var fields []string
	for {
		var field []byte
		if rest, quoted := bytes.CutPrefix(record, quote); quoted {
			for {
				i := bytes.IndexByte(rest, '"')
				if i < 0 {
					return nil, errors.New("a quote that nothing closes")
				}
				field, rest = append(field, rest[:i]...), rest[i+1:]
				if !bytes.HasPrefix(rest, quote) {
					break
				}
				field, rest = append(field, '"'), rest[1:]
			}
			if record = rest; len(record) > 0 && record[0] != ',' {
				return nil, errors.New("a field goes on after its closing quote")
			}
		} else {
			i := bytes.IndexByte(record, ',')
			if i < 0 {
				i = len(record)
			}
			if field = record[:i]; bytes.IndexByte(field, '"') >= 0 {
				return nil, errors.New("a quote in a field without quotes")
			}
			record = record[i:]
		}
		fields = append(fields, string(field))
		if len(record) == 0 {
			return fields, nil
		}
		record = record[1:]
	}
}
