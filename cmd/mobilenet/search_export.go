package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/parquet"
	"github.com/mobilenet-go/mobilenet/search"
)

// storeFlags are those of mobilenet search export.
type storeFlags struct{ index, format, output string }

// A store is a program for more rows than a scan is quick enough for, or a file as
// mobilenet embed writes it, with no program to load it.
type store struct {
	ending string
	write  func(ctx context.Context, w io.Writer, x *search.Index) error // nil for what embed writes
	load   string                                                        // how it takes the file; FILE is its name, N the number of values
}

var stores = map[string]store{
	"npy":      {".npy", nil, ""},
	"jsonl":    {".jsonl", nil, ""},
	"parquet":  {".parquet", nil, ""},
	"faiss":    {".npy", nil, loadFaiss},
	"qdrant":   {".json", exportQdrant, loadQdrant},
	"milvus":   {".parquet", exportMilvus, loadMilvus},
	"pgvector": {".csv", exportPgvector, loadPgvector},
}

// storeNames are the stores, as messages list them.
var storeNames = []string{"npy", "jsonl", "parquet", "faiss", "qdrant", "milvus", "pgvector"}

const (
	loadFaiss = `  python3 -c "
  import faiss, numpy
  x = numpy.load('FILE')
  index = faiss.index_factory(x.shape[1], 'HNSW32', faiss.METRIC_INNER_PRODUCT)
  index.add(x); faiss.write_index(index, 'FILE.faiss')"
The paths of the rows are in FILE.jsonl, behind its first line.`

	loadQdrant = `  curl -X PUT localhost:6333/collections/photos -H 'Content-Type: application/json' \
    -d '{"vectors": {"size": N, "distance": "Cosine"}}'
  while read -r points; do
    curl -X PUT localhost:6333/collections/photos/points -H 'Content-Type: application/json' -d @- <<< "$points"
  done < FILE`

	loadMilvus = `  python3 -c "
  from pymilvus import MilvusClient, DataType
  c = MilvusClient('http://localhost:19530')
  s = c.create_schema()
  s.add_field('id', DataType.INT64, is_primary=True)
  s.add_field('file', DataType.VARCHAR, max_length=65535)
  s.add_field('vector', DataType.FLOAT_VECTOR, dim=N)
  c.create_collection('photos', schema=s)"
Upload FILE to the bucket that Milvus uses, and then:
  python3 -c "
  from pymilvus.bulk_writer import bulk_import
  print(bulk_import(url='http://localhost:19530', collection_name='photos', files=[['FILE']]).json())"`

	loadPgvector = `  psql -c 'CREATE EXTENSION IF NOT EXISTS vector' \
    -c 'CREATE TABLE photos (id bigint PRIMARY KEY, file text, embedding vector(N))' \
    -c "\copy photos FROM 'FILE' WITH (FORMAT csv)" \
    -c 'CREATE INDEX ON photos USING hnsw (embedding vector_cosine_ops)'`
)

func newSearchExport() *cobra.Command {
	var f storeFlags
	cmd := &cobra.Command{
		Use:   "export --index FILE --format FORMAT -o FILE",
		Short: "Write an index as other files, or for faiss, Qdrant, Milvus or pgvector",
		Long: `Write an index as another file that mobilenet embed writes, with the rows as the
index has them:

  npy       an array of float32; beside it FILE.jsonl with the model and the paths
  jsonl     an object a line, the first of which is about the model
  parquet   a table with the columns file and embedding

or for a program that searches tens of millions of photos, with the command that loads
it. These rows have length 1, so that the inner product is the cosine:

  faiss     .npy: an array of float32; beside it FILE.jsonl with the paths
  qdrant    .json: a line for each 256 points, as its HTTP interface takes them
  milvus    .parquet: id, file, vector, for its bulk import
  pgvector  .csv: id, file, embedding, for COPY in PostgreSQL`,
		Example: `  mobilenet search export --index photos.mnidx --format parquet -o photos.parquet
  mobilenet search export --index photos.mnidx --format faiss -o photos.npy
  mobilenet search export --index photos.mnidx --format pgvector -o photos.csv`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.index == "" || f.output == "" {
				return usagef(cmd, "--index and --output say what to write where, and are needed")
			}
			if err := oneOf(cmd, "format", f.format, storeNames...); err != nil {
				return err
			}
			return f.run(cmd)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.index, "index", "i", "", "the index")
	fs.StringVarP(&f.format, "format", "f", "", "npy, jsonl, parquet, faiss, qdrant, milvus or pgvector")
	fs.StringVarP(&f.output, "output", "o", "", "file to write")
	complete(cmd, "format", storeNames...)
	return cmd
}

func (f *storeFlags) run(cmd *cobra.Command) error {
	s := stores[f.format]
	if ending := strings.ToLower(filepath.Ext(f.output)); ending != s.ending {
		return usagef(cmd, "--output %s: for %s want a name that ends in %s", f.output, f.format, s.ending)
	}
	x, err := search.Open(f.index)
	if err != nil {
		return err
	}
	defer x.Close()
	if s.write == nil {
		v, err := vectorsOf(cmd.Context(), x, vectorOptions{normalized: s.load != ""})
		if err == nil {
			err = vectorFormats[s.ending].write(f.output, v)
		}
		if err != nil {
			return err
		}
	} else if err := atomicfile.Write(f.output, func(w io.Writer) error { return s.write(cmd.Context(), w, x) }); err != nil {
		return err
	}
	if s.load == "" {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d rows of %d values\n", shown(f.output), x.Len(), x.Meta().Dim)
		return err
	}
	load := strings.NewReplacer("FILE", f.output, "N}", strconv.Itoa(x.Meta().Dim)+"}", "N,", strconv.Itoa(x.Meta().Dim)+",", "=N)", "="+strconv.Itoa(x.Meta().Dim)+")", "(N)", "("+strconv.Itoa(x.Meta().Dim)+")").Replace(s.load)
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d rows of %d values. To load them:\n%s\n", shown(f.output), x.Len(), x.Meta().Dim, load)
	return err
}

// normalRows calls f with all rows, made length 1.
func normalRows(ctx context.Context, x *search.Index, f func(id int, path string, v []float32) error) error {
	id := 0
	for r, err := range x.All() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = f(id, r.Path, search.Normalized(r.Vector))
		}
		if err != nil {
			return err
		}
		id++
	}
	return nil
}

type qdrantPoint struct {
	ID      int       `json:"id"`
	Vector  []float32 `json:"vector"`
	Payload jsonFile  `json:"payload"`
}

// pointsAtOnce are in one request: 4 MB at 1280 values, where Qdrant takes 32.
const pointsAtOnce = 256

func exportQdrant(ctx context.Context, w io.Writer, x *search.Index) error {
	var request struct {
		Points []qdrantPoint `json:"points"`
	}
	flush := func() error {
		if len(request.Points) == 0 {
			return nil
		}
		err := json.NewEncoder(w).Encode(request)
		request.Points = request.Points[:0]
		return err
	}
	err := normalRows(ctx, x, func(id int, path string, v []float32) error {
		request.Points = append(request.Points, qdrantPoint{id, v, jsonFileOf(path)})
		if len(request.Points) < pointsAtOnce {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

func exportMilvus(ctx context.Context, w io.Writer, x *search.Index) error {
	t := parquet.NewWriter(w, "", "", parquet.Column{Name: "id", Kind: parquet.Int64},
		parquet.Column{Name: "file", Kind: parquet.Text}, parquet.Column{Name: "vector", Kind: parquet.Floats})
	err := normalRows(ctx, x, func(id int, path string, v []float32) error { return t.Write(int64(id), validText(path), v) })
	if err != nil {
		return err
	}
	return t.Close()
}

// validText is a path as the text that tables want, which names of files need not be.
func validText(path string) string { return strings.ToValidUTF8(path, "\uFFFD") }

// exportPgvector writes CSV as COPY takes it: a vector is its text, [1,2,3].
func exportPgvector(ctx context.Context, w io.Writer, x *search.Index) error {
	b := bufio.NewWriterSize(w, 1<<16)
	var line []byte
	err := normalRows(ctx, x, func(id int, path string, v []float32) error {
		line = strconv.AppendInt(line[:0], int64(id), 10)
		line = append(line, ',', '"')
		line = append(line, strings.ReplaceAll(validText(path), `"`, `""`)...)
		line = append(line, `","[`...)
		for k, f := range v {
			if k > 0 {
				line = append(line, ',')
			}
			line = strconv.AppendFloat(line, float64(f), 'g', -1, 32)
		}
		line = append(line, "]\"\n"...)
		_, err := b.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	return b.Flush()
}
