//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDeploy: a server starts with the arguments that each file in deploy/ has for it, on the
// port that the file says; probes are answered, and the metric to scale by is there.
func TestDeploy(t *testing.T) {
	for _, name := range []string{"kubernetes.yaml", "kserve.yaml"} {
		t.Run(name, func(t *testing.T) {
			m := readDeployment(t, name)
			if len(m.args) == 0 || m.args[0] != "serve" || len(m.gets) == 0 {
				t.Fatalf("args %q, probes %v", m.args, m.gets)
			}
			if port := m.args[slices.Index(m.args, "--listen")+1]; !slices.Equal(m.ports, []string{strings.TrimPrefix(port, ":")}) {
				t.Errorf("it listens on %s, and the ports are %v", port, m.ports)
			}
			s := startService(t, append(m.args[1:], "--listen", "127.0.0.1:0")...)
			for _, path := range m.gets {
				if code, _ := s.get(t, path); code != http.StatusOK {
					t.Errorf("the probe %s: %d", path, code)
				}
			}
			_, metrics := s.get(t, "/metrics")
			for _, name := range m.metrics {
				if !regexp.MustCompile(`(?m)^` + name + ` \d`).MatchString(metrics) {
					t.Errorf("/metrics has no %s", name)
				}
			}
		})
	}
	t.Run("mobilenet.service", func(t *testing.T) {
		start := regexp.MustCompile(`(?m)^ExecStart=\S+/mobilenet serve (.+)$`).FindStringSubmatch(readDeploy(t, "mobilenet.service"))
		if start == nil {
			t.Fatal("no ExecStart")
		}
		startService(t, append(strings.Fields(start[1]), "--listen", "127.0.0.1:0")...)
	})
	t.Run("Dockerfile", func(t *testing.T) {
		text := readDeploy(t, "Dockerfile")
		line := regexp.MustCompile(`(?m)^CMD (\[.+\])$`).FindStringSubmatch(text)
		var args []string
		if line == nil || json.Unmarshal([]byte(line[1]), &args) != nil || len(args) == 0 || args[0] != "serve" {
			t.Fatalf("CMD %q", line)
		}
		port := regexp.MustCompile(`(?m)^EXPOSE (\d+)$`).FindStringSubmatch(text)
		if port == nil || !slices.Contains(args, ":"+port[1]) {
			t.Errorf("EXPOSE %q of %q", port, args)
		}
		startService(t, append(args[1:], "--listen", "127.0.0.1:0")...)
	})
}

func readDeploy(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// get returns the status and body of a path.
func (s *service) get(t *testing.T, path string) (code int, body string) {
	t.Helper()
	resp, err := http.Get(s.url + strings.TrimPrefix(path, "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// A deployment is what a file of Kubernetes' says of the server, wherever it stands.
type deployment struct {
	args    []string
	ports   []string // of the container
	gets    []string // paths of probes
	metrics []string // that pods are scaled by
}

func readDeployment(t *testing.T, name string) (m deployment) {
	t.Helper()
	for d := yaml.NewDecoder(bytes.NewReader([]byte(readDeploy(t, name)))); ; {
		var document any
		if err := d.Decode(&document); errors.Is(err, io.EOF) {
			return m
		} else if err != nil {
			t.Fatal(err)
		}
		m.collect(document)
	}
}

// collect walks through a document.
func (m *deployment) collect(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			m.collect(e)
		}
	case map[string]any:
		for key, e := range v {
			switch one, _ := e.(map[string]any); key {
			case "args":
				for _, a := range e.([]any) {
					m.args = append(m.args, a.(string))
				}
			case "containerPort":
				b, _ := json.Marshal(e)
				m.ports = append(m.ports, string(b))
			case "httpGet":
				m.gets = append(m.gets, one["path"].(string))
			case "metric":
				m.metrics = append(m.metrics, one["name"].(string))
			default:
				m.collect(e)
			}
		}
	}
}
