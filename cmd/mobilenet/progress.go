package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// barInterval is often enough to look alive; every photo would be up to thousands of
// lines a second for the terminal.
const barInterval = 100 * time.Millisecond

// fewPhotos need no progress bar: they are done before anybody looks.
const fewPhotos = 20

// A photoBar counts photos on a terminal; the zero value shows nothing.
type photoBar struct{ bar *progressbar.ProgressBar }

func newPhotoBar(w io.Writer, photos int) photoBar {
	if photos <= fewPhotos || !isTerminal(w) {
		return photoBar{}
	}
	return photoBar{progressbar.NewOptions(photos,
		progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("photos"), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(barInterval))}
}

// newCountBar counts photos of which nobody knows yet how many there are.
func newCountBar(w io.Writer) photoBar {
	if !isTerminal(w) {
		return photoBar{}
	}
	return photoBar{progressbar.NewOptions(-1,
		progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("photos"), progressbar.OptionSetWidth(10), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(barInterval))}
}

func (b photoBar) add() {
	if b.bar != nil {
		b.bar.Add(1)
	}
}

// clear makes room for a line of text.
func (b photoBar) clear() {
	if b.bar != nil {
		b.bar.Clear()
	}
}

func (b photoBar) finish() {
	if b.bar != nil {
		b.bar.Finish()
	}
}

// downloadBar returns a function that shows a download on a terminal.
func downloadBar(w io.Writer) func(name string, done, total int64) {
	if !isTerminal(w) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(name string, done, total int64) {
		if total == 0 {
			total = -1
		}
		if bar == nil {
			bar = progressbar.NewOptions64(total,
				progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(name),
				progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
		}
		bar.ChangeMax64(total)
		bar.Set64(done)
	}
}
