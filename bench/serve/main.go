//go:build unix

// Command serve measures mobilenet serve beside other servers of the same network:
// latency, throughput, what becomes of them under overload.
//
//	bash bench/serve/run --model mobilenet_v2.pth --photos DIR
//
// Load comes from vegeta with Poisson arrivals, from the same cores that serve: every
// server pays for it alike. The servers take turns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

var (
	binary   = flag.String("mobilenet", "mobilenet", "the program")
	model    = flag.String("model", "", "float32 weights")
	int8     = flag.String("int8", "", "the same in 8 bits")
	onnx     = flag.String("onnx", "", "the same as ONNX, for the peers")
	python   = flag.String("python", "", "an interpreter that has the peers")
	photoDir = flag.String("photos", "", "a folder of JPEG files")
	each     = flag.Duration("each", 5*time.Second, "how long one measurement takes")
	rounds   = flag.Int("rounds", 3, "of capacity, in turns")
)

// A server is one to measure.
type server struct {
	name string
	args []string
	path string // of the route that takes a photo's bytes
	env  []string

	cmd    *exec.Cmd
	url    string
	photos [][]byte
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	photos, err := readPhotos(*photoDir)
	if err != nil {
		log.Fatal(err)
	}
	var servers []*server
	ours := func(name, weights string) {
		servers = append(servers, &server{name: name, path: "/v1/classify", photos: photos, args: []string{*binary, "serve", "--model", "m=" + weights, "--drain-delay", "0s", "--listen"}})
	}
	ours("mobilenet float32", *model)
	if *int8 != "" {
		ours("mobilenet int8", *int8)
	}
	dir := filepath.Dir(os.Args[0])
	if d := os.Getenv("BENCH_DIR"); d != "" {
		dir = d
	}
	for _, peer := range []string{"litserve", "bentoml"} {
		if *python == "" || exec.Command(*python, "-c", "import "+peer+", onnxruntime, PIL").Run() != nil {
			fmt.Printf("skipped: %s is not installed\n", peer)
			continue
		}
		servers = append(servers, &server{
			name: peer + " + ONNX Runtime", path: "/predict", photos: photos,
			args: []string{*python, filepath.Join(dir, peer+"_server.py")}, env: []string{"MODEL=" + *onnx},
		})
	}
	if err := compare(servers); err != nil {
		log.Fatal(err)
	}
}

func readPhotos(dir string) ([][]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no *.jpg in %q", dir)
	}
	var photos [][]byte
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		photos = append(photos, data)
	}
	return photos, nil
}

// compare prints a table of all servers.
func compare(servers []*server) error {
	capacity := make([][]float64, len(servers))
	for range *rounds { // in turns, as the machine's mood changes
		for i, s := range servers {
			if _, err := s.start(); err != nil {
				return err
			}
			r, err := s.closed(8)
			s.stop()
			if err != nil {
				return err
			}
			capacity[i] = append(capacity[i], r)
		}
	}
	fmt.Printf("%-26s %9s %9s | %8s %8s | %8s | %7s %7s | %9s %9s | %7s | %6s\n", "", "capacity", "median", "1 client", "", "at 70 %", "good at", "good at", "refusal", "refusal", "memory", "ready")
	fmt.Printf("%-26s %9s %9s | %8s %8s | %8s | %7s %7s | %9s %9s | %7s | %6s\n", "", "best /s", "/s", "p50 ms", "p99 ms", "p99 ms", "3x /s", "10x /s", "3x p50 ms", "10x p50", "MB", "ms")
	for i, s := range servers {
		slices.Sort(capacity[i])
		best, median := capacity[i][len(capacity[i])-1], capacity[i][len(capacity[i])/2]
		ready, err := s.start()
		if err != nil {
			return err
		}
		one, err := s.single()
		if err != nil {
			return err
		}
		normal := s.open(.7 * median)
		three, ten := s.open(3*median), s.open(10*median)
		memory := s.memory()
		s.stop()
		fmt.Printf("%-26s %9.0f %9.0f | %8.1f %8.1f | %8.1f | %7.0f %7.0f | %9.1f %9.1f | %7.0f | %6d\n", s.name, best, median,
			ms(quantile(one, .5)), ms(quantile(one, .99)), ms(quantile(normal.good, .99)), three.rate(), ten.rate(),
			ms(quantile(three.refused, .5)), ms(quantile(ten.refused, .5)), memory, ready.Milliseconds())
	}
	fmt.Println("\nmost photos a second with p99 within 50 ms and nothing refused:")
	for i, s := range servers {
		if _, err := s.start(); err != nil {
			return err
		}
		fmt.Printf("%-26s %9.0f\n", s.name, s.within(50*time.Millisecond, capacity[i][len(capacity[i])/2]))
		s.stop()
	}
	return nil
}

// start runs the server and returns how long it took until it answered.
func (s *server) start() (time.Duration, error) {
	const port = "18080"
	s.url = "http://127.0.0.1:" + port
	args := slices.Clone(s.args)
	if s.env == nil {
		args = append(args, "127.0.0.1:"+port)
	}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env = append(append(os.Environ(), s.env...), "PORT="+port)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // they have children
	start := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	for time.Since(start) < time.Minute {
		if code, _ := s.ask(s.photos[0]); code == 200 {
			ready := time.Since(start)
			for _, p := range s.photos[:min(20, len(s.photos))] {
				s.ask(p)
			}
			return ready, nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	s.stop()
	return 0, errors.New(s.name + " doesn't answer")
}

func (s *server) stop() {
	group := -s.cmd.Process.Pid
	syscall.Kill(group, syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { syscall.Kill(group, syscall.SIGKILL) })
	s.cmd.Wait()
	kill.Stop() // or it would be the next server's end
	client.CloseIdleConnections()
	time.Sleep(200 * time.Millisecond)
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}

func (s *server) ask(photo []byte) (int, error) {
	resp, err := client.Post(s.url+s.path, "image/jpeg", strings.NewReader(string(photo)))
	if err != nil {
		return 0, err
	}
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Body.Close()
}

// closed has n clients that ask again as soon as they are answered, and returns
// photos a second.
func (s *server) closed(n int) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), *each)
	defer cancel()
	counts := make(chan int, n)
	start := time.Now()
	for c := range n {
		go func() {
			good := 0
			for i := c; ctx.Err() == nil; i += n {
				if code, err := s.ask(s.photos[i%len(s.photos)]); err == nil && code == 200 {
					good++
				}
			}
			counts <- good
		}()
	}
	all := 0
	for range n {
		all += <-counts
	}
	if all == 0 {
		return 0, errors.New(s.name + " answered nothing")
	}
	return float64(all) / time.Since(start).Seconds(), nil
}

// single has one client, and returns its latencies.
func (s *server) single() ([]time.Duration, error) {
	var all []time.Duration
	for start := time.Now(); time.Since(start) < *each; {
		t := time.Now()
		if code, err := s.ask(s.photos[len(all)%len(s.photos)]); err != nil || code != 200 {
			return nil, fmt.Errorf("%s: status %d, %v", s.name, code, err)
		}
		all = append(all, time.Since(t))
	}
	return all, nil
}

// A load is what became of requests that came at random.
type load struct {
	good, refused []time.Duration
	failed        int
}

func (l load) rate() float64 { return float64(len(l.good)) / each.Seconds() }

// poisson lets requests come at random, rate a second on average.
type poisson struct {
	rate float64
	rng  *rand.Rand
	next time.Duration
	hits uint64
}

func (p *poisson) Rate(time.Duration) float64 { return p.rate }

func (p *poisson) Pace(elapsed time.Duration, hits uint64) (time.Duration, bool) {
	for p.hits <= hits {
		p.hits++
		p.next += time.Duration(p.rng.ExpFloat64() / p.rate * float64(time.Second))
	}
	return max(0, p.next-elapsed), false
}

// open sends requests at a rate, whatever becomes of them.
func (s *server) open(rate float64) load {
	targets := make([]vegeta.Target, len(s.photos))
	for i, p := range s.photos {
		targets[i] = vegeta.Target{Method: "POST", URL: s.url + s.path, Body: p, Header: http.Header{"Content-Type": {"image/jpeg"}}}
	}
	attacker := vegeta.NewAttacker(vegeta.Timeout(10*time.Second), vegeta.KeepAlive(true), vegeta.MaxWorkers(2000), vegeta.Connections(2000))
	pacer := &poisson{rate: rate, rng: rand.New(rand.NewPCG(1, uint64(rate)))}
	var l load
	for r := range attacker.Attack(vegeta.NewStaticTargeter(targets...), pacer, *each, s.name) {
		switch {
		case r.Code == 200:
			l.good = append(l.good, r.Latency)
		case r.Code == 429 || r.Code == 503 || r.Code == 504:
			l.refused = append(l.refused, r.Latency)
		default:
			l.failed++
		}
	}
	return l
}

// within returns the highest rate at which the slowest of a hundred is fast enough.
func (s *server) within(limit time.Duration, capacity float64) float64 {
	low, high := 0.0, 1.1*capacity
	for range 6 {
		rate := (low + high) / 2
		l := s.open(rate)
		if len(l.refused)+l.failed == 0 && quantile(l.good, .99) <= limit {
			low = rate
		} else {
			high = rate
		}
	}
	return low
}

func quantile(v []time.Duration, q float64) time.Duration {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// memory returns the megabytes of the server and its children, at their most.
func (s *server) memory() float64 {
	group := strconv.Itoa(s.cmd.Process.Pid)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	total := 0.0
	for _, f := range stats {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if fields[2] != group { // pgrp
			continue
		}
		status, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "status"))
		for line := range strings.Lines(string(status)) {
			if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				v, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
				total += v / 1024
			}
		}
	}
	return total
}
