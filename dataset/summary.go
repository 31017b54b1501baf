package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
)

// SummaryKey is the entry of a model's metadata that holds a [Division.Summary].
const SummaryKey = "mobilenet.trained"

// shortDigest is how many bytes of a digest a summary keeps: where 100,000
// were trained with, one image of ten million others is taken for one of them.
const shortDigest = 5

// maxSummary is how many images a summary is made of: 700 KB.
const maxSummary = 100_000

// short is what a summary keeps of a digest, and zeros.
func (d digest) short() digest { return shortOf(d[:]) }

func shortOf(bytes []byte) (s digest) {
	copy(s[:shortDigest], bytes)
	return s
}

// A summary is JSON. The digests are sorted and follow one another.
type summary struct {
	Trained []byte `json:"trained"`
	HeldOut []byte `json:"held_out,omitempty"` // those of them that were held out, too
	Check   string `json:"check"`
}

func (s summary) check() string {
	sum := sha256.Sum256(slices.Concat(s.Trained, []byte{'|'}, s.HeldOut))
	return hex.EncodeToString(sum[:8])
}

// Summary is what a file of weights keeps of the division: a few bytes of each image that
// was trained with, by which [ParseSummary] knows it again, and of which nobody can make the
// image. before, which may be nil, is what the weights were trained with earlier, whatever
// was held out since. Of more
// than 100,000 images there is none, "".
func (d *Division) Summary(before *Division) string {
	trained, held := map[digest]bool{}, map[digest]bool{}
	for _, from := range []*Division{before, d} {
		if from == nil {
			continue
		}
		for content, at := range from.parts {
			if at.train {
				trained[content.short()] = true
			}
		}
	}
	for content, at := range d.parts {
		if at.val && at.train {
			held[content.short()] = true
		}
	}
	if len(trained) > maxSummary {
		return ""
	}
	s := summary{Trained: joinDigests(trained), HeldOut: joinDigests(held)}
	s.Check = s.check()
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // bytes and strings
	}
	return string(text)
}

func joinDigests(set map[digest]bool) []byte {
	digests := make([][]byte, 0, len(set))
	for d := range set {
		digests = append(digests, slices.Clone(d[:shortDigest]))
	}
	slices.SortFunc(digests, slices.Compare)
	return slices.Concat(digests...)
}

// ParseSummary reads what [Division.Summary] made. The division knows nothing of images
// that were held out, but for copies of those that were trained with. Errors are
// *[fault.Error].
func ParseSummary(text string) (*Division, error) {
	var s summary
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fault.Brokenf("what it was trained with: %v", err)
	}
	if s.Check != s.check() || len(s.Trained)%shortDigest != 0 || len(s.HeldOut)%shortDigest != 0 {
		return nil, fault.Brokenf("what it was trained with is damaged")
	}
	d := &Division{parts: map[digest]side{}, short: true}
	for i := 0; i < len(s.Trained); i += shortDigest {
		d.parts[shortOf(s.Trained[i:])] = side{train: true}
	}
	for i := 0; i < len(s.HeldOut); i += shortDigest {
		d.parts[shortOf(s.HeldOut[i:])] = side{train: true, val: true}
	}
	return d, nil
}
