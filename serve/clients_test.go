package serve_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"image/jpeg"
	"math"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/serve"
	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
	"github.com/mobilenet-go/mobilenet/vision"
)

// listen runs a server as the command does, and returns its address.
func listen(t testing.TB, o serve.Options, l serve.Listen) (addr string) {
	t.Helper()
	addr, err := listening(t, o, l)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// listening is listen where an address may be taken.
func listening(t testing.TB, o serve.Options, l serve.Listen) (addr string, err error) {
	t.Helper()
	o.Deadline = cmp.Or(o.Deadline, patience)
	if o.Models == nil {
		o.Models = []serve.Model{{Name: "fashion", Open: openBuiltin}}
	}
	s, err := serve.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan string, 1), make(chan error, 1)
	l.Addr, l.Started = "127.0.0.1:0", func(a net.Addr) { started <- a.String() }
	if l.DrainTimeout == 0 {
		l.DrainTimeout = time.Second
	}
	go func() { ended <- s.Run(ctx, l) }()
	select {
	case err := <-ended:
		cancel()
		s.Close()
		return "", err
	case addr = <-started:
	}
	t.Cleanup(func() {
		cancel()
		<-ended // clients that never end are cut off
	})
	return addr, nil
}

// selfSigned returns a configuration with a certificate of 127.0.0.1, and the
// certificate's file.
func selfSigned(t testing.TB) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mobilenet"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"}}, file
}

// bootJPEG returns the file of a JPEG photo, and what the library says of it.
func bootJPEG(t testing.TB) (file string, want map[string][]float32, best []mobilenet.Prediction) {
	t.Helper()
	img, err := mobilenet.DecodeFile(t.Context(), boot)
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if err := jpeg.Encode(&data, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "boot.jpg")
	if err := os.WriteFile(file, data.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := openBuiltin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := vision.Decode(t.Context(), data.Bytes(), vision.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if best, err = c.Classify(t.Context(), decoded, c.Config().Outcomes()); err != nil {
		t.Fatal(err)
	}
	out, err := c.Infer(t.Context(), []*mobilenet.Prepared{c.Prepare(decoded)}, mobilenet.Wanted{Logits: true, Features: true})
	if err != nil {
		t.Fatal(err)
	}
	return file, map[string][]float32{"logits": out.Logits, "embedding": out.Features, "probabilities": probabilities(best)}, best
}

// equal holds outputs against the library's, to the bit.
func equal(t testing.TB, got, want map[string][]float32) {
	t.Helper()
	for name, values := range want {
		if len(got[name]) != len(values) {
			t.Errorf("%s: %d values, want %d", name, len(got[name]), len(values))
			continue
		}
		for i, v := range values {
			if math.Float32bits(got[name][i]) != math.Float32bits(v) {
				t.Errorf("%s %d: %v, want %v", name, i, got[name][i], v)
			}
		}
	}
}

// TestPythonClients runs Triton's and KServe's own clients, unmodified, over what they
// can do. All speak to one port, in cleartext and over TLS.
func TestPythonClients(t *testing.T) {
	scripts := map[string]string{"triton.py": "tritonclient.http", "triton_grpc.py": "tritonclient.grpc", "kserve_client.py": "kserve"}
	file, want, best := bootJPEG(t)
	config, ca := selfSigned(t)
	for script, module := range scripts {
		for name, l := range map[string]serve.Listen{"cleartext": {}, "TLS": {TLS: config}} {
			t.Run(module+" "+name, func(t *testing.T) {
				python := testenv.Python(t, module)
				addr := listen(t, serve.Options{}, l)
				args := []string{"testdata/" + script, addr, "fashion", file, best[0].Label, ""}
				if l.TLS != nil {
					args[5] = ca
				}
				out, err := exec.CommandContext(t.Context(), python, args...).Output()
				var e *exec.ExitError
				if errors.As(err, &e) {
					t.Fatalf("%v: %s", err, e.Stderr)
				}
				lines := strings.Split(strings.TrimSpace(string(out)), "\n")
				equal(t, decode[map[string][]float32](t, []byte(lines[len(lines)-1])), want)
			})
		}
	}
}

// TestCurl asks as people do from a shell.
func TestCurl(t *testing.T) {
	exe, err := exec.LookPath("curl")
	if err != nil {
		testenv.Skip(t, "curl", "curl is not installed")
	}
	file, _, best := bootJPEG(t)
	config, ca := selfSigned(t)
	clear := "http://" + listen(t, serve.Options{}, serve.Listen{})
	if out, err := exec.CommandContext(t.Context(), exe, "-sS", "-d", "@"+file, clear+"/v1/classify").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--data-binary")) {
		t.Errorf("-d: %v %s", err, out)
	}
	secret := "https://" + listen(t, serve.Options{}, serve.Listen{TLS: config})
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := write("photo.json", fmt.Appendf(nil, `{"photo": %q}`, base64.StdEncoding.EncodeToString(data)))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data)
	z.Close()
	zipped := write("photo.gz", packed.Bytes())
	infer := write("infer.json", fmt.Appendf(nil, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [%q]}]}`, base64.StdEncoding.EncodeToString(data)))

	for name, test := range map[string]struct {
		args    []string
		version string
	}{
		"raw body":           {[]string{"--data-binary", "@" + file, clear + "/v1/classify?top=10"}, "1.1"},
		"upload":             {[]string{"-X", "POST", "-T", file, clear + "/v1/classify?top=10"}, "1.1"},
		"chunked":            {[]string{"-H", "Transfer-Encoding: chunked", "--data-binary", "@" + file, clear + "/v1/classify?top=10"}, "1.1"},
		"HTTP/1.0":           {[]string{"-0", "--data-binary", "@" + file, clear + "/v1/classify?top=10"}, "1"},
		"upgrade":            {[]string{"--http2", "--data-binary", "@" + file, clear + "/v1/classify?top=10"}, "1.1"},
		"h2c":                {[]string{"--http2-prior-knowledge", "--data-binary", "@" + file, clear + "/v1/classify?top=10"}, "2"},
		"TLS, h2":            {[]string{"--cacert", ca, "--data-binary", "@" + file, secret + "/v1/classify?top=10"}, "2"},
		"TLS, HTTP/1.1":      {[]string{"--cacert", ca, "--http1.1", "--data-binary", "@" + file, secret + "/v1/classify?top=10"}, "1.1"},
		"a form":             {[]string{"-F", "photo=@" + file, clear + "/v1/classify?top=10"}, "1.1"},
		"a form of two":      {[]string{"-F", "photo=@" + file, "-F", "photo=@" + file, clear + "/v1/classify?top=10"}, "1.1"},
		"base64":             {[]string{"--json", "@" + text, clear + "/v1/classify?top=10"}, "1.1"},
		"packed":             {[]string{"-H", "Content-Encoding: gzip", "--data-binary", "@" + zipped, clear + "/v1/classify?top=10"}, "1.1"},
		"100 continue":       {[]string{"-H", "Expect: 100-continue", "--data-binary", "@" + file, clear + "/v1/classify?top=10"}, "1.1"},
		"infer, packed back": {[]string{"--compressed", "--json", "@" + infer, clear + "/v2/models/fashion/infer"}, "1.1"},
		"infer, raw":         {[]string{"-H", "Inference-Header-Content-Length: 0", "--data-binary", "@" + file, clear + "/v2/models/fashion/infer"}, "1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-sS", "--fail-with-body", "-m", "60", "-w", "\n%{http_version}"}, test.args...)
			out, err := exec.CommandContext(t.Context(), exe, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			end := bytes.LastIndexByte(out, '\n')
			body, version := out[:end], out[end+1:]
			if string(version) != test.version {
				t.Errorf("HTTP %s, want %s", version, test.version)
			}
			if strings.HasPrefix(name, "infer") {
				for _, o := range decode[inferAnswer](t, body).Outputs {
					if o.Name == "probabilities" {
						equal(t, map[string][]float32{"": decode[[]float32](t, o.Data)}, map[string][]float32{"": probabilities(best)})
					}
				}
				return
			}
			got := decode[answer](t, body)
			for _, p := range got.Photos {
				same(t, p.Predictions, best)
			}
			if len(got.Photos) == 0 {
				same(t, got.Predictions, best)
			}
		})
	}
}

// probabilities are those of predictions by their class.
func probabilities(best []mobilenet.Prediction) []float32 {
	p := make([]float32, len(best))
	for _, b := range best {
		p[b.Index] = float32(b.Probability)
	}
	return p
}

// TestGRPC speaks to the server with grpc-go, whose HTTP/2 is its own.
func TestGRPC(t *testing.T) {
	file, want, _ := bootJPEG(t)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config, ca := selfSigned(t)
	fromFile, err := credentials.NewClientTLSFromFile(ca, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		l serve.Listen
		c credentials.TransportCredentials
	}{"cleartext": {serve.Listen{}, insecure.NewCredentials()}, "TLS": {serve.Listen{TLS: config}, fromFile}} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, serve.Options{MaxBody: 8 << 20}, test.l)
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(test.c))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx := t.Context()
			call := func(method string, in, out any, opts ...grpc.CallOption) error {
				return conn.Invoke(ctx, "/inference.GRPCInferenceService/"+method, in, out, opts...)
			}
			ask := func(file []byte) *oip.ModelInferRequest {
				raw := append(binary.LittleEndian.AppendUint32(nil, uint32(len(file))), file...)
				return &oip.ModelInferRequest{
					ModelName: "fashion", Id: "seven", RawInputContents: [][]byte{raw},
					Inputs: []*oip.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{1, 1}}},
				}
			}
			check := func(r *oip.ModelInferResponse) {
				t.Helper()
				got := map[string][]float32{}
				for i, o := range r.GetOutputs() {
					raw := r.RawOutputContents[i]
					for ; len(raw) > 0; raw = raw[4:] {
						got[o.Name] = append(got[o.Name], math.Float32frombits(binary.LittleEndian.Uint32(raw)))
					}
				}
				equal(t, got, want)
			}
			var clients sync.WaitGroup // over one connection
			for i := range 40 {
				clients.Go(func() {
					var opts []grpc.CallOption
					if i%2 == 1 {
						opts = append(opts, grpc.UseCompressor("gzip"))
					}
					out := &oip.ModelInferResponse{}
					if err := call("ModelInfer", ask(data), out, opts...); err != nil {
						t.Error(err)
						return
					}
					check(out)
				})
			}
			clients.Wait()

			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/inference.GRPCInferenceService/ModelStreamInfer")
			if err != nil {
				t.Fatal(err)
			}
			for _, photo := range [][]byte{data, []byte("no photo"), data} {
				if err := stream.SendMsg(ask(photo)); err != nil {
					t.Fatal(err)
				}
				out := &oip.ModelStreamInferResponse{}
				if err := stream.RecvMsg(out); err != nil {
					t.Fatal(err)
				}
				if out.ErrorMessage == "" {
					check(out.InferResponse)
				}
				if (out.ErrorMessage != "") != (len(photo) < 10) || out.InferResponse.Id != "seven" {
					t.Errorf("%q of request %s", out.ErrorMessage, out.InferResponse.Id)
				}
			}

			other := ask(data)
			other.ModelName = "none"
			bomb := ask(make([]byte, 9<<20))
			for code, err := range map[codes.Code]error{
				codes.InvalidArgument:   call("ModelInfer", ask([]byte("no photo")), &oip.ModelInferResponse{}),
				codes.NotFound:          call("ModelInfer", other, &oip.ModelInferResponse{}),
				codes.Unimplemented:     call("SystemSharedMemoryStatus", &oip.Empty{}, &oip.Empty{}),
				codes.ResourceExhausted: call("ModelInfer", bomb, &oip.ModelInferResponse{}, grpc.UseCompressor("gzip")),
			} {
				if status.Code(err) != code {
					t.Errorf("%v, want %v", err, code)
				}
			}
			for method, want := range map[string]string{"CudaSharedMemoryRegister": "shared memory is not", "TraceSetting": "traces are not", "LogSettings": "the log can't", "Nothing": `no method "Nothing"`} {
				if err := call(method, &oip.Empty{}, &oip.Empty{}); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v", method, err)
				}
			}
			past, cancel := context.WithTimeout(ctx, time.Nanosecond)
			defer cancel()
			if err := conn.Invoke(past, "/inference.GRPCInferenceService/ServerLive", &oip.Empty{}, &oip.ServerLiveResponse{}); status.Code(err) != codes.DeadlineExceeded {
				t.Error(err)
			}

			probe := health.NewHealthClient(conn)
			serving := func(service string) health.HealthCheckResponse_ServingStatus {
				t.Helper()
				r, err := probe.Check(ctx, &health.HealthCheckRequest{Service: service})
				if err != nil {
					t.Fatalf("%s: %v", service, err)
				}
				return r.Status
			}
			for _, service := range []string{"", "inference.GRPCInferenceService", "fashion", "fashion-tensor"} {
				if s := serving(service); s != health.HealthCheckResponse_SERVING {
					t.Errorf("%q: %v", service, s)
				}
			}
			if _, err := probe.Check(ctx, &health.HealthCheckRequest{Service: "none"}); status.Code(err) != codes.NotFound {
				t.Error(err)
			}
			if err := call("RepositoryModelUnload", &oip.RepositoryModelRequest{ModelName: "fashion"}, &oip.Empty{}); err != nil {
				t.Error(err)
			}
			for _, service := range []string{"", "fashion"} {
				if s := serving(service); s != health.HealthCheckResponse_NOT_SERVING {
					t.Errorf("unloaded, %q: %v", service, s)
				}
			}
		})
	}
}
