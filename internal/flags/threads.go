package flags

import (
	"errors"
	"strconv"

	"github.com/spf13/pflag"
)

// Threads adds --threads. Numbers beyond those of any machine are wrong when they are
// read: before a file is written, and before so many threads begin.
func Threads(fs *pflag.FlagSet, p *int, usage string) {
	fs.Var((*threads)(p), "threads", usage)
}

type threads int

// maxThreads is what [github.com/mobilenet-go/mobilenet/engine.Compile] takes.
const maxThreads = 1024

func (*threads) Type() string     { return "number" }
func (n *threads) String() string { return strconv.Itoa(int(*n)) }

func (n *threads) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 || v > maxThreads {
		return errors.New("want 0 to 1024")
	}
	*n = threads(v)
	return nil
}
