//go:build unix

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/serve"
)

// A service is a process that serves.
type service struct {
	cmd   *exec.Cmd
	url   string
	lines chan string // of its log
}

// listening has the address in the log.
const listening = `"msg":"listening","url":"([^"]+)"`

// startService starts one and waits until it listens.
func startService(t *testing.T, args ...string) *service {
	t.Helper()
	s := beginService(t, args...)
	s.url = s.await(t, listening)
	return s
}

// beginService starts one.
func beginService(t *testing.T, args ...string) *service {
	t.Helper()
	s := &service{cmd: exec.Command(executable(t), append([]string{"serve", "--listen", "127.0.0.1:0", "--drain-delay", "100ms", "--deadline", "1m"}, args...)...), lines: make(chan string, 1<<16)}
	s.cmd.Env = append(os.Environ(), "MOBILENET_CACHE="+t.TempDir())
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before its folder goes
		s.cmd.Process.Kill()
		for range s.lines {
		}
		s.cmd.Wait()
	})
	go func() {
		defer close(s.lines)
		for r := bufio.NewScanner(stderr); r.Scan(); {
			s.lines <- r.Text()
		}
	}()
	return s
}

// await returns what a pattern's group matches in the next line of the log that it fits.
func (s *service) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(never)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("the server has ended, and its log has no %s", pattern)
			}
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1]
			}
		case <-timeout:
			t.Fatalf("no %s in the log", pattern)
		}
	}
}

// best asks for the best class of the test's photo.
func (s *service) best(t *testing.T, client *http.Client, model string) string {
	t.Helper()
	data, err := os.ReadFile("../../testdata/ankle-boot.png")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Post(s.url+"v1/classify?top=1&model="+model, "image/png", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Predictions []struct{ Label string } }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Predictions) != 1 {
		t.Fatal(resp.Status, err)
	}
	return answer.Predictions[0].Label
}

// TestServePages runs each line with curl of the documentation against a server, and
// compares what it prints where the page has it.
func TestServePages(t *testing.T) {
	for _, program := range []string{"curl", "sh", "base64", "sed", "tr", "grep", "cut"} {
		if _, err := exec.LookPath(program); err != nil {
			testenv.Skip(t, program, program+" is not installed")
		}
	}
	dir := t.TempDir()
	index := filepath.Join(dir, "photos.mnidx")
	embed := exec.Command(executable(t), "embed", "--model", "fashion-mnist", "-o", index, "ankle-boot.png", "shapes.png")
	embed.Dir = "../../testdata"
	if out, err := embed.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := startService(t, "--index", index)
	ran := 0
	for _, page := range []string{"../../README.md", "../../docs/serve.md", "serve.go"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range curlLines(string(text)) {
			ran++
			for _, m := range regexp.MustCompile(`[@<] ?([\w-]+\.(?:png|jpe?g))`).FindAllStringSubmatch(c.line, -1) {
				source := "../../testdata/" + m[1]
				if _, err := os.Stat(source); err != nil { // any photo will do
					source = "../../testdata/ankle-boot.png"
				}
				data, err := os.ReadFile(source)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, m[1]), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			line := strings.ReplaceAll(c.line, "http://127.0.0.1:8000/", s.url)
			line = regexp.MustCompile(`\bcurl `).ReplaceAllString(line, "curl --fail-with-body -m 60 -sS ")
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "set -e; "+line)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %s: %v: %s", page, c.line, err, out)
				continue
			}
			times := regexp.MustCompile(`"timing_ms":\{[^}]*\}`)
			got, want := times.ReplaceAllString(strings.TrimSpace(string(out)), ""), times.ReplaceAllString(c.want, "")
			if want != "" && rounded(got) != rounded(want) {
				t.Errorf("%s: $ %s\n%s\nwant:\n%s", page, c.line, got, want)
			}
		}
	}
	if ran < 8 {
		t.Errorf("only %d lines", ran)
	}
}

type curlLine struct{ line, want string }

// curlLines finds the command lines with curl of this server: those of blocks, with
// what they print where they begin with "$ ", and others between backquotes or in Go.
func curlLines(text string) (list []curlLine) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		if !strings.Contains(line, "curl ") || !strings.Contains(line, "127.0.0.1:8000/") {
			continue
		}
		command, printed := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		var want []string
		for _, next := range lines[i+1:] {
			next = strings.TrimPrefix(next, indent)
			if !printed || strings.HasPrefix(next, "$ ") || strings.HasPrefix(next, "```") {
				break
			}
			want = append(want, next)
		}
		if !printed {
			if _, inside, ok := strings.Cut(command, "`curl "); ok {
				command = "curl " + strings.Split(inside, "`")[0]
			}
			command = strings.TrimRight(command, "`,")
		}
		list = append(list, curlLine{command, strings.Join(want, "\n")})
	}
	return list
}

// TestServeIndex: the index is the model's that is served, and is read again with it.
func TestServeIndex(t *testing.T) {
	program, dir := executable(t), t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = "../../testdata", append(os.Environ(), "MOBILENET_CACHE="+dir)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out)
	}
	index, other := filepath.Join(dir, "a.mnidx"), filepath.Join(dir, "b.mnidx")
	run("embed", "-m", "fashion-mnist", "-o", index, "shapes.png")
	run("embed", "-m", "fashion-mnist", "-o", other, "--interpolation", "bicubic", "shapes.png")
	refused := run("serve", "-m", "fashion-mnist", "--index", other)
	if !strings.Contains(refused, other) || !strings.Contains(refused, "prepared otherwise") {
		t.Errorf("photos prepared otherwise: %s", refused)
	}
	weights := filepath.Join(dir, "w.safetensors")
	run("convert", "fashion-mnist", weights)
	_, search, _ := strings.Cut(run("search", "-m", weights, "-i", index, "ankle-boot.png"), index)
	if refused := run("serve", "-m", weights, "--index", index); search == "" || !strings.HasSuffix(refused, search) {
		t.Errorf("another model: %s, and search says %s", refused, search)
	}
	// An index that is there, for a model that isn't; and a time's flag.
	for _, test := range [][]string{
		{`no model called "zz" (models: fashion-mnist)`, "--index", "zz=" + index},
		{"--drain-delay -1s: want", "--drain-delay", "-1s"},
		{"--drain-timeout -1s: want", "--drain-timeout", "-1s"},
	} {
		if out := run(append([]string{"serve"}, test[1:]...)...); !strings.Contains(out, test[0]) {
			t.Errorf("%q: %s", test[1:], out)
		}
	}
	for _, args := range [][]string{{"--index", "x=" + index, "-m", "a=fashion-mnist", "-m", "b=fashion-mnist"}, {"--index", index, "--index", index}, {"--thumbnails", dir}} {
		if out := run(append([]string{"serve"}, args...)...); !strings.Contains(out, args[0]) || !strings.Contains(out, "want") && !strings.Contains(out, "there is none") && !strings.Contains(out, "no model called") {
			t.Errorf("%v: %s", args, out)
		}
	}

	s := startService(t, "-m", "one=fashion-mnist", "-m", "two=fashion-mnist", "--index", "two="+index)
	count := func() (n int) {
		t.Helper()
		resp, err := http.Get(s.url + "v1/models")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var list struct {
			Models []struct{ Index struct{ Photos int } }
		}
		if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list.Models) != 2 || list.Models[0].Index.Photos != 0 {
			t.Fatal(list, err)
		}
		return list.Models[1].Index.Photos
	}
	if n := count(); n != 1 {
		t.Errorf("%d photos", n)
	}
	run("embed", "-m", "fashion-mnist", "-o", index, "--append", "ankle-boot.png")
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.await(t, `"msg":"reloaded","model":"two"`)
	if n := count(); n != 2 {
		t.Errorf("%d photos", n)
	}
	if err := os.Rename(other, index); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	if why := s.await(t, `"msg":"reload failed","model":"two","error":"(.*)"`); !strings.Contains(why, "prepared otherwise") {
		t.Error(why)
	}
	if n := count(); n != 2 {
		t.Errorf("%d photos after a reload that failed", n)
	}
}

// TestServeLabels: labels come from files, and change with them at SIGHUP.
func TestServeLabels(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "names.txt")
	write := func(last string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("a\nb\nc\nd\ne\nf\ng\nh\ni\n"+last+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("Stiefel")
	s := startService(t, "--model", "one=fashion-mnist", "--model", "two=fashion-mnist", "--labels", "two="+file)
	if one, two := s.best(t, http.DefaultClient, "one"), s.best(t, http.DefaultClient, "two"); one != "Ankle boot" || two != "Stiefel" {
		t.Errorf("%s, %s", one, two)
	}
	write("laars")
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.await(t, `"msg":"reloaded","model":"two"`)
	if two := s.best(t, http.DefaultClient, "two"); two != "laars" {
		t.Error(two)
	}
	if err := os.WriteFile(file, []byte("a\n"), 0o644); err != nil { // too few
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.await(t, `"msg":"reload failed","model":"two","error":"`+file+`: fashion-mnist: 1 labels for a model of 10 classes"`)
	if two := s.best(t, http.DefaultClient, "two"); two != "laars" {
		t.Error(two)
	}
}

// TestServeCertificate: SIGHUP reads a renewed certificate, and the log says which it is.
func TestServeCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	renew := func(name string) {
		t.Helper()
		certificate, key := selfSigned(t, name)
		if err := errors.Join(os.WriteFile(cert, certificate, 0o600), os.WriteFile(keyFile, key, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	renew("first")
	s := startService(t, "--tls-cert", cert, "--tls-key", keyFile)
	served := func() string {
		t.Helper()
		u, err := url.Parse(s.url)
		if err != nil {
			t.Fatal(err)
		}
		c, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if name := served(); name != "first" {
		t.Error(name)
	}
	renew("second")
	s.cmd.Process.Signal(syscall.SIGHUP)
	if name := s.await(t, `"msg":"reloaded","certificate":"`+cert+`","subject":"CN=(.*)","expires":"20`); name != "second" || served() != name {
		t.Errorf("the log says %s, and the server has %s", name, served())
	}
	if err := os.WriteFile(cert, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.await(t, `"msg":"reload failed","error":"`+cert)
	if name := served(); name != "second" {
		t.Error(name)
	}
}

// selfSigned returns a certificate and its key, in PEM.
func selfSigned(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// TestServeHangupAtStart: SIGHUP while the server starts doesn't end the process, and is heeded
// when it has started. The certificate is a pipe, so that the test knows when that is.
func TestServeHangupAtStart(t *testing.T) {
	certificate, key := selfSigned(t, "mobilenet")
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(cert, 0o600); err != nil {
		t.Fatal(err)
	}
	s := beginService(t, "--tls-cert", cert, "--tls-key", keyFile)
	opened := make(chan *os.File, 1)
	go func() {
		f, _ := os.OpenFile(cert, os.O_WRONLY, 0) // waits for the server to read
		opened <- f
	}()
	select {
	case f := <-opened:
		s.cmd.Process.Signal(syscall.SIGHUP)
		f.Write(certificate)
		f.Close()
	case <-time.After(never):
		t.Fatal("the certificate is not read")
	}
	for want := map[string]bool{"listening": true, "reloaded": true}; len(want) > 0; { // in either order
		delete(want, s.await(t, `"msg":"(listening|reloaded)"`))
	}
}

// TestServeSignals: SIGHUPs and then SIGTERM under load lose no request that was
// accepted, and the process ends well.
func TestServeSignals(t *testing.T) {
	const delay = time.Second
	s := startService(t, "--drain-delay", delay.String())
	data, err := os.ReadFile("../../testdata/ankle-boot.png")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const clients = 8
	failed := make(chan string, 1<<10)
	var all sync.WaitGroup
	var answered atomic.Int64
	for range clients {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			began := time.Now() // the request before this one
			for now := began; ctx.Err() == nil; began, now = now, time.Now() {
				resp, err := client.Post(s.url+"v1/classify", "image/png", bytes.NewReader(data))
				if err != nil {
					// A connection that has nothing to say during all of the delay is closed, whatever its
					// client, on a busy machine, is about to send, or has not read yet of the last answer.
					idle := time.Since(began) >= delay
					// Elsewhere than on Linux a connection that waits to be accepted is reset as the
					// listener closes, which a client may also see as an end of the file.
					reset := runtime.GOOS != "linux" && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF))
					if !errors.Is(err, syscall.ECONNREFUSED) && !reset && !idle {
						failed <- err.Error()
					}
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					failed <- fmt.Sprintf("%d %s %v", resp.StatusCode, body, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	for i := range int64(5) {
		for answered.Load() < 20*(i+1) && len(failed) == 0 { // or the test is none
			time.Sleep(time.Millisecond)
		}
		s.cmd.Process.Signal(syscall.SIGHUP)
	}
	s.await(t, `"msg":"reloaded"`)
	s.cmd.Process.Signal(syscall.SIGTERM)
	all.Wait()
	cancel()
	for len(failed) > 0 {
		t.Error(<-failed)
	}
	for range s.lines {
	}
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d requests", answered.Load())
}

// TestServeInterrupt: SIGINT drains as SIGTERM does, and the process ends well, also where
// it comes twice at once. Another one, later, ends it.
func TestServeInterrupt(t *testing.T) {
	var s *service
	for apart := time.Hour; apart > time.Second/2; { // once more where this process stood still between the two
		s = startService(t)
		began := time.Now()
		s.cmd.Process.Signal(syscall.SIGINT)
		s.cmd.Process.Signal(syscall.SIGINT) // as timeout(1) sends it, twice at once
		apart = time.Since(began)
	}
	if how := s.await(t, `"msg":"stopped","how":"([^"]*)"`); how != "all requests were answered" {
		t.Error(how)
	}
	for range s.lines {
	}
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}

	s = startService(t, "--drain-delay", (2 * never).String())
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.await(t, `"msg":"draining"`)
	go func() { // somebody who doesn't want to wait
		for t.Context().Err() == nil {
			time.Sleep(1500 * time.Millisecond)
			s.cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	for range s.lines {
	}
	if err := s.cmd.Wait(); err == nil {
		t.Error("a second signal is not heeded")
	}
}

// TestServeHosts: hosts and origins that can't be any are errors of usage.
func TestServeHosts(t *testing.T) {
	program := executable(t)
	for flag, values := range map[string][]string{
		"--allow-urls": {"*", "*.example.com", "https://a.example", "a.example/", "a.example, b.example", " ", "a.example:", "a.example:x", "a.example:99999", "me@a.example", "::1"},
		"--cors":       {"a.example", "a.example:80", "https://a.example/", "https://a.example/x", "https://a.example,https://b.example", "https://", "https://*.a.example", "https://a.example:443", "http://a.example:80", "https://b\u00fccher.example", " "},
	} {
		for _, value := range values {
			out, err := exec.Command(program, "serve", "--model", "no-such-model", flag, value).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !bytes.Contains(out, []byte(flag)) || !bytes.Contains(out, []byte("example.com")) {
				t.Errorf("%s %q: %v %s", flag, value, err, out)
			}
		}
	}
	for _, good := range []string{"a.example", "A.example:8080", "[::1]:80", "192.0.2.1"} {
		if serve.CheckHosts([]string{good}) != nil || !isOrigin("http://"+strings.TrimSuffix(good, ":80")) {
			t.Errorf("%s is refused", good)
		}
	}
}

// TestServeUsage: addresses that nothing can listen on, and names that models can't have, are
// errors of usage that name the flag, before a model is read.
func TestServeUsage(t *testing.T) {
	program := executable(t)
	for _, test := range []struct{ want, args string }{
		{`--listen "nonsense"`, "--listen nonsense"},
		{`--listen ":99999"`, "--listen :99999"},
		{`--listen ":-1"`, "--listen :-1"},
		{`--listen "::1:80"`, "--listen ::1:80"},
		{`--listen ""`, "--listen="},
		{`--metrics-listen "9090"`, "--metrics-listen 9090"},
		{"--metrics-listen and --listen are the same", "--listen 127.0.0.1:8000 --metrics-listen 127.0.0.1:8000"},
		{"--metrics-listen and --listen are the same", "--listen :80 --metrics-listen :http"},
		{"--model: two models called a", "--model a=no-such --model a=neither"},
		{"--model: two models called best", "--model x/best.pth --model y/best.pth"},
		{`--model: a model called "a/b"`, "--model a/b=no-such"},
		{"--model: a model called a-tensor", "--model a=no-such --model a-tensor=neither"},
	} {
		args := append([]string{"serve", "--model", "no-such-model"}, strings.Fields(test.args)...)
		out, err := exec.Command(program, args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v %s", test.args, err, out)
		}
	}
	cmd := newServe() // two ports that the machine chooses are two, and a port may have a name
	for _, good := range [][2]string{{"127.0.0.1:0", "127.0.0.1:0"}, {":8000", ""}, {"[::1]:http", "[::1]:81"}, {"localhost:8000", "0.0.0.0:9000"}} {
		f := serveFlags{listen: serve.Listen{Addr: good[0], Metrics: good[1]}}
		if err := f.checkListen(cmd); err != nil {
			t.Error(err)
		}
	}
}

// TestServeIdle: 10,000 connections that have asked once and then nothing more leave
// room and memory for others.
func TestServeIdle(t *testing.T) {
	const n = 10000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < n+200 {
		t.Skipf("needs %d open files, and %d are allowed", n+200, limit.Cur)
	}
	s := startService(t)
	addr := strings.Trim(strings.TrimPrefix(s.url, "http://"), "/")
	before := resident(t, s.cmd.Process.Pid)
	for i := range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			fmt.Fprint(c, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	for range 5 {
		if best := s.best(t, http.DefaultClient, "fashion-mnist"); best != "Ankle boot" {
			t.Error(best)
		}
	}
	after := resident(t, s.cmd.Process.Pid)
	t.Logf("%d MB before, %d MB with %d idle connections", before>>20, after>>20, n)
	if after-before > 250<<20 {
		t.Errorf("%d MB for %d idle connections", (after-before)>>20, n)
	}
}

// TestServeMemory: bombs and large photos of many clients at once take no more memory than
// docs/serve.md says, and others are answered.
func TestServeMemory(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2")            // more make garbage more quickly than it is collected
	s := startService(t, "--workers", "2") // each has pixels
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	z.Write(make([]byte, 200<<20))
	z.Close()
	large := append(fmt.Appendf(nil, "P6 3200 3200 255\n"), make([]byte, 3200*3200*3)...) // just within --max-body
	var packed bytes.Buffer
	z, _ = gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	z.Write(large)
	z.Close()
	form := "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\n" + string(large[:16<<20]) + "\r\n--x--\r\n"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients sync.WaitGroup
	var mu sync.Mutex
	codes := map[string]int{}
	attack := func(name, path, kind, packing string, body []byte) {
		clients.Go(func() {
			for ctx.Err() == nil {
				r, err := http.NewRequest("POST", s.url+path, bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", kind)
				r.Header.Set("Content-Encoding", packing)
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					continue // a body that is refused unread
				}
				resp.Body.Close()
				mu.Lock()
				codes[fmt.Sprint(name, " ", resp.StatusCode)]++
				mu.Unlock()
			}
		})
	}
	var inputs bytes.Buffer // 30 MB, which encoding/json would make 1.7 GB of
	z, _ = gzip.NewWriterLevel(&inputs, gzip.BestSpeed)
	fmt.Fprintf(z, `{"inputs": [{}%s]}`, strings.Repeat(",{}", 10<<20))
	z.Close()
	for range 8 {
		attack("bomb", "v1/classify", "image/png", "gzip", bomb.Bytes())
		attack("large", "v1/classify", "image/x-portable-pixmap", "gzip", packed.Bytes())
		attack("form", "v1/classify", "multipart/form-data; boundary=x", "", []byte(form))
		attack("inputs", "v2/models/fashion-mnist/infer", "application/json", "gzip", inputs.Bytes())
	}
	came := func() (n int) { // in, even if they were cut off later: all others were refused unread
		mu.Lock()
		defer mu.Unlock()
		for what, count := range codes {
			if !strings.HasSuffix(what, " 429") {
				n += count
			}
		}
		return n
	}
	for began := time.Now(); time.Since(began) < 4*time.Second || came() == 0 && time.Since(began) < never; {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	clients.Wait()
	for range 3 {
		if best := s.best(t, http.DefaultClient, "fashion-mnist"); best != "Ankle boot" {
			t.Error(best)
		}
	}
	most := memory(t, s.cmd.Process.Pid, "VmHWM:")
	t.Logf("%d MB at most; %v", most>>20, codes)
	if came() == 0 {
		t.Error("nobody came in: the test is none")
	}
	if most > 400<<20 { // half as much was seen; all that the clients send would be thousands
		t.Errorf("%d MB", most>>20)
	}
}

// resident is a process's memory in bytes, 0 where the system doesn't say.
func resident(t *testing.T, pid int) int { return memory(t, pid, "VmRSS:") }

// memory is a line of a process's status, in bytes.
func memory(t *testing.T, pid int, line string) (n int) {
	t.Helper()
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), line)
	fmt.Sscan(rest, &n)
	return n << 10
}
