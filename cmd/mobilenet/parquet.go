package main

import (
	"encoding/json"
	"io"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/parquet"
	"github.com/mobilenet-go/mobilenet/search"
)

// writeParquet writes a table. Its metadata has, under "mobilenet", what the first line
// of a file of lines has.
func writeParquet(path string, v *vectors) error {
	about, err := json.Marshal(v.meta)
	if err != nil {
		return err
	}
	columns := []parquet.Column{{Name: "file", Kind: parquet.Text}, {Name: "embedding", Kind: parquet.Floats}}
	if v.bytes {
		columns = []parquet.Column{{Name: "file", Kind: parquet.Text}, {Name: "int8", Kind: parquet.Binary}, {Name: "scale", Kind: parquet.Float32}}
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		t := parquet.NewWriter(w, "mobilenet", string(about), columns...)
		for r, err := range v.rows {
			switch {
			case err != nil:
			case v.bytes:
				q, scale := search.Int8(r.Vector)
				b := make([]byte, len(q))
				for i, v := range q {
					b[i] = byte(v)
				}
				err = t.Write(validText(r.Path), b, scale)
			default:
				err = t.Write(validText(r.Path), r.Vector)
			}
			if err != nil {
				return err
			}
		}
		return t.Close()
	})
}
