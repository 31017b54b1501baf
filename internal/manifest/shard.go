package manifest

import (
	"fmt"
	"strconv"
	"strings"
)

// A Shard is which share of a manifest a process takes: 0/1 is all of it.
type Shard struct{ Index, Count int }

// maxShards is more than any scheduler starts, and small enough to multiply.
const maxShards = 1 << 20

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Count) }

// ParseShard reads I/N, I being 0 to N-1.
func ParseShard(text string) (Shard, error) {
	index, count, ok := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if !ok || err1 != nil || err2 != nil {
		return Shard{}, fmt.Errorf("want I/N, as 0/16")
	}
	return Shard{i, n}, Shard{i, n}.check()
}

func (s Shard) check() error {
	switch {
	case s.Count < 1 || s.Count > maxShards:
		return fmt.Errorf("%d shards: want 1 to %d", s.Count, maxShards)
	case s.Index < 0 || s.Index >= s.Count:
		return fmt.Errorf("%d shards are 0/%d to %d/%d", s.Count, s.Count, s.Count-1, s.Count)
	}
	return nil
}

// Owns reports whether a part is the shard's.
func (s Shard) Owns(part int) bool { return part%s.Count == s.Index }

// scheduler says in which variables a scheduler of array jobs has the index, the count,
// and for those that don't begin at 0 and go up by 1 the first index, the last and the step.
type scheduler struct{ name, index, count, first, last, step string }

// JOB_COMPLETIONS is not set by Kubernetes, which tells a pod its index alone: the
// manifest in deploy/ sets it.
var schedulers = []scheduler{
	{name: "Kubernetes", index: "JOB_COMPLETION_INDEX", count: "JOB_COMPLETIONS"},
	{name: "AWS Batch", index: "AWS_BATCH_JOB_ARRAY_INDEX", count: "AWS_BATCH_JOB_ARRAY_SIZE"},
	{name: "Slurm", index: "SLURM_ARRAY_TASK_ID", count: "SLURM_ARRAY_TASK_COUNT", first: "SLURM_ARRAY_TASK_MIN", last: "SLURM_ARRAY_TASK_MAX", step: "SLURM_ARRAY_TASK_STEP"},
}

// ShardOf reads the shard from the environment that a scheduler of array jobs starts a
// process in. from says which variables it was in; it is empty, and the shard 0/1, if
// there is no scheduler. getenv is os.Getenv.
func ShardOf(getenv func(string) string) (s Shard, from string, err error) {
	var found []scheduler
	for _, c := range schedulers {
		if getenv(c.index) != "" {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return Shard{0, 1}, "", nil
	case 1:
	default:
		return s, "", fmt.Errorf("both %s of %s and %s of %s are set", found[0].index, found[0].name, found[1].index, found[1].name)
	}
	c := found[0]
	if getenv(c.count) == "" {
		return s, "", fmt.Errorf("%s is set, and %s, how many there are, is not", c.index, c.count)
	}
	value := func(variable string, otherwise int) int {
		text := getenv(variable)
		if variable == "" || text == "" {
			return otherwise
		}
		v, e := strconv.Atoi(text)
		if e != nil && err == nil {
			err = fmt.Errorf("%s=%.40q is no number", variable, text)
		}
		return v
	}
	index, first, step := value(c.index, 0), value(c.first, 0), value(c.step, 1)
	s.Count = value(c.count, 0)
	end := first + (s.Count-1)*step // of an array without gaps
	last := value(c.last, end)
	if err != nil {
		return s, "", err
	}
	if step < 1 || (index-first)%step != 0 {
		return s, "", fmt.Errorf("%s=%d is none of %d, %d, %d and so on", c.index, index, first, first+step, first+2*step)
	}
	if last != end {
		return s, "", fmt.Errorf("the %d tasks of %s's array have the numbers %d to %d, with gaps: which shares of the list they are, nobody says; want --array=%d-%d, or --shard with a number for each",
			s.Count, c.name, first, last, first, first+s.Count-1)
	}
	s.Index = (index - first) / step
	if err := s.check(); err != nil {
		return s, "", fmt.Errorf("%s=%d, %s=%d: %w", c.index, index, c.count, s.Count, err)
	}
	return s, c.index + " and " + c.count, nil
}
