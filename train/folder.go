package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// Files of a run folder.
const (
	BestFile       = "best.safetensors"
	LastFile       = "last.safetensors"
	Int8File       = "best-int8.safetensors" // with Run.Int8: the best weights as 8-bit integers
	StateFile      = "state.safetensors"     // all that Run.Resume needs
	Int8Report     = "int8.json"             // and how they compare
	ArgsFile       = "args.yaml"             // Run.Args
	UnreadableFile = "unreadable.csv"        // images that were left out, and why, where there are any
	TestDir        = "test"                  // the evaluation on Data.Test
	SplitFile      = "split.csv"             // which images are trained with, and which held out: a dataset.Division

	resultsFile = "results.csv"
	sheetFile   = "train_batch.jpg"
)

// written are the files of a run that a killed process may have been writing.
var written = []string{
	StateFile, LastFile, BestFile, Int8File, Int8Report, ArgsFile, SplitFile, UnreadableFile, resultsFile, "results.png",
	sheetFile, "val_predictions.jpg", "confusion_matrix.png", report.CardFile,
}

// claim makes the run folder, if it is not there, and locks it, so that only one
// training at a time writes to it. What a killed one left half-written is removed.
// The lock is the system's: it ends with the process, however that ends. Where
// there are no locks, as on Windows and on some network file systems, nothing
// keeps two trainings apart.
func (o *Options) claim() (release func(), err error) {
	_, err = os.Stat(o.RunDir)
	o.made = errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(o.RunDir, 0o777); err != nil {
		return nil, err
	}
	release, err = lock(o.RunDir)
	if err != nil {
		return nil, err
	}
	if err := o.begin(); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// CheckRunDir reports a RunDir that [Fit] would refuse: a file, or a folder that holds a run or
// a file that the run would write over. It writes nothing. With Resume it is Fit that looks.
func (o *Options) CheckRunDir() error {
	if o.Resume || o.RunDir == "" {
		return nil
	}
	if info, err := os.Stat(o.RunDir); err == nil && !info.IsDir() {
		return fmt.Errorf("%s is a file: want a folder for the results", o.RunDir)
	}
	return o.overwrites()
}

// begin makes the locked folder ready for the run.
func (o *Options) begin() error {
	for _, name := range written {
		if err := atomicfile.Clean(filepath.Join(o.RunDir, name)); err != nil {
			return err
		}
	}
	if o.Resume {
		return nil
	}
	if err := o.overwrites(); err != nil {
		return err
	}
	return o.writeArgs()
}

// withdraw leaves the folder of a new run as it was found: of a training that was refused
// before its first step there is nothing to go on with, and the corrected one may have
// the same folder.
func (o *Options) withdraw() {
	for _, name := range []string{ArgsFile, SplitFile, sheetFile} {
		os.Remove(filepath.Join(o.RunDir, name))
	}
	if o.made {
		os.Remove(o.RunDir) // only an empty one
	}
}

// overwrites reports the first file in the folder that a new run would write over. A
// card isn't one: somebody else's is kept.
func (o *Options) overwrites() error {
	names := written
	if o.Test != nil {
		names = append(slices.Clone(names), TestDir)
	}
	for _, name := range names {
		switch _, err := os.Lstat(filepath.Join(o.RunDir, name)); {
		case err != nil || name == report.CardFile:
		case name == StateFile:
			return fmt.Errorf("%s holds a run already: resume it, or choose another folder", o.RunDir)
		default:
			return fmt.Errorf("%s is there already, and the run would write over it: choose another folder, or resume the run that it is of", filepath.Join(o.RunDir, name))
		}
	}
	return nil
}

// IsRun reports whether a folder holds a training, whose files nobody else should write
// over: its own, or one of what it was tested with.
func IsRun(dir string) bool {
	for _, in := range []string{dir, filepath.Dir(dir)} {
		if in != dir && filepath.Base(dir) != TestDir {
			break
		}
		for _, name := range []string{StateFile, ArgsFile, SplitFile} {
			if _, err := os.Stat(filepath.Join(in, name)); err == nil {
				return true
			}
		}
	}
	return false
}

func (o *Options) writeArgs() error {
	if o.Args == nil {
		return nil
	}
	return atomicfile.Write(filepath.Join(o.RunDir, ArgsFile), func(w io.Writer) error {
		_, err := w.Write(o.Args)
		return err
	})
}

// divide finds out which images the run trains with. One that goes on has to have the
// same: their names and labels are in the state (see fingerprint), their content here.
func (o *Options) divide(ctx context.Context) (err error) {
	if o.Division == nil {
		if o.Division, err = dataset.Divide(ctx, o.Train, o.Val); err != nil {
			return err
		}
	}
	if !o.Resume {
		return nil
	}
	path := filepath.Join(o.RunDir, SplitFile)
	was, err := dataset.ReadDivision(path)
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if was == nil { // interrupted before, which the state tells (see load), or of a version that kept no content
		_, err := os.Lstat(path)
		o.undivided = err != nil
		return nil
	}
	o.moved = was.Moved(o.Division)
	if changed := o.Division.Changed(was); len(changed) > 0 {
		held := 0
		if o.Val != nil {
			held = len(o.Val.Items)
		}
		return fmt.Errorf("resume: %s: not the photo that the run began with (changed: %d of %d): put back what was there, or begin a new run", changed[0], len(changed), len(o.Train.Items)+held)
	}
	return nil
}

// writeDivision writes it. A run that goes on has it already, but its images may have been
// moved since.
func (o *Options) writeDivision() error {
	path := filepath.Join(o.RunDir, SplitFile)
	if o.moved != nil {
		return atomicfile.Write(path, o.moved.Write)
	}
	if _, err := os.Stat(path); err == nil && o.Resume { // of a version that kept no content
		return nil
	}
	return atomicfile.Write(path, o.Division.Write)
}

// errLocked is what a lock's error wraps when another training has it.
var errLocked = errors.New("another training is writing to this folder")
