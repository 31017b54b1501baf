package job

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A server is a driver of Spark's that was started for one job, and serves Spark Connect
// on this machine.
type server struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start starts a driver of the Spark in the folder home, with arguments as spark-submit
// takes them, and opens a session of it. What it says, thousands of lines, goes to log.
func Start(ctx context.Context, home string, args []string, log *os.File) (*Session, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	// The mode is said, as spark-defaults.conf may have another one.
	all := append([]string{"--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "--deploy-mode", "client"}, args...)
	all = append(all, "--conf", "spark.connect.grpc.binding.address=127.0.0.1", "--conf", fmt.Sprintf("spark.connect.grpc.binding.port=%d", port), "spark-internal")
	cmd := exec.Command(filepath.Join(home, "bin", "spark-submit"), all...)
	cmd.Env = append(os.Environ(), "SPARK_HOME="+home)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd, make(chan struct{})}
	go func() {
		cmd.Wait()
		close(s.done)
	}()
	if err := s.listens(ctx, port); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w; what it said is in %s", err, log.Name())
	}
	session, err := Connect(ctx, fmt.Sprintf("sc://127.0.0.1:%d", port))
	if err != nil {
		s.stop()
		return nil, err
	}
	session.server = s
	return session, nil
}

// ClusterMode reports whether arguments of spark-submit let the driver run on another machine,
// where nobody here finds what it serves.
func ClusterMode(args []string) bool {
	mode := ""
	for i, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok && i+1 < len(args) {
			value = args[i+1]
		}
		if name == "--deploy-mode" {
			mode = value
		}
	}
	return mode == "cluster"
}

// listens waits until somebody listens at a port.
func (s *server) listens(ctx context.Context, port int) error {
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.done:
			return errors.New("the driver of Spark ended before it served anything")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop ends the driver, and with it whatever runs.
func (s *server) stop() {
	s.cmd.Process.Signal(os.Interrupt)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		s.cmd.Process.Kill()
		<-s.done
	}
}
