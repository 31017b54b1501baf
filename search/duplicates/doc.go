// Package duplicates finds photos that are there more than once: files of equal bytes,
// photos of equal pixels, and photos that are alike, as what is left of one that was
// resized, compressed or written on.
//
//	f := duplicates.Finder{Settings: ..., Keep: duplicates.Largest, Features: ...}
//	report, err := f.Find(ctx, paths)
//
// By file:
//
//	find.go    from paths to a report: what is equal, what is alike, groups
//	photo.go   files: their names, bytes, pixels
//	alike.go   which rows of features are alike: [Compare]
//	spool.go   rows in a temporary file
//	bytes.go   rows as bytes, and how wrong these may be
//	scan.go    all rows against all
//	group.go   groups of rows that are alike
//	recheck.go what is alike, once more from the files as they are
//	keep.go    which photo to keep, and why
//	change.go  moving and linking, and taking it back: log.go
//	page.go    the report as a page
package duplicates
