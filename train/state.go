package train

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// The state file holds all that a run goes on from, as .safetensors: the weights
// ("model."), their average ("ema."), what the optimizer remembers ("optimizer.0.",
// "optimizer.1."), and as metadata:
const (
	metaHistory  = "history"  // the epochs: base64 of gob of []report.Epoch
	metaBest     = "best"     // the best of them, from 1
	metaSteps    = "steps"    // of the optimizer
	metaSeed     = "seed"     // Run.Seed
	metaData     = "data"     // see fingerprint
	metaSettings = "settings" // JSON of settings
	metaWeights  = "weights"  // digest of what is in BestFile
	metaLost     = "lost"     // JSON of lost, the images that can't be read; not there without any
	metaSum      = "sha256"   // digest of the tensors and of all other metadata
)

// Not every run has these: those of versions before 0.1 have none.
var metaOptional = []string{metaSettings, metaWeights, metaLost, metaSum}

// save writes the state after an epoch. The state file comes first: what follows
// can be made from it again.
func (t *trainer) save() error {
	dict := t.tensors()
	var history bytes.Buffer
	if err := gob.NewEncoder(&history).Encode(t.history); err != nil {
		return err
	}
	// The digest of the best weights is in the state before they are in their file, so
	// it can't be that of other weights which are there for whatever reason.
	if t.best == t.done() {
		t.bestSum = modelSum(t.weights())
	}
	meta := map[string]string{
		metaHistory:  base64.StdEncoding.EncodeToString(history.Bytes()),
		metaBest:     strconv.Itoa(t.best),
		metaSteps:    strconv.Itoa(t.optimizer.steps),
		metaSeed:     strconv.FormatUint(t.Seed, 10),
		metaData:     t.data,
		metaSettings: t.settings,
		metaWeights:  t.bestSum,
	}
	if l := t.lostOnes(); !l.none() {
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		meta[metaLost] = string(text)
	}
	meta[metaSum] = sum(dict, meta)
	if err := checkpoint.WriteTensors(filepath.Join(t.RunDir, StateFile), dict, meta); err != nil {
		return err
	}
	return t.publish()
}

// tensors are those of the state file. They share memory with the trainer.
func (t *trainer) tensors() model.StateDict {
	dict := model.StateDict{}
	for name, v := range t.Model.Dict {
		dict["model."+name] = v
		if t.average != nil {
			dict["ema."+name] = t.average.model.Dict[name]
		}
	}
	for i, p := range t.optimizer.params {
		for b, s := range t.optimizer.states[i] {
			dict[fmt.Sprintf("optimizer.%d.%s", b, p.Name)] = model.Tensor{Shape: []int{len(s)}, Data: s}
		}
	}
	return dict
}

// sum is a digest of tensors and metadata, in hexadecimal. It is of what they mean
// and not of a file: files that hold the same have the same.
func sum(dict model.StateDict, meta map[string]string) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		if key != metaSum {
			fmt.Fprintf(h, "%q %q\n", key, meta[key])
		}
	}
	buf := make([]byte, 0, 64<<10) // one write of 16,000 numbers, not as many of one
	for _, name := range slices.Sorted(maps.Keys(dict)) {
		t := dict[name]
		fmt.Fprintf(h, "%q %d\n", name, t.Shape)
		for part := range slices.Chunk(t.Data, cap(buf)/4) {
			buf = buf[:0]
			for _, v := range part {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			h.Write(buf)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// modelSum is the sum of a model: weights, config and labels.
func modelSum(m *model.Model) string {
	meta, err := m.Metadata()
	if err != nil {
		return err.Error() // no digest: no file has it
	}
	// A label that is not UTF-8 comes back from a file with replacement characters,
	// and only then is the same each time.
	var labels []string
	if json.Unmarshal([]byte(meta[model.LabelsKey]), &labels) == nil {
		meta[model.LabelsKey] = fmt.Sprintf("%q", labels)
	}
	return sum(m.Dict, meta)
}

// settingsOf are the settings that make a run what it is, as JSON: all but those
// that its result does not depend on, and the seed, which the state names by itself.
func settingsOf(o Options) (string, error) {
	teacher := ""
	if o.Data.Teacher != nil {
		teacher = modelSum(o.Data.Teacher)
	}
	ranges := ""
	if o.ranges != nil {
		meta, err := o.ranges.Metadata()
		if err != nil {
			return "", err
		}
		ranges = sum(nil, meta)
	}
	text, err := json.Marshal(struct {
		Hyperparameters
		Config  model.Config `json:"config"`
		Teacher string       `json:"teacher"`
		Ranges  string       `json:"ranges"` // of a training for 8 bits
	}{o.Hyperparameters, o.Model.Config, teacher, ranges})
	return string(text), err
}

// otherSettings names the settings that are not what they were. Those that only
// one side knows, being of another version of this package, don't count.
func otherSettings(was, is string) ([]string, error) {
	var before, now map[string]any
	if err := json.Unmarshal([]byte(was), &before); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(is), &now); err != nil {
		return nil, err
	}
	return differences("", before, now), nil
}

func differences(prefix string, was, is map[string]any) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(was)) {
		v, ok := is[name]
		if !ok {
			continue
		}
		a, inA := was[name].(map[string]any)
		b, inB := v.(map[string]any)
		switch {
		case inA && inB:
			out = append(out, differences(prefix+name+".", a, b)...)
		case reflect.DeepEqual(was[name], v):
		case prefix == "" && name == "teacher": // digests
			out = append(out, teacherWas(was[name] != "", v != ""))
		default:
			out = append(out, fmt.Sprintf("%s%s was %.40s and is %.40s", prefix, name, fmt.Sprint(was[name]), fmt.Sprint(v)))
		}
	}
	return out
}

// teacherWas says how the teacher of a run differs.
func teacherWas(had, has bool) string {
	switch {
	case !had:
		return "it had no teacher"
	case !has:
		return "it had a teacher"
	}
	return "the teacher is another"
}

// publish writes weights and curves of the last epoch.
func (t *trainer) publish() error {
	files := []string{LastFile}
	if t.best == t.done() {
		files = append(files, BestFile)
	}
	for _, name := range files {
		if err := checkpoint.Save(filepath.Join(t.RunDir, name), t.weights(), checkpoint.SaveOptions{Metadata: t.metadata()}); err != nil {
			return err
		}
	}
	if err := report.WriteResultsCSV(filepath.Join(t.RunDir, resultsFile), t.history); err != nil {
		return err
	}
	if err := report.WriteResultsPNG(filepath.Join(t.RunDir, "results.png"), t.history); err != nil {
		return err
	}
	return t.scalars()
}

// metadata is what files of weights say of the photos that they were trained with.
func (t *trainer) metadata() map[string]string {
	if t.Division == nil { // a rehearsal
		return nil
	}
	if summary := t.Division.Summary(t.Before); summary != "" {
		return map[string]string{dataset.SummaryKey: summary}
	}
	return nil
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
func (o *Options) fingerprint() string { return o.fingerprintOf(fullName) }

// fingerprintOf is that of images with such names. Version 0.1 had them as they were
// opened, and knew no folder of those in the one that it was called from.
func (o *Options) fingerprintOf(name func(*dataset.Set, int) string) string {
	h := sha256.New()
	for _, set := range []*dataset.Set{o.Train, o.Val} {
		if set == nil {
			continue
		}
		fmt.Fprintf(h, "%q", set.Classes)
		for i, item := range set.Items {
			path := name(set, i)
			fmt.Fprintf(h, "%q %q %d\n", filepath.Base(filepath.Dir(path)), filepath.Base(path), item.Label)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fullName is the absolute path of an image, or its number in a file of many: what a run
// leaves is the same wherever it is called from.
func fullName(set *dataset.Set, i int) string {
	path, ok := set.File(i)
	if full, err := filepath.Abs(path); ok && err == nil {
		return full
	}
	return path
}

// load restores the state of a run, if one was saved before it was interrupted.
func (t *trainer) load() error {
	path := filepath.Join(t.RunDir, StateFile)
	dict, meta, err := checkpoint.ReadTensors(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t.unbegun()
	}
	if err == nil {
		err = t.restore(dict, meta)
	}
	if err != nil {
		return fmt.Errorf("resume: %w", fault.In(path, err))
	}
	if t.undivided && meta[metaSum] != "" { // versions before 0.1 wrote neither
		return fmt.Errorf("resume: %s is missing: it says which photos the run began with; put it back, or begin a new run", filepath.Join(t.RunDir, SplitFile))
	}
	if t.best < t.done() { // otherwise publish makes the file again
		if _, err := t.openBest(); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
	}
	return t.publish() // the run may have ended between the state and these
}

// unbegun reports files that a run has from its first epoch on. Without a state it would
// begin again and write over them.
func (t *trainer) unbegun() error {
	for _, name := range []string{resultsFile, LastFile, BestFile} {
		if _, err := os.Lstat(filepath.Join(t.RunDir, name)); err == nil {
			return fmt.Errorf("resume: %s is missing: the run goes on from it; put it back, or begin a new run", filepath.Join(t.RunDir, StateFile))
		}
	}
	return nil
}

// restore makes t what the state says. Damage comes first: what is damaged says
// nothing about the run.
func (t *trainer) restore(dict model.StateDict, meta map[string]string) error {
	if err := checkMeta(dict, meta); err != nil {
		return err
	}
	if was := meta[metaSeed]; was != strconv.FormatUint(t.Seed, 10) { // first: the data is divided by it
		return fmt.Errorf("the run goes on with the settings that it began with: seed was %s and is %d", was, t.Seed)
	}
	if was := meta[metaData]; was != t.data && was != t.fingerprintOf(func(set *dataset.Set, i int) string { return set.Items[i].Name }) {
		return errors.New("the data is not what the run began with: its classes, images, labels or their division have changed")
	}
	if was := meta[metaSettings]; was != "" {
		other, err := otherSettings(was, t.settings)
		if err != nil {
			return fault.Brokenf("metadata %s: %v", metaSettings, err)
		}
		if t.Extend {
			other = slices.DeleteFunc(other, func(s string) bool {
				return strings.HasPrefix(s, "epochs was ") || strings.HasPrefix(s, "patience was ")
			})
		}
		if len(other) > 0 {
			return fmt.Errorf("the run goes on with the settings that it began with: %s", strings.Join(other, ", "))
		}
	}
	want := t.tensors() // which share memory with t, so that copying restores it
	for name, to := range want {
		from, ok := dict[name]
		if !ok || len(from.Data) != len(to.Data) {
			return fmt.Errorf("%s does not fit this network and optimizer: resume with the options of the run", name)
		}
		copy(to.Data, from.Data)
	}
	if len(dict) != len(want) {
		return fmt.Errorf("%d tensors, %d for this network and optimizer: resume with the options of the run", len(dict), len(want))
	}
	return t.restoreHistory(meta)
}

// checkMeta reports a state that is not what was written. Any key that is not known
// may be the damaged name of one that is.
func checkMeta(dict model.StateDict, meta map[string]string) error {
	known := 0
	for _, key := range []string{metaHistory, metaBest, metaSteps, metaSeed, metaData, metaSettings, metaWeights, metaLost, metaSum} {
		if _, ok := meta[key]; ok {
			known++
		} else if !slices.Contains(metaOptional, key) {
			return fault.Brokenf("damaged, or not the state of a training: the metadata has no %q", key)
		}
	}
	if known != len(meta) {
		return fault.Brokenf("damaged: %d entries of the metadata are not known", len(meta)-known)
	}
	if want, ok := meta[metaSum]; ok && want != sum(dict, meta) {
		return fault.Brokenf("damaged: its checksum is wrong")
	}
	return nil
}

// restoreHistory reads what happened so far.
func (t *trainer) restoreHistory(meta map[string]string) error {
	var epochs []report.Epoch
	history, err := base64.StdEncoding.DecodeString(meta[metaHistory])
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(history)).Decode(&epochs)
	}
	best, bestErr := strconv.Atoi(meta[metaBest])
	steps, stepsErr := strconv.Atoi(meta[metaSteps])
	if err := cmp.Or(err, bestErr, stepsErr); err != nil {
		return fault.Brokenf("damaged metadata: %v", err)
	}
	// A sum that fits is no proof against bytes that somebody made up.
	for i, e := range epochs {
		if want := t.first() + i; e.Epoch != want {
			return fault.Brokenf("damaged metadata: epoch %d is in the place of %d", e.Epoch, want)
		}
		if e.Undone < 0 || e.Undone > halvings {
			return fault.Brokenf("damaged metadata: epoch %d was undone %d times", e.Epoch, e.Undone)
		}
	}
	last := t.first() + len(epochs) - 1
	if len(epochs) == 0 || best < t.first() || best > last || steps < min(last, 1) {
		return fault.Brokenf("damaged metadata: epoch %d of %d is the best, after %d steps", best, last, steps)
	}
	if last > t.Epochs {
		return fmt.Errorf("the run has %d epochs already, more than %d", last, t.Epochs)
	}
	var ones lost
	if text := meta[metaLost]; text != "" {
		if err := json.Unmarshal([]byte(text), &ones); err != nil || !ones.within(t.Train, t.Val) {
			return fault.Brokenf("damaged metadata: images that can't be read: %.40q", text)
		}
	}
	t.lost = ones
	t.history, t.best, t.optimizer.steps, t.bestSum = epochs, best, steps, meta[metaWeights]
	return nil
}

// openBest reads the best weights and makes sure that they are those the run left.
func (t *trainer) openBest() (*model.Model, error) {
	path := filepath.Join(t.RunDir, BestFile)
	m, err := checkpoint.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the best weights of the run, of epoch %d: %w; put them back, or begin a new run", t.best, err)
	}
	if t.bestSum != "" && modelSum(m) != t.bestSum {
		return nil, fault.In(path, fault.Brokenf("damaged: these are not the weights that epoch %d left; put them back, or begin a new run", t.best))
	}
	return m, nil
}
