package train

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// half returns the options of a run that has two of its three epochs, to resume.
// They are for one use; the folder is a copy.
func half(t *testing.T) (again func() Options, whole []byte) {
	t.Helper()
	train, val := photos(t, 6)
	begin := func() Options {
		o := options(t, train, val)
		o.Epochs, o.Augment.Erase = 3, 0
		return o
	}
	first := begin()
	if _, err := Fit(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	whole = last(t, first)
	stopped := begin()
	ctx, cancel := context.WithCancel(t.Context())
	stopped.Progress = func(p Progress) {
		if p.Epoch == 3 {
			cancel()
		}
	}
	if _, err := Fit(ctx, stopped); err == nil {
		t.Fatal("the run was not interrupted")
	}
	return func() Options {
		o := begin()
		o.Resume = true
		if err := os.CopyFS(o.RunDir, os.DirFS(stopped.RunDir)); err != nil {
			t.Fatal(err)
		}
		return o
	}, whole
}

// TestDamage flips bits of what a run left. It has to end as if nothing was, or to
// say which file is damaged.
func TestDamage(t *testing.T) {
	again, whole := half(t)
	rng := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for _, name := range []string{StateFile, BestFile, LastFile} {
		for i := range 8 {
			o := again()
			path := filepath.Join(o.RunDir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := rng.IntN(len(data))
			if i%3 == 0 {
				at = rng.IntN(2000) // the header
			}
			data[at] ^= 1 << rng.IntN(8)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err = Fit(t.Context(), o)
			switch {
			case err == nil && !bytes.Equal(last(t, o), whole):
				t.Errorf("%s: byte %d: other weights, and no error", name, at)
			case err != nil && !strings.Contains(err.Error(), name):
				t.Errorf("%s: byte %d: the error doesn't name it: %v", name, at, err)
			case err != nil:
				refused++
				if name == LastFile {
					t.Errorf("%s is made again, but: %v", name, err)
				}
			}
		}
	}
	if refused < 6 { // a bit of a name in the header may be of no account
		t.Errorf("%d refused", refused)
	}
	// The best weights are made again from the state if its epoch was the best, but
	// not otherwise.
	o := again()
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	tr, err := newTrainer(o)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	path := filepath.Join(tr.RunDir, BestFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = tr.openBest()
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Broken || f.File != path {
		t.Errorf("error %v for damaged best weights", err)
	}
}

// TestOldState resumes from a state of a version that wrote no checksum.
func TestOldState(t *testing.T) {
	again, whole := half(t)
	o := again()
	path := filepath.Join(o.RunDir, StateFile)
	dict, meta, err := checkpoint.ReadTensors(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range metaOptional {
		delete(meta, key)
	}
	if err := checkpoint.WriteTensors(path, dict, meta); err != nil {
		t.Fatal(err)
	}
	if _, err := Fit(t.Context(), o); err != nil || !bytes.Equal(last(t, o), whole) {
		t.Errorf("the weights are equal: %v; error %v", bytes.Equal(last(t, o), whole), err)
	}
}

// TestMissingFiles checks that a run without a file that says what it was is refused, and
// that nothing is written then.
func TestMissingFiles(t *testing.T) {
	again, _ := half(t)
	for want, change := range map[string]func(dir string) error{
		"split.csv is missing: it says which photos the run began with": func(dir string) error {
			return os.Remove(filepath.Join(dir, SplitFile))
		},
		"state.safetensors is missing": func(dir string) error { return os.Remove(filepath.Join(dir, StateFile)) },
	} {
		o := again()
		if err := change(o.RunDir); err != nil {
			t.Fatal(err)
		}
		before := files(t, o.RunDir)
		if _, err := Fit(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.RunDir+"/"+want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if after := files(t, o.RunDir); !maps.Equal(before, after) {
			t.Errorf("%s: files were written", want)
		}
	}
}

// TestWithdrawn checks that nothing stays of a run that was refused before its first
// step, but what was there before, and that one that was interrupted can go on.
func TestWithdrawn(t *testing.T) {
	train, val := photos(t, 6)
	for _, there := range []bool{false, true} {
		o := options(t, train, val)
		o.Epochs, o.Warmup, o.Args = 1, 0, []byte("x: 1\n")
		if !there {
			o.RunDir = filepath.Join(o.RunDir, "new")
		} else if err := os.WriteFile(filepath.Join(o.RunDir, "notes.txt"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		before := files(t, o.RunDir)
		for what, change := range map[string]func(o *Options){
			"after the folder was made": func(o *Options) {
				o.Train = &dataset.Set{Classes: train.Classes, Items: append(slices.Clone(train.Items), dataset.Item{Name: "absent.png"})}
				o.Batch = len(o.Train.Items)
			},
			"in the first step": func(o *Options) { o.Model.Dict["classifier.1.bias"].Data[0] = float32(math.NaN()) },
		} {
			wrong := o
			wrong.Model = options(t, train, val).Model
			change(&wrong)
			if _, err := Fit(t.Context(), wrong); err == nil {
				t.Fatalf("refused %s: no error", what)
			}
			if after := files(t, o.RunDir); !maps.Equal(before, after) {
				t.Errorf("refused %s: there is %v, and was %v", what, slices.Collect(maps.Keys(after)), slices.Collect(maps.Keys(before)))
			}
			if _, err := os.Stat(o.RunDir); !there && err == nil {
				t.Errorf("refused %s: the folder stays", what)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		o.Begun = cancel
		if _, err := Fit(ctx, o); err == nil {
			t.Fatal("not interrupted")
		}
		o.Begun, o.Resume, o.Args = nil, true, nil
		if _, err := Fit(t.Context(), o); err != nil {
			t.Errorf("interrupted before the first step: %v", err)
		}
		if _, err := os.Stat(filepath.Join(o.RunDir, ArgsFile)); err != nil {
			t.Error(err)
		}
	}
}

// files are those of a folder, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

// TestOtherSettings checks that a run goes on with its own settings only, and that
// the error says which are others.
func TestOtherSettings(t *testing.T) {
	again, _ := half(t)
	for name, change := range map[string]func(o *Options){
		"epochs was 3 and is 4":             func(o *Options) { o.Epochs = 4 },
		"lr was 0.05 and is 0.06":           func(o *Options) { o.LR = 0.06 },
		"augment.MinScale was 0.5 and is 0": func(o *Options) { o.Augment.MinScale = 0 },
		"config.dropout was 0.2 and is 0.3": func(o *Options) { o.Model.Config.Dropout = 0.3 },
		"seed was 7 and is 8":               func(o *Options) { o.Seed = 8 },
	} {
		o := again()
		change(&o)
		if _, err := Fit(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %q", err, name)
		}
	}
	o := again()
	o.Threads, o.RunDir = 2, o.RunDir+"/." // not of the run
	if _, err := Fit(t.Context(), o); err != nil {
		t.Error(err)
	}
}

// TestChangedPhotos: a run goes on with photos of the same content only.
func TestChangedPhotos(t *testing.T) {
	again, _ := half(t)
	o := again()
	held, err := os.ReadFile(o.Val.Items[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{1, 2} {
		if err := os.WriteFile(o.Train.Items[at].Name, held, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := last(t, o)
	_, err = Fit(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), o.Train.Items[1].Name) || !strings.Contains(err.Error(), "changed: 2 of 18") {
		t.Errorf("error %v", err)
	}
	if !bytes.Equal(before, last(t, o)) {
		t.Error("it went on")
	}
	o = again() // of a version that kept no content
	if err := os.WriteFile(filepath.Join(o.RunDir, SplitFile), []byte("path,label,split\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Fit(t.Context(), o); err != nil {
		t.Error(err)
	}
}

// TestBestFirst: best weights that are damaged or gone are found before more epochs.
func TestBestFirst(t *testing.T) {
	train, val := photos(t, 6)
	begun := options(t, train, val)
	begun.Epochs, begun.Patience = 2, 0
	if _, err := Fit(t.Context(), begun); err != nil {
		t.Fatal(err)
	}
	o := options(t, train, val)
	o.Epochs, o.RunDir, o.Resume = 2, begun.RunDir, true
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	tr, err := newTrainer(o)
	if err != nil {
		t.Fatal(err)
	}
	tr.best = 1 // whichever it was
	tr.bestSum = modelSum(tr.weights())
	if err := tr.save(); err != nil {
		t.Fatal(err)
	}
	tr.close()
	path := filepath.Join(o.RunDir, BestFile)
	for what, damage := range map[string]func() error{
		"cut off": func() error { return os.Truncate(path, 5000) },
		"gone":    func() error { return os.Remove(path) },
	} {
		if err := checkpoint.Save(path, tr.weights(), checkpoint.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		o := options(t, train, val)
		o.Epochs, o.RunDir, o.Resume, o.Extend = 3, begun.RunDir, true, true
		o.EpochDone = func(report.Epoch, report.Epoch) { t.Errorf("%s: an epoch was trained first", what) }
		_, err := Fit(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "best weights of the run, of epoch 1") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

// TestRunDir checks who may write to a run folder, and what is in it.
func TestRunDir(t *testing.T) {
	train, val := photos(t, 4)
	o := options(t, train, val)
	o.Epochs, o.Warmup, o.Args = 1, 0, []byte("how: so\n")
	release, err := lock(o.RunDir)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := lock(o.RunDir); err == nil {
		other()
		t.Log("no locks here")
	} else if _, err := Fit(t.Context(), o); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), o.RunDir) {
		t.Errorf("error %v for a folder that another training uses", err)
	}
	release()
	for _, name := range []string{".state.safetensors.12", ".args.yaml.345"} { // of a killed process
		if err := os.WriteFile(filepath.Join(o.RunDir, name), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Fit(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if hidden, _ := filepath.Glob(filepath.Join(o.RunDir, ".*")); len(hidden) > 0 {
		t.Errorf("left: %q", hidden)
	}
	if text, err := os.ReadFile(filepath.Join(o.RunDir, ArgsFile)); string(text) != "how: so\n" {
		t.Errorf("%s is %q, error %v", ArgsFile, text, err)
	}
	if _, err := Fit(t.Context(), o); err == nil || !strings.Contains(err.Error(), "holds a run already") {
		t.Errorf("error %v for a folder that has a run", err)
	}
	o.RunDir = t.TempDir()
	own := filepath.Join(o.RunDir, "results.csv")
	if err := os.WriteFile(own, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Begun = func() { t.Error("a run begins over somebody's file") }
	if _, err := Fit(t.Context(), o); err == nil || !strings.Contains(err.Error(), own+" is there already") {
		t.Errorf("error %v for a folder with a file that would be written over", err)
	}
	if text, err := os.ReadFile(own); string(text) != "mine" {
		t.Errorf("it is %q, error %v", text, err)
	}
}

// tiny is a network of a few kilobytes, with images that are never looked at.
func tiny(t testing.TB) Options {
	c := model.Default()
	c.Width, c.Classes, c.Resolution, c.FirstChannels, c.LastChannels = 0.1, 2, 32, 8, 8
	c.Table = []model.Stage{{T: 1, C: 8, N: 1, S: 1}}
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	set := &dataset.Set{Classes: []string{"a", "b"}, Items: []dataset.Item{{Name: "a/1.png"}, {Name: "b/2.png", Label: 1}}}
	r, err := RecipeNamed("plain", true) // that of the committed seeds
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Data: Data{Model: m, Train: set}, Hyperparameters: r.Hyperparameters, Run: Run{RunDir: t.TempDir(), Resume: true}}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	return o
}

// FuzzState restores from any file: an error, or a state that makes sense. The
// seeds that were committed are what version 0.1 wrote, and that without checksum.
func FuzzState(f *testing.F) {
	o := tiny(f)
	tr, err := newTrainer(o)
	if err != nil {
		f.Fatal(err)
	}
	tr.history, tr.optimizer.steps, tr.best = []report.Epoch{{Epoch: 1}, {Epoch: 2}}, 2, 2
	if err := tr.save(); err != nil {
		f.Fatal(err)
	}
	tr.close()
	path := filepath.Join(o.RunDir, StateFile)
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		dict, meta, err := checkpoint.ReadTensors(path)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error doesn't name the file: %v", err)
			}
			return
		}
		tr, err := newTrainer(Options{Data: o.Data, Hyperparameters: o.Hyperparameters, Run: Run{Threads: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.restore(dict, meta); err == nil && (tr.best < 1 || tr.best > tr.done() || tr.optimizer.steps < 1) {
			t.Errorf("epoch %d of %d is the best, after %d steps", tr.best, tr.done(), tr.optimizer.steps)
		}
	})
}

// TestLost refuses a state whose unreadable images are none of the data's.
func TestLost(t *testing.T) {
	o := tiny(t)
	tr, err := newTrainer(o)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	tr.history, tr.optimizer.steps, tr.best = []report.Epoch{{Epoch: 1}}, 1, 1
	if err := o.unreadable.add(o.Train.Items[1].Name, errors.New("broken")); o.MaxErrors > 0 && err != nil {
		t.Fatal(err)
	}
	if err := tr.save(); err != nil {
		t.Fatal(err)
	}
	dict, meta, err := checkpoint.ReadTensors(filepath.Join(o.RunDir, StateFile))
	if err != nil || meta[metaLost] != `{"train":[1]}` {
		t.Fatalf("%q, %v", meta[metaLost], err)
	}
	for text, sound := range map[string]bool{
		meta[metaLost]: true, `{}`: true, `{"train":[0,1]}`: true, `{"train":[99]}`: false, `{"val":[0]}`: false, `{"train":[-1]}`: false, `[`: false, `{"train":["a"]}`: false,
	} {
		meta[metaLost] = text
		meta[metaSum] = sum(dict, meta)
		if err := tr.restore(dict, meta); (err == nil) != sound {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestStateSeeds checks that the committed seeds of FuzzState are still restored.
func TestStateSeeds(t *testing.T) {
	for _, name := range []string{"v01", "unchecked"} {
		text, err := os.ReadFile("testdata/fuzz/FuzzState/" + name)
		if err != nil {
			t.Fatal(err)
		}
		_, quoted, _ := strings.Cut(string(text), "[]byte(")
		data, err := strconv.Unquote(strings.TrimSuffix(strings.TrimSpace(quoted), ")"))
		if err != nil {
			t.Fatal(err)
		}
		o := tiny(t)
		if err := os.WriteFile(filepath.Join(o.RunDir, StateFile), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		tr, err := newTrainer(o)
		if err != nil || tr.done() != 2 {
			t.Errorf("%s: error %v", name, err)
		}
		if err == nil {
			tr.close()
		}
	}
}
