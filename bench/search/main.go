// Command search measures how long a search takes among many rows, beside faiss-cpu and
// numpy in alternation, and how many of the best ten it has.
//
//	go run ./bench/search -dir /tmp -rows 1000000 -python python3
//
// The rows are made up. They are like pooled features in what matters here: none is
// negative, most are small and a few large, rows of a group are alike, and the bytes are
// off by half a percent (photos' by 0.4 to 0.8). The files stay in -dir, 6.6 KB a row and 5.1 KB for
// the peers.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/search"
)

var (
	dir    = flag.String("dir", os.TempDir(), "where the files are")
	rows   = flag.Int("rows", 1_000_000, "rows")
	dim    = flag.Int("dim", 1280, "values of a row")
	runs   = flag.Int("runs", 7, "how often to measure")
	python = flag.String("python", "", "a Python with numpy and faiss-cpu; none if empty")
)

const queries = 64

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	path := filepath.Join(*dir, fmt.Sprintf("bench-%d-%d.mnidx", *rows, *dim))
	if _, err := os.Stat(path); err != nil {
		if err := write(path); err != nil {
			return err
		}
	}
	x, err := search.Open(path)
	if err != nil {
		return err
	}
	defer x.Close()
	some := make([][]float32, queries)
	for i := range some {
		some[i] = row(*rows+i*997, -1) // of groups that the index has, and not in it
	}
	var hits [][]search.Hit
	ours := func(n int) ([]float64, error) {
		start := time.Now()
		found, err := x.Search(context.Background(), some[:n], search.Options{Top: 10})
		if n == queries {
			hits = found
		}
		return []float64{ms(time.Since(start))}, err
	}
	names, measure := []string{"ours"}, []func(int) ([]float64, error){ours}
	var p *peer
	if *python != "" {
		if p, err = start(path, x, some); err != nil {
			return err
		}
		defer p.close()
		names, measure = append(names, "faiss", "numpy"), append(measure, p.run)
	}
	fmt.Printf("%d rows of %d values; the least of %d, in alternation, ms a query\n", *rows, *dim, *runs)
	fmt.Printf("%-10s", "queries")
	for _, n := range names {
		fmt.Printf(" %8s", n)
	}
	fmt.Println()
	for _, n := range []int{1, queries} {
		least := make([]float64, len(names))
		for i := range *runs {
			at := 0
			for _, m := range measure {
				took, err := m(n)
				if err != nil {
					return err
				}
				for _, t := range took {
					if i == 0 || t < least[at] {
						least[at] = t
					}
					at++
				}
			}
		}
		fmt.Printf("%-10d", n)
		for _, t := range least {
			fmt.Printf(" %8.2f", t/float64(n))
		}
		fmt.Println()
	}
	if p == nil {
		return nil
	}
	return p.recall(hits)
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// write writes the index.
func write(path string) error {
	m := search.Meta{Model: "made up", Digest: "0", Precision: "float32", Height: 224, Width: 224, Preprocess: model.ImageNetPreprocess(256), Dim: *dim}
	w, err := search.Create(path+".new", m, nil)
	if err != nil {
		return err
	}
	const some = 4096
	made := make([][]float32, some)
	for from := 0; from < *rows; from += some {
		var group sync.WaitGroup
		for i := range min(some, *rows-from) {
			group.Go(func() { made[i] = row(from+i, from+i) })
		}
		group.Wait()
		for i := range min(some, *rows-from) {
			if err := w.Add(fmt.Sprintf("photos/%07d.jpg", from+i), made[i]); err != nil {
				return err
			}
		}
		if err := w.Commit(); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// row makes up row i: half of it is its group's, of some hundred rows.
func row(i, seed int) []float32 {
	group := rand.New(rand.NewPCG(1, uint64(i%max(1, *rows/128))))
	own := rand.New(rand.NewPCG(2, uint64(i)+uint64(seed+1)<<32))
	v := make([]float32, *dim)
	for k := range v {
		v[k] = float32(math.Max(0, group.ExpFloat64()-1) + math.Max(0, own.ExpFloat64()-1))
	}
	return v
}

// A peer is bench/search/peers.py, which answers a line with a line.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// start gives the peers the rows, divided by their lengths, and the queries.
func start(path string, x *search.Index, some [][]float32) (*peer, error) {
	for file, v := range map[string]func(yield func([]float32) bool){
		path + ".npy": func(yield func([]float32) bool) {
			for r, err := range x.All() {
				if err != nil || !yield(r.Vector) {
					return
				}
			}
		},
		path + ".queries.npy": slices.Values(some),
	} {
		n := x.Len()
		if file != path+".npy" {
			n = len(some)
		} else if _, err := os.Stat(file); err == nil {
			continue
		}
		if err := writeArray(file, n, v); err != nil {
			return nil, err
		}
	}
	p := &peer{cmd: exec.Command(*python, "bench/search/peers.py", path+".npy", path+".queries.npy")}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, 1<<20)
	return p, p.cmd.Start()
}

func writeArray(path string, n int, rows func(yield func([]float32) bool)) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = search.WriteNPYHead(w, "<f4", n, *dim)
	var b []byte
	for v := range rows {
		b = b[:0]
		for _, x := range search.Normalized(v) {
			bits := math.Float32bits(x)
			b = append(b, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
		}
		w.Write(b)
	}
	if err == nil {
		err = w.Flush()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

func (p *peer) ask(request string, answer any) error {
	if _, err := fmt.Fprintln(p.in, request); err != nil {
		return err
	}
	if !p.out.Scan() {
		return fmt.Errorf("the peers have ended: %v", p.cmd.Wait())
	}
	return json.Unmarshal(p.out.Bytes(), answer)
}

// run returns the milliseconds of faiss and of numpy.
func (p *peer) run(n int) (took []float64, err error) {
	err = p.ask(fmt.Sprint(n), &took)
	return took, err
}

// recall compares with faiss's ten best rows for each query.
func (p *peer) recall(hits [][]search.Hit) error {
	var theirs struct {
		Rows   [][]int     `json:"rows"`
		Scores [][]float64 `json:"scores"`
		Has    string      `json:"versions"`
	}
	if err := p.ask("best", &theirs); err != nil {
		return err
	}
	same, off := 0, 0.0
	for i := range hits {
		for j, h := range hits[i] {
			if slices.Contains(theirs.Rows[i], h.Row) {
				same++
			}
			off = max(off, math.Abs(h.Score-theirs.Scores[i][j]))
		}
	}
	fmt.Printf("recall@10 against faiss IndexFlatIP: %.4f; scores differ by up to %.1e (%s)\n", float64(same)/float64(10*len(hits)), off, theirs.Has)
	return nil
}

func (p *peer) close() {
	p.in.Close()
	p.cmd.Wait()
}
