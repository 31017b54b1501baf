package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// build makes the program, for tests of what signals do to its process.
func build(t *testing.T) string {
	program := filepath.Join(t.TempDir(), "mobilenet.exe")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// TestKillTraining kills a training at random moments until it has been through
// most of its epochs, and compares what it ends in with a training left alone.
func TestKillTraining(t *testing.T) {
	program := build(t)
	t.Run("random weights", func(t *testing.T) {
		killTraining(t, program, "--model", "none", "--width", "0.1", "--resolution", "32", "--batch", "4", "--epochs", "12", "--ema", "0.9")
	})
	// The classifier alone, then all layers, at a rate that is halved first.
	t.Run("two phases", func(t *testing.T) {
		killTraining(t, program, "--model", smallModel, "--batch", "4", "--epochs", "12", "--head-epochs", "100", "--optimizer", "sgd", "--lr", "30", "--warmup", "0", "--clip", "0")
	})
}

func killTraining(t *testing.T, program string, settings ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	start := func(run string, resume bool) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, append([]string{"train", "--data", "../../dataset/testdata/fashion", "--run-dir", filepath.Join(dir, run)}, settings...)...)
		if resume {
			cmd.Args = []string{program, "train", "--resume", "--run-dir", filepath.Join(dir, run)}
		}
		cmd.Env = append(os.Environ(), "MOBILENET_CACHE="+t.TempDir())
		cmd.Stderr = new(bytes.Buffer)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	finish := func(cmd *exec.Cmd) {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, cmd.Stderr)
		}
	}
	began := time.Now()
	finish(start("whole", false))
	took := time.Since(began)

	seed := uint64(began.UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	args := filepath.Join(dir, "killed", "args.yaml")
	resume := false
	for range 8 {
		cmd := start("killed", resume)
		time.Sleep(time.Duration(rng.Int64N(int64(took/2) + 1)))
		cmd.Process.Kill()
		cmd.Wait()
		_, err := os.Stat(args)
		resume = err == nil
	}
	finish(start("killed", resume))
	if left, _ := filepath.Glob(filepath.Join(dir, "killed", ".*")); len(left) > 0 {
		t.Errorf("left by the killed: %q", left)
	}
	for _, name := range []string{"last.safetensors", "best.safetensors", "results.png"} {
		want, err1 := os.ReadFile(filepath.Join(dir, "whole", name))
		got, err2 := os.ReadFile(filepath.Join(dir, "killed", name))
		if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("%s of the killed training differs (errors %v, %v)", name, err1, err2)
		}
	}
}
