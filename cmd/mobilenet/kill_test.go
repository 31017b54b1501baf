package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// executable is the program's path, for tests of what signals do to its process: TestMain
// has this test's own file be the program under that name.
func executable(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("mobilenet")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKillTraining kills a training at random moments until it has been through
// most of its epochs, and compares what it ends in with a training left alone.
func TestKillTraining(t *testing.T) {
	program := executable(t)
	t.Run("random weights", func(t *testing.T) {
		killTraining(t, program, "--model", "none", "--width", "0.1", "--resolution", "32", "--batch", "4", "--epochs", "12", "--ema", "0.9")
	})
	// The classifier alone, then all layers, at a rate that is halved first.
	t.Run("two phases", func(t *testing.T) {
		killTraining(t, program, "--model", smallModel, "--batch", "4", "--epochs", "12", "--head-epochs", "100", "--optimizer", "sgd", "--lr", "30", "--warmup", "0", "--clip", "0")
	})
}

func killTraining(t *testing.T, program string, settings ...string) {
	dir := t.TempDir()
	start := func(run string, resume bool) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"train", "--data", "../../dataset/testdata/fashion", "--run-dir", filepath.Join(dir, run)}, settings...)...)
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

// TestKillMove kills duplicates --move at random moments while it moves, has it done
// again, and takes it all back: every photo is where it was, with its bytes.
func TestKillMove(t *testing.T) {
	program := executable(t)
	dir := t.TempDir()
	photos, out := filepath.Join(dir, "photos"), filepath.Join(dir, "out")
	data, err := os.ReadFile("../../testdata/ankle-boot.png")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(photos, 0o777); err != nil {
		t.Fatal(err)
	}
	const n = 1500
	for i := range n {
		if err := os.WriteFile(filepath.Join(photos, fmt.Sprintf("%04d.png", i)), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	count := func(folder string) int {
		files, _ := filepath.Glob(filepath.Join(folder, "*.png"))
		return len(files)
	}
	undo := func() {
		if said, err := mobilenetCommand(t.Context(), t, io.Discard, "duplicates", "--undo", filepath.Join(out, "moved.jsonl")); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	killed := 0
	for range 4 {
		for range 2 { // the second goes on where the first was killed
			cmd := exec.CommandContext(t.Context(), program, "duplicates", "--model", "fashion-mnist", "--move", out, photos)
			cmd.Env = append(os.Environ(), "MOBILENET_CACHE="+t.TempDir())
			before := count(photos)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				cmd.Wait()
				close(ended)
			}()
			for moving := false; !moving; {
				select {
				case <-ended:
					moving = true
				case <-time.After(time.Millisecond):
					moving = count(photos) < before
				}
			}
			time.Sleep(time.Duration(rng.Int64N(int64(30 * time.Millisecond))))
			cmd.Process.Kill()
			<-ended
			if in, moved := count(photos), count(out); in+moved < n || in+moved > n+2 { // one a kill may have two names
				t.Fatalf("%d photos are there and %d moved, of %d", in, moved, n)
			} else if moved > 0 && moved < n-1 {
				killed++
			}
		}
		undo()
		undo() // once more changes nothing
		if in, moved := count(photos), count(out); in != n || moved != 0 {
			t.Fatalf("taken back: %d photos and %d moved", in, moved)
		}
	}
	t.Logf("%d of 8 killed while moving", killed)
	for i := range n {
		got, err := os.ReadFile(filepath.Join(photos, fmt.Sprintf("%04d.png", i)))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("photo %d: %v", i, err)
		}
	}
}

// TestMoveTwice has two programs move the same photos at once, into one folder and with
// one log: each photo is there once, and all comes back.
func TestMoveTwice(t *testing.T) {
	program := executable(t)
	for _, change := range []string{"--move", "--link"} {
		t.Run(change, func(t *testing.T) {
			dir := t.TempDir()
			data, err := os.ReadFile("../../testdata/ankle-boot.png")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, "photos"), 0o777); err != nil {
				t.Fatal(err)
			}
			const n = 400
			for i := range n {
				if err := os.WriteFile(filepath.Join(dir, "photos", fmt.Sprintf("%03d.png", i)), data, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			args, log := []string{"duplicates", "--model", "fashion-mnist", "--link"}, "linked.jsonl"
			if change == "--move" {
				args, log = append(args[:3:3], "--move", "out"), filepath.Join("out", "moved.jsonl")
			}
			var both []*exec.Cmd
			for _, keep := range []string{"first", "largest"} {
				cmd := exec.CommandContext(t.Context(), program, append(args, "--keep", keep, "photos")...)
				cmd.Dir, cmd.Env = dir, append(os.Environ(), "MOBILENET_CACHE="+t.TempDir())
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				both = append(both, cmd)
			}
			for _, cmd := range both {
				cmd.Wait() // photos that the other took are errors
			}
			count := func(folder string) int {
				files, _ := filepath.Glob(filepath.Join(dir, folder, "*.png"))
				return len(files)
			}
			if in, moved := count("photos"), count("out"); in+moved != n {
				t.Errorf("%d photos are there and %d moved, of %d", in, moved, n)
			}
			if said, err := mobilenetCommand(t.Context(), t, io.Discard, "duplicates", "--undo", filepath.Join(dir, log)); err != nil {
				t.Errorf("%v: %s", err, said)
			}
			var files []os.FileInfo
			for i := range n {
				path := filepath.Join(dir, "photos", fmt.Sprintf("%03d.png", i))
				got, err := os.ReadFile(path)
				info, err2 := os.Stat(path)
				if err != nil || err2 != nil || !bytes.Equal(got, data) {
					t.Fatalf("photo %d: %v, %v", i, err, err2)
				}
				files = append(files, info)
			}
			for i := range files[:min(20, n)] {
				if os.SameFile(files[i], files[i+1]) {
					t.Errorf("photos %d and %d are one file still", i, i+1)
				}
			}
		})
	}
}
