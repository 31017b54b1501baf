// Command decode measures how long image files take from bytes in memory to pixels,
// on one core.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/mobilenet-go/mobilenet/vision"
)

func main() {
	runs := flag.Int("runs", 20, "how often to decode all files")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := run(flag.Args(), *runs); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run prints the least milliseconds that all files took.
func run(names []string, runs int) error {
	var files [][]byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, data)
	}
	var best time.Duration
	for i := range runs {
		start := time.Now()
		for _, data := range files {
			if _, err := vision.Decode(context.Background(), data, vision.DecodeOptions{}); err != nil {
				return err
			}
		}
		if took := time.Since(start); i == 0 || took < best {
			best = took
		}
	}
	fmt.Println(best.Seconds() * 1000)
	return nil
}
