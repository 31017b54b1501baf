package manifest

import (
	"bytes"
	"errors"
)

var quote = []byte{'"'}

// splitCSV splits a record without its line end into fields (RFC 4180). Package
// encoding/csv does not do: it has no bound on a record whose quotes never close, and
// makes "\n" of "\r\n" inside quotes, which is another file's name.
func splitCSV(record []byte) ([]string, error) {
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
