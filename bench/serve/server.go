//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server is one to measure.
type server struct {
	name   string
	args   []string // the program; the address goes behind it where env is nil
	env    []string
	path   string   // of the route that takes a photo
	kind   string   // Content-Type of bodies
	bodies [][]byte // requests, a photo each

	url   string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
}

// freePort returns a port that nobody listens on, nor on the two behind it, which
// MLServer takes, too.
func freePort() int {
	for {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err) // no network at all
		}
		port, free := first.Addr().(*net.TCPAddr).Port, true
		for i := 1; i <= 2; i++ {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+i))
			if free = free && err == nil; err == nil {
				l.Close()
			}
		}
		first.Close()
		if free {
			return port
		}
	}
}

// patience is how long a server may take until it answers: peers import a lot.
const patience = 45 * time.Second

// start runs the server, on the given cores if any are named, and returns how long it
// took until it answered.
func (s *server) start(cores ...int) (time.Duration, error) {
	port := strconv.Itoa(freePort())
	s.url = "http://127.0.0.1:" + port
	args := slices.Clone(s.args)
	if s.env == nil {
		args = append(args, "127.0.0.1:"+port)
	}
	if len(cores) > 0 {
		args = append([]string{"taskset", "-c", strings.Join(strings.Fields(strings.Trim(fmt.Sprint(cores), "[]")), ",")}, args...)
	}
	s.cmd, s.ended = exec.Command(args[0], args[1:]...), make(chan struct{})
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a key that interrupts is for this program
	s.cmd.Env = append(append(os.Environ(), s.env...), "PORT="+port)
	if *verbose {
		s.cmd.Stderr = os.Stderr
	}
	var err error
	if s.cmd.Dir, err = os.MkdirTemp("", "bench-serve"); err != nil { // MLServer leaves files
		return 0, err
	}
	start := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	go func() { s.cmd.Wait(); close(s.ended) }()
	for time.Since(start) < patience {
		if code, _ := s.ask(0); code == http.StatusOK {
			ready := time.Since(start)
			for i := range 40 { // what a server does once is not measured
				s.ask(i)
			}
			return ready, nil
		}
		select {
		case <-s.ended:
			s.stop()
			return 0, fmt.Errorf("%s ended before it answered: %v", s.name, s.cmd.ProcessState)
		case <-time.After(2 * time.Millisecond):
		}
	}
	s.stop()
	return 0, fmt.Errorf("%s doesn't answer within %v", s.name, patience)
}

// stop ends the server and its children.
func (s *server) stop() {
	all := s.processes()
	syscall.Kill(s.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
	}
	kill(all)
	<-s.ended
	os.RemoveAll(s.cmd.Dir)
	client.CloseIdleConnections()
	time.Sleep(200 * time.Millisecond)
}

// endTogether ends the servers where this program is told to end.
func endTogether() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		kill(processes(os.Getpid())[1:])
		os.Exit(1)
	}()
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second}

// ask sends request i and returns the answer's status.
func (s *server) ask(i int) (int, error) {
	resp, err := client.Post(s.url+s.path, s.kind, bytes.NewReader(s.bodies[i%len(s.bodies)]))
	if err != nil {
		return 0, err
	}
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Body.Close()
}

// A usage is CPU time: of the server with its children, and of this program, which
// makes the load.
type usage struct{ server, load time.Duration }

func (s *server) used() usage {
	var u usage
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Linux runs
	for _, p := range s.processes() {
		user, _ := strconv.Atoi(p.stat[11])
		system, _ := strconv.Atoi(p.stat[12])
		u.server += time.Duration(user+system) * tick
	}
	var own syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	u.load = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	return u
}

func (u usage) since(before usage) usage {
	return usage{u.server - before.server, u.load - before.load}
}

// memoryNow returns the megabytes of the server and its children, at their most.
func (s *server) memoryNow() float64 {
	total := 0.0
	for _, p := range s.processes() {
		status, _ := os.ReadFile(filepath.Join(p.dir, "status"))
		for line := range strings.Lines(string(status)) {
			if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				v, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
				total += v / 1024
			}
		}
	}
	return total
}

// A process is one of a server's, with the fields of its stat behind the name.
type process struct {
	pid  int
	dir  string
	stat []string
}

// processes are the server's.
func (s *server) processes() []process { return processes(s.cmd.Process.Pid) }

// processes are a process, its children, theirs, and so on, some of which have sessions of
// their own.
func processes(pid int) (list []process) {
	children := map[string][]process{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		p := process{dir: filepath.Dir(f), stat: strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))}
		p.pid, _ = strconv.Atoi(filepath.Base(p.dir))
		if len(p.stat) > startTime {
			children[p.stat[1]] = append(children[p.stat[1]], p)
			if p.pid == pid {
				list = append(list, p)
			}
		}
	}
	for i := 0; i < len(list); i++ {
		list = append(list, children[strconv.Itoa(list[i].pid)]...)
	}
	return list
}

// startTime is the field that says whether a process is still the same one.
const startTime = 19

// kill ends processes that are left.
func kill(list []process) {
	for _, p := range list {
		text, err := os.ReadFile(filepath.Join(p.dir, "stat"))
		if err != nil {
			continue
		}
		stat := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(stat) > startTime && stat[startTime] == p.stat[startTime] {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}
