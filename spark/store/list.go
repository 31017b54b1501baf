package store

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"gocloud.dev/blob"
)

// List calls yield with the name of every object below a folder or a prefix of keys, in
// their order, and holds no more of them than a page.
func (s *Store) List(ctx context.Context, name string, yield func(name string) error) error {
	at, err := locate(name)
	if err != nil {
		return err
	}
	switch at.scheme {
	case "http", "https":
		return fmt.Errorf("%s: web servers don't list their files", name)
	case "file":
		root, err := filepath.Abs(at.key) // other machines read the list in other folders
		if err != nil {
			return err
		}
		return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			return yield(path)
		})
	}
	bucket, err := s.bucketOf(ctx, at)
	if err != nil {
		return err
	}
	objects := bucket.List(&blob.ListOptions{Prefix: at.key})
	for {
		o, err := objects.Next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", at.place, err)
		}
		if err := yield(at.place + "/" + o.Key); err != nil {
			return err
		}
	}
}
