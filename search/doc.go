// Package search keeps the features of photos in a file, an index, and finds the rows
// most like a query: exactly, in a scan of all of them.
//
//	x, err := search.Open("photos.mnidx")
//	...
//	hits, err := x.Search(ctx, [][]float32{features}, search.Options{Top: 10})
//
// # How it finds them
//
// The likeness of two rows is the cosine of the angle between them. An index has every
// row twice: as it was given, in float32, and as bytes, a quarter of the size. Which
// processor it is, the memory is what a scan waits for; so the scan reads the bytes.
//
// A row x becomes bytes u with two numbers of its own, x = scale*u + offset + e, and
// the length of e is kept. A query becomes integers of 15 bits, with an error that is
// known too. The product of the integers is exact, so that the true cosine is within
// known bounds of what it says: |<q,e>| <= |q| |e|. Rows whose upper bound is below the
// lower bounds of Top others can't be among the best. What is left, hundreds out of a
// million, is computed again in float64 from the float32 rows, best bound first, until
// no bound reaches the worst of the best. The result is that of a scan in float64.
//
// # The file
//
// All numbers are little-endian.
//
//	0      head: "mnidx\r\n\x1a", version, lengths, checksum
//	512    a commit: generation, rows, segments, end; checksum
//	1024   another commit
//	4096   description (JSON: [Meta]), then the projection, if there is one
//	...    segments, each: head with checksums, codes, paths, bytes, float32 rows
//
// A segment is appended and synced before the older one of the two commits is
// overwritten with one that includes it, which is synced too. The newer commit that is
// whole counts. So a process that is killed at any moment leaves the index as it was
// or longer; what lies behind the end of the commit is overwritten by the next.
package search
