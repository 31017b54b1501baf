//go:build unix

// Stores measures what photos in an S3 server cost more than photos in files: photos a
// second of the worker, and its CPU time, from files, from single objects, and from tar
// shards of 1000. The server is gofakes3 in a process of its own on the same machine.
//
//	go run ./bench/stores --binary mobilenet-spark --model FILE --photos DIR [--rows 2000] [--rounds 3] [--objects 100000]
//
// The sources take turns. Each run is followed by one of a single photo, which is taken off,
// so that starting is apart. A ratio is that of one round, files over the store: 1 where the
// store costs nothing. The server takes the same cores, so that on a machine with few of
// them, or with other work, the ratio of CPU times says more than that of the clock. All
// sources must give the same answers.
//
// Then a bucket of --objects objects is listed, and the peak of the memory of that is told.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

var (
	binary  = flag.String("binary", "mobilenet-spark", "the program")
	model   = flag.String("model", "", "the model's file")
	folder  = flag.String("photos", "", "a folder of photos, which are repeated")
	rows    = flag.Int("rows", 2000, "photos of a run")
	rounds  = flag.Int("rounds", 3, "of all sources")
	objects = flag.Int("objects", 100_000, "of the bucket that is listed")
	serving = flag.Bool("serve", false, "be the server")
)

// perShard is how many photos a shard has, also where a run reads fewer of them.
const perShard = 1000

// stored is how many photos the server has.
func stored() int { return max(*rows, perShard) }

func main() {
	log.SetFlags(0)
	flag.Parse()
	photos, err := list(*folder)
	check(err)
	if *serving {
		check(serve(photos))
		return
	}
	check(measure(photos))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// list returns the photos of a folder.
func list(folder string) (photos []string, err error) {
	all, err := filepath.Glob(filepath.Join(folder, "*"))
	for _, name := range all {
		if slices.Contains([]string{".jpg", ".jpeg", ".png"}, strings.ToLower(filepath.Ext(name))) {
			photos = append(photos, name)
		}
	}
	if len(photos) == 0 && err == nil {
		err = fmt.Errorf("%s: no photos", folder)
	}
	return photos, err
}

// nameOf is what the photo of a row is called in a bucket.
func nameOf(row int, photos []string) string {
	return fmt.Sprintf("%06d-%s", row, filepath.Base(photos[row%len(photos)]))
}

// serve is the server: it writes its address, and for every line that it reads the CPU time
// that it has taken.
func serve(photos []string) error {
	backend := s3mem.New()
	put := func(bucket, key string, data []byte) error {
		_, err := backend.PutObject(bucket, key, nil, bytes.NewReader(data), int64(len(data)), nil)
		return err
	}
	for _, bucket := range []string{"single", "shards", "many"} {
		if err := backend.CreateBucket(bucket); err != nil {
			return err
		}
	}
	var shard bytes.Buffer
	archive := tar.NewWriter(&shard)
	for i := range stored() {
		data, err := os.ReadFile(photos[i%len(photos)])
		if err != nil {
			return err
		}
		if err := put("single", nameOf(i, photos), data); err != nil {
			return err
		}
		if err := archive.WriteHeader(&tar.Header{Name: nameOf(i, photos), Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		if _, err := archive.Write(data); err != nil {
			return err
		}
		if (i+1)%perShard == 0 || i+1 == stored() {
			if err := archive.Close(); err != nil {
				return err
			}
			if err := put("shards", fmt.Sprintf("%06d.tar", i/perShard), shard.Bytes()); err != nil {
				return err
			}
			shard.Reset()
			archive = tar.NewWriter(&shard)
		}
	}
	for i := range *objects {
		if err := put("many", fmt.Sprintf("photos/of/a/year/and/a/day/%09d.jpg", i), nil); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(l, gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	runtime.GC()
	fmt.Println(l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return err
		}
		fmt.Println(u.Utime.Nano() + u.Stime.Nano())
	}
	return nil
}

// A server is one that runs.
type server struct {
	address string
	in      io.Writer
	out     *bufio.Scanner
}

func start() (*server, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(program, append([]string{"--serve"}, os.Args[1:]...)...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe() // its end is the server's, too
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	s := &server{in: in, out: bufio.NewScanner(out)}
	if !s.out.Scan() {
		return nil, fmt.Errorf("the server did not start: %v", c.Wait())
	}
	s.address = s.out.Text()
	return s, nil
}

// cpu is the CPU time that the server has taken.
func (s *server) cpu() (time.Duration, error) {
	fmt.Fprintln(s.in)
	if !s.out.Scan() {
		return 0, fmt.Errorf("the server is gone: %v", s.out.Err())
	}
	n, err := strconv.ParseInt(s.out.Text(), 10, 64)
	return time.Duration(n), err
}

// cost is what a run takes.
type cost struct{ wall, cpu, server time.Duration }

func (c cost) less(d cost) cost { return cost{c.wall - d.wall, c.cpu - d.cpu, c.server - d.server} }

func (s *server) command(args ...string) *exec.Cmd {
	c := exec.Command(*binary, append(args, "--s3", "endpoint=http://"+s.address+"&use_path_style=true&region=us-east-1")...)
	c.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret")
	c.Stderr = os.Stderr
	return c
}

// run gives the worker lines, and returns its answers: what it says of each photo.
func (s *server) run(lines []string) (c cost, answers map[string]string, err error) {
	worker := s.command("worker", "--model", *model, "--top", "1")
	worker.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var out bytes.Buffer
	worker.Stdout = &out
	before, err := s.cpu()
	if err != nil {
		return c, nil, err
	}
	began := time.Now()
	if err := worker.Run(); err != nil {
		return c, nil, err
	}
	c.wall = time.Since(began)
	c.cpu = worker.ProcessState.UserTime() + worker.ProcessState.SystemTime() // of both of its processes
	after, err := s.cpu()
	if err != nil {
		return c, nil, err
	}
	c.server = after - before
	answers, err = read(&out, len(lines))
	return c, answers, err
}

// read reads so many answers, and holds those of the same photo against each other.
func read(out io.Reader, n int) (map[string]string, error) {
	answers := map[string]string{}
	d := json.NewDecoder(out)
	for range n {
		var r struct {
			Path, Member, Error string
			Predictions         json.RawMessage
		}
		if err := d.Decode(&r); err != nil {
			return nil, err
		}
		if r.Error != "" {
			return nil, fmt.Errorf("%s: %s", r.Path, r.Error)
		}
		photo := path.Base(r.Path)
		if r.Member != "" {
			photo = r.Member
		}
		if _, bare, ok := strings.Cut(photo, "-"); ok && strings.HasPrefix(r.Path, "s3:") { // see nameOf
			photo = bare
		}
		if was, ok := answers[photo]; ok && was != string(r.Predictions) {
			return nil, fmt.Errorf("%s: %s and %s", photo, was, r.Predictions)
		}
		answers[photo] = string(r.Predictions)
	}
	return answers, nil
}

// A source is where photos come from.
type source struct {
	name  string
	lines []string
}

func (s *server) sources(photos []string) ([]source, error) {
	files := source{name: "files"}
	for i := range *rows {
		file, err := filepath.Abs(photos[i%len(photos)])
		if err != nil {
			return nil, err
		}
		line, err := json.Marshal(map[string]string{"path": file})
		if err != nil {
			return nil, err
		}
		files.lines = append(files.lines, string(line))
	}
	all := []source{files}
	for _, of := range []source{{name: "single objects"}, {name: "shards"}} {
		bucket, _, _ := strings.Cut(of.name, " ")
		out, err := s.command("list", "s3://"+bucket+"/").Output()
		if err != nil {
			return nil, err
		}
		of.lines = strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(of.lines) != stored() {
			return nil, fmt.Errorf("%s: %d photos of %d", of.name, len(of.lines), stored())
		}
		of.lines = of.lines[:*rows]
		all = append(all, of)
	}
	return all, nil
}

func measure(photos []string) error {
	s, err := start()
	if err != nil {
		return err
	}
	sources, err := s.sources(photos)
	if err != nil {
		return err
	}
	fmt.Printf("%d photos, %d cores\n%-6s %-15s %10s %12s %12s %7s %7s\n", *rows, runtime.NumCPU(), "round", "source", "photos/s", "CPU/photo", "server's", "rate", "CPU")
	ratios := map[string][2][]float64{}
	var truth map[string]string
	for round := range *rounds {
		var files cost
		for _, from := range sources {
			whole, answers, err := s.run(from.lines)
			if err != nil {
				return fmt.Errorf("%s: %w", from.name, err)
			}
			if truth == nil {
				truth = answers
			}
			for photo, answer := range truth {
				if answers[photo] != answer {
					return fmt.Errorf("%s: %s is %s, and from files %s", from.name, photo, answers[photo], answer)
				}
			}
			first, _, err := s.run(from.lines[:1])
			if err != nil {
				return err
			}
			c := whole.less(first)
			if from.name == "files" {
				files = c
			}
			n := time.Duration(len(from.lines) - 1)
			rate, cpu := files.wall.Seconds()/c.wall.Seconds(), files.cpu.Seconds()/c.cpu.Seconds()
			fmt.Printf("%-6d %-15s %10.1f %9.3f ms %9.3f ms %7.3f %7.3f\n", round+1, from.name, float64(n)/c.wall.Seconds(),
				1e3*(c.cpu/n).Seconds(), 1e3*(c.server/n).Seconds(), rate, cpu)
			r := ratios[from.name]
			ratios[from.name] = [2][]float64{append(r[0], rate), append(r[1], cpu)}
		}
	}
	for _, from := range sources[1:] {
		r := ratios[from.name]
		fmt.Printf("%-22s median of %d rounds %25s %7.3f %7.3f\n", from.name, *rounds, "", median(r[0]), median(r[1]))
	}
	return s.listMany()
}

func median(all []float64) float64 {
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// listMany lists one object of a bucket of many, for comparison, and then all of them.
func (s *server) listMany() error {
	for _, prefix := range []string{"s3://many/photos/of/a/year/and/a/day/000000000", "s3://many/"} {
		c := s.command("list", prefix)
		began := time.Now()
		out, err := c.Output()
		if err != nil {
			return err
		}
		u := c.ProcessState.SysUsage().(*syscall.Rusage)
		peak := u.Maxrss >> 10
		if runtime.GOOS == "darwin" {
			peak = u.Maxrss >> 20
		}
		fmt.Printf("list of %d objects: %.1f s, peak of memory (RSS) %d MB\n", bytes.Count(out, []byte("\n")), time.Since(began).Seconds(), peak)
	}
	return nil
}
