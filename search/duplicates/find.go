package duplicates

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/vision"
)

// How says what is the same of two photos.
type How string

// Each holds where those before it don't.
const (
	EqualBytes    How = "bytes"
	EqualPixels   How = "pixels"   // decoded and upright
	AlikeFeatures How = "features" // likeness at or above the threshold
	Chained       How = "chain"    // joined by others, and not alike themselves: of [Connected] groups only
)

// A Finder finds duplicates.
type Finder struct {
	Settings
	Keep     Keep
	Decoding vision.DecodeOptions

	// Features yields the features of photos, in their order, or what is wrong with
	// one; an error that is about none of them is [Abort].
	Features func(ctx context.Context, paths iter.Seq[string]) iter.Seq2[[]float32, error]

	// Known are the features where they are there already: a row for each path. Features
	// is not asked then, and files need not be there: what can't be seen without them is
	// left out.
	Known Matrix
}

// An Abort is an error that ends everything.
type Abort struct{ Err error }

func (a Abort) Error() string { return a.Err.Error() }

// A Member is a photo of a group.
type Member struct {
	Photo
	How      How     // beside the one to keep; empty for that one
	Likeness float64 // to the one to keep
}

// A Group is photos of which one is enough. Where two parts were compared the one to
// keep is of the first and the others of the second; each of these is like it.
type Group struct {
	Keep    int    // of Members
	Why     string // that one
	Members []Member
}

// A Report is what a Finder found.
type Report struct {
	Photos []Photo // all that were compared, in their order
	Groups []Group
	Links  []Link
	Failed []Failure
	Absent int // photos whose files are not there

	// Pairs of different rows that are alike, the closest first, those just below the
	// threshold, and whether there are more pairs than were kept. A row stands for all
	// photos of the same features.
	Pairs, Below []Pair
	Lost         bool

	exact exact   // of the rows that photos have
	files [][]int // of each row of Pairs: places in Photos
}

// Of returns the first photo of a row of Pairs and Below.
func (r *Report) Of(row int32) *Photo { return &r.Photos[r.files[row][0]] }

// Find compares the photos at paths. Where Split is set, those before it are the first
// of two parts.
func (f *Finder) Find(ctx context.Context, paths []string) (*Report, error) {
	if f.Known != nil && f.Known.Len() != len(paths) {
		return nil, fmt.Errorf("%d paths and %d rows of features", len(paths), f.Known.Len())
	}
	if !slices.Contains(Keeps(), f.Keep) {
		return nil, fmt.Errorf("which photo to keep: %q", f.Keep)
	}
	r := &Report{}
	r.Photos, r.Links, r.Failed = look(paths, f.Split, f.Known != nil)
	failed, err := equalBytes(ctx, r.Photos, f.Threads)
	if err != nil {
		return nil, err
	}
	r.Failed = append(r.Failed, failed...)
	for i := range r.Photos {
		if r.Photos[i].pixels = r.Photos[i].content; r.Photos[i].absent {
			r.Absent++
		}
	}
	computed := spool{most: rowsInMemory}
	defer computed.close()
	m, err := f.features(ctx, r, &computed)
	if err != nil {
		return nil, err
	}
	if m, err = f.collapse(ctx, r, m); err != nil {
		return nil, err
	}
	if err := f.compare(ctx, r, m); err != nil {
		return nil, err
	}
	return r, f.describe(ctx, r)
}

// features gives each photo a row, one for each content: of what is known, or of m, to
// which it adds what it computes.
func (f *Finder) features(ctx context.Context, r *Report, m *spool) (Matrix, error) {
	rows := map[int]int{} // of contents; -1 for one that can't be decoded
	if f.Known != nil {
		for i := range r.Photos {
			p := &r.Photos[i]
			if row, ok := rows[p.content]; ok {
				p.row = row
			} else {
				rows[p.content] = p.row
			}
		}
		return f.Known, nil
	}
	var asked []int
	for i, p := range r.Photos {
		if p.content == i && p.row >= 0 {
			asked = append(asked, i)
		}
	}
	if len(asked) == 0 {
		return m, nil
	}
	names := func(yield func(string) bool) {
		for _, i := range asked {
			if !yield(r.Photos[i].Path) {
				return
			}
		}
	}
	k := 0
	for v, err := range f.Features(ctx, names) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if abort, ok := errors.AsType[Abort](err); ok {
			return nil, abort.Err
		}
		if k == len(asked) {
			return nil, errors.New("features of more photos than there are")
		}
		i := asked[k]
		k++
		if err != nil {
			r.Failed = append(r.Failed, Failure{r.Photos[i].Path, err})
			rows[i] = -1
			continue
		}
		rows[i] = m.Len()
		if err := m.add(v); err != nil {
			return nil, err
		}
	}
	if k < len(asked) {
		return nil, cmp.Or(ctx.Err(), errors.New("features of fewer photos than there are"))
	}
	for i := range r.Photos {
		p := &r.Photos[i]
		row, ok := rows[p.content]
		if p.row = row; !ok {
			p.row = -1
		}
	}
	return m, nil
}

// collapse makes one row of those that are the same to the bit, so that ten thousand
// copies are no work, and finds out which of their photos have equal pixels.
func (f *Finder) collapse(ctx context.Context, r *Report, m Matrix) (Matrix, error) {
	row := make([]float32, m.Dim())
	first := map[digest]int{} // place in picked
	place := map[int]int{}    // of rows of m
	kept := picked{m: m}
	contents := map[int][]int{} // photos, one of each content, by place
	for i := range r.Photos {
		p := &r.Photos[i]
		if p.row < 0 {
			continue
		}
		at, ok := place[p.row]
		if !ok {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err := m.Row(row, p.row); err != nil {
				return nil, err
			}
			sum := sha256.Sum256(bytesOf(row))
			if at, ok = first[sum]; !ok {
				at = len(kept.rows)
				first[sum] = at
				kept.rows = append(kept.rows, int32(p.row))
			}
			place[p.row] = at
		}
		if p.row = at; p.content == i {
			contents[at] = append(contents[at], i)
		}
	}
	var same [][]int
	for at := range kept.rows {
		some := slices.DeleteFunc(contents[at], func(i int) bool { return r.Photos[i].absent })
		if len(some) > 1 {
			same = append(same, some)
		}
	}
	if err := equalPixels(ctx, r.Photos, same, f.Decoding, f.Threads); err != nil {
		return nil, err
	}
	for i := range r.Photos {
		p := &r.Photos[i]
		p.pixels = r.Photos[p.content].pixels
	}
	r.exact = exact{m: kept}
	return kept, nil
}

func bytesOf(row []float32) []byte {
	b := make([]byte, 0, 4*len(row))
	for _, v := range row {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// picked is some rows of a matrix.
type picked struct {
	m    Matrix
	rows []int32
}

func (p picked) Len() int                       { return len(p.rows) }
func (p picked) Dim() int                       { return p.m.Dim() }
func (p picked) Row(dst []float32, i int) error { return p.m.Row(dst, int(p.rows[i])) }

// compare compares the rows, and makes groups of photos.
func (f *Finder) compare(ctx context.Context, r *Report, m Matrix) error {
	o := f.Settings
	if f.Split > 0 {
		m, o.Split = f.parts(r, m)
	} else {
		r.files = make([][]int, m.Len())
		for i, p := range r.Photos {
			if p.row >= 0 {
				r.files[p.row] = append(r.files[p.row], i)
			}
		}
	}
	alike := &Alike{}
	if f.Split == 0 || o.Split > 0 { // or no photo of the first part can be read
		var err error
		if alike, err = Compare(ctx, m, o); err != nil {
			return err
		}
	}
	for _, row := range alike.None {
		r.Failed = append(r.Failed, Failure{r.Of(row).Path, errors.New("features that are all 0, negative or not finite")})
	}
	r.Pairs, r.Below, r.Lost = alike.Pairs, alike.Below, alike.Lost
	if f.Split > 0 {
		f.leaks(r)
	} else {
		f.groups(r, alike.Groups)
	}
	return nil
}

// parts lists the rows of the first part's photos and then those of the second's. What
// is in both is there twice, and a pair.
func (f *Finder) parts(r *Report, m Matrix) (Matrix, int) {
	both := picked{m: m}
	split := 0
	for _, b := range []bool{false, true} {
		place := map[int]int{}
		for i, p := range r.Photos {
			if p.b != b || p.row < 0 {
				continue
			}
			at, ok := place[p.row]
			if !ok {
				at = len(both.rows)
				place[p.row] = at
				both.rows = append(both.rows, int32(p.row))
				r.files = append(r.files, nil)
			}
			r.files[at] = append(r.files[at], i)
		}
		if !b {
			split = len(both.rows)
		}
	}
	return both, split
}

// groups makes groups of photos of the groups of rows, and of photos that share a row
// or, where they can't be decoded, their bytes.
func (f *Finder) groups(r *Report, groups [][]int32) {
	grouped := make([]bool, len(r.files))
	var all [][]int
	for _, rows := range groups {
		var photos []int
		for _, row := range rows {
			photos = append(photos, r.files[row]...)
			grouped[row] = true
		}
		all = append(all, photos)
	}
	for row, photos := range r.files {
		if !grouped[row] && len(photos) > 1 {
			all = append(all, photos)
		}
	}
	broken := map[int][]int{}
	for i, p := range r.Photos {
		if p.row < 0 {
			broken[p.content] = append(broken[p.content], i)
		}
	}
	for _, photos := range broken {
		if len(photos) > 1 {
			all = append(all, photos)
		}
	}
	for _, photos := range all {
		slices.Sort(photos)
	}
	slices.SortFunc(all, func(a, b []int) int { return cmp.Compare(a[0], b[0]) })
	for _, photos := range all {
		g := Group{Keep: -1}
		for _, i := range photos {
			g.Members = append(g.Members, Member{Photo: r.Photos[i]})
		}
		r.Groups = append(r.Groups, g)
	}
}

// leaks makes a group of each photo of the first part that some of the second are like:
// each of these goes to the one it is most like.
func (f *Finder) leaks(r *Report) {
	of := map[int][]Member{} // by the photo of the first part
	done := make([]bool, len(r.files))
	add := func(a, b int, likeness float64) {
		of[a] = append(of[a], Member{Photo: r.Photos[b], Likeness: likeness})
	}
	for _, p := range r.Pairs { // the closest first
		if done[p.B] {
			continue
		}
		done[p.B] = true
		for _, b := range r.files[p.B] {
			add(f.closest(r, r.files[p.A], b), b, float64(p.Likeness))
		}
	}
	broken := map[int]int{} // 1 + the first photo of the first part, by content
	for i, p := range r.Photos {
		switch a := broken[p.content]; {
		case p.row >= 0:
		case !p.b && a == 0:
			broken[p.content] = i + 1
		case p.b && a > 0:
			add(a-1, i, 1)
		}
	}
	for a := range r.Photos {
		if others := of[a]; others != nil {
			g := Group{Members: []Member{{Photo: r.Photos[a], Likeness: 1}}, Why: "in the first part"}
			g.Members = append(g.Members, others...)
			r.Groups = append(r.Groups, g)
		}
	}
}

// closest returns the photo that has most in common with photo b, of some that have
// the same features.
func (f *Finder) closest(r *Report, photos []int, b int) int {
	best := photos[0]
	for _, a := range photos {
		if r.Photos[a].content == r.Photos[b].content {
			return a
		}
		if r.Photos[a].pixels == r.Photos[b].pixels && r.Photos[best].pixels != r.Photos[b].pixels {
			best = a
		}
	}
	return best
}

// describe chooses the photos to keep, and says what the others are beside them.
func (f *Finder) describe(ctx context.Context, r *Report) error {
	for i := range r.Groups {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f.settle(ctx, r, &r.Groups[i]); err != nil {
			return err
		}
	}
	return nil
}

func (f *Finder) settle(ctx context.Context, r *Report, g *Group) error {
	photos := make([]Photo, len(g.Members))
	measured := map[int]*Photo{} // equal bytes are looked at once
	for i := range g.Members {
		p := &g.Members[i].Photo
		if first := measured[p.content]; first != nil {
			p.Width, p.Height, p.Sharpness = first.Width, first.Height, first.Sharpness
		} else {
			p.measure(ctx, f.Keep, f.Decoding)
			measured[p.content] = p
		}
		photos[i] = *p
	}
	if g.Keep < 0 {
		g.Keep, g.Why = choose(photos, f.Keep)
	}
	kept := &g.Members[g.Keep]
	likeness := map[int]float64{}
	r.exact.begin(r.exact.m.Len())
	for i := range g.Members {
		m := &g.Members[i]
		m.Likeness = 1
		switch {
		case i == g.Keep:
			continue
		case m.content == kept.content:
			m.How = EqualBytes
			continue
		case m.pixels == kept.pixels:
			m.How = EqualPixels
			continue
		case m.row == kept.row:
			m.How = AlikeFeatures
			continue
		}
		l, ok := likeness[m.row]
		if !ok {
			if len(r.exact.used) > 64 { // let go of the vectors of others
				r.exact.begin(r.exact.m.Len())
			}
			var err error
			if l, err = r.exact.likeness(m.row, kept.row); err != nil {
				return err
			}
			likeness[m.row] = l
		}
		m.How, m.Likeness = AlikeFeatures, l
		if l < f.Threshold {
			m.How = Chained
		}
	}
	return nil
}

// Neighbours yields every photo that was compared and the photos that are like it, both
// in the order of their paths, whatever the groups: what imagededup calls its
// duplicates. It returns an error where not all pairs could be kept.
func (r *Report) Neighbours() (iter.Seq2[string, []string], error) {
	if r.Lost {
		return nil, fmt.Errorf("more than %d pairs of photos are alike: too many to list each", mostPairs)
	}
	near := make([][]int32, len(r.files)) // by row
	for _, p := range r.Pairs {
		near[p.A] = append(near[p.A], p.B)
		near[p.B] = append(near[p.B], p.A)
	}
	contents := map[int][]int{} // of photos that can't be decoded
	order := make([]int, 0, len(r.Photos))
	rows := make([]int, len(r.Photos)) // of Pairs
	for row, photos := range r.files {
		for _, i := range photos {
			rows[i] = row
		}
	}
	for i, p := range r.Photos {
		if p.row < 0 {
			contents[p.content] = append(contents[p.content], i)
		}
		order = append(order, i)
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(r.Photos[i].Path, r.Photos[j].Path) })
	return func(yield func(string, []string) bool) {
		for _, i := range order {
			var others []string
			add := func(photos []int) {
				for _, j := range photos {
					if j != i {
						others = append(others, r.Photos[j].Path)
					}
				}
			}
			if r.Photos[i].row < 0 {
				if add(contents[r.Photos[i].content]); len(others) == 0 {
					continue
				}
			} else {
				add(r.files[rows[i]])
				for _, row := range near[rows[i]] {
					add(r.files[row])
				}
			}
			slices.Sort(others)
			if !yield(r.Photos[i].Path, others) {
				return
			}
		}
	}, nil
}
