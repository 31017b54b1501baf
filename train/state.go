package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// save writes the state after an epoch. The state file comes first: what follows
// can be made from it again.
func (t *trainer) save() error {
	dict := model.StateDict{}
	add := func(prefix string, from model.StateDict) {
		for name, v := range from {
			dict[prefix+name] = v
		}
	}
	add("model.", t.Model.Dict)
	if t.average != nil {
		add("ema.", t.average.model.Dict)
	}
	for i, p := range t.optimizer.params {
		for b := range t.optimizer.rule.buffers {
			s := t.optimizer.states[i][b]
			dict[fmt.Sprintf("optimizer.%d.%s", b, p.Name)] = model.Tensor{Shape: []int{len(s)}, Data: s}
		}
	}
	var history bytes.Buffer
	if err := gob.NewEncoder(&history).Encode(t.history); err != nil {
		return err
	}
	meta := map[string]string{
		"history": base64.StdEncoding.EncodeToString(history.Bytes()),
		"best":    strconv.Itoa(t.best),
		"steps":   strconv.Itoa(t.optimizer.steps),
		"seed":    strconv.FormatUint(t.Seed, 10),
		"data":    t.data,
	}
	if err := checkpoint.WriteTensors(filepath.Join(t.RunDir, StateFile), dict, meta); err != nil {
		return err
	}
	return t.publish()
}

// publish writes weights and curves of the last epoch.
func (t *trainer) publish() error {
	files := []string{LastFile}
	if t.best == t.done() {
		files = append(files, BestFile)
	}
	for _, name := range files {
		if err := checkpoint.Save(filepath.Join(t.RunDir, name), t.weights(), checkpoint.SaveOptions{}); err != nil {
			return err
		}
	}
	if err := report.WriteResultsCSV(filepath.Join(t.RunDir, "results.csv"), t.history); err != nil {
		return err
	}
	if err := report.WriteResultsPNG(filepath.Join(t.RunDir, "results.png"), t.history); err != nil {
		return err
	}
	return t.scalars()
}

// scalars adds the last epoch to TensorBoard's curves. A process has one file; the
// first point of one that resumes replaces what was written of the epoch before.
func (t *trainer) scalars() (err error) {
	if t.events == nil {
		if t.events, err = report.NewEvents(t.RunDir); err != nil {
			return err
		}
		if t.Resume {
			if err := t.events.Restart(t.done()); err != nil {
				return err
			}
		}
	}
	e := t.history[len(t.history)-1]
	for _, s := range []struct {
		tag string
		v   float64
	}{
		{"loss/train", e.TrainLoss}, {"loss/val", e.ValLoss},
		{"accuracy/train", e.TrainAcc}, {"accuracy/val", e.ValAcc1}, {"lr", e.LR},
	} {
		if s.v == s.v {
			if err := t.events.Scalar(s.tag, e.Epoch, s.v); err != nil {
				return err
			}
		}
	}
	return nil
}

// fingerprint tells apart data of other classes, images or labels. It knows an
// image by the last two parts of its path: all of it may have been moved.
func (o *Options) fingerprint() string {
	h := sha256.New()
	for _, set := range []*dataset.Set{o.Train, o.Val} {
		if set == nil {
			continue
		}
		fmt.Fprintf(h, "%q", set.Classes)
		for _, item := range set.Items {
			fmt.Fprintf(h, "%q %q %d\n", filepath.Base(filepath.Dir(item.Name)), filepath.Base(item.Name), item.Label)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// written are the files of a run that a killed process may have been writing.
var written = []string{
	StateFile, LastFile, BestFile, "results.csv", "results.png", "train_batch.jpg", "val_predictions.jpg", "confusion_matrix.png",
}

// load restores the state of a run, if one was saved before it was interrupted.
func (t *trainer) load() error {
	for _, name := range written {
		if err := atomicfile.Clean(filepath.Join(t.RunDir, name)); err != nil {
			return err
		}
	}
	path := filepath.Join(t.RunDir, StateFile)
	dict, meta, err := checkpoint.ReadTensors(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("resume: %w", err)
	case meta["data"] != t.data:
		return fmt.Errorf("%s: the data is not what the run began with: its classes, images, labels or their division have changed", path)
	}
	restore := func(name string, to []float32) {
		from, ok := dict[name]
		if err == nil && (!ok || len(from.Data) != len(to)) {
			err = fmt.Errorf("%s: %s does not fit this network and optimizer: resume with the options of the run", path, name)
		}
		copy(to, from.Data)
	}
	for name, v := range t.Model.Dict {
		restore("model."+name, v.Data)
		if t.average != nil {
			restore("ema."+name, t.average.model.Dict[name].Data)
		}
	}
	for i, p := range t.optimizer.params {
		for b := range t.optimizer.rule.buffers {
			restore(fmt.Sprintf("optimizer.%d.%s", b, p.Name), t.optimizer.states[i][b])
		}
	}
	if err != nil {
		return err
	}
	if meta["seed"] != strconv.FormatUint(t.Seed, 10) {
		return fmt.Errorf("%s: the run had seed %s", path, meta["seed"])
	}
	history, err := base64.StdEncoding.DecodeString(meta["history"])
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(history)).Decode(&t.history)
	}
	if err == nil {
		t.best, err = strconv.Atoi(meta["best"])
	}
	if err == nil {
		t.optimizer.steps, err = strconv.Atoi(meta["steps"])
	}
	if err != nil || t.best < 1 || t.best > len(t.history) {
		return fmt.Errorf("%s: damaged metadata (%v)", path, err)
	}
	return t.publish() // the run may have ended between the state and these
}
