package store

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
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
	token := blob.FirstPageToken
	for len(token) > 0 {
		var page []*blob.ListObject
		var next []byte
		err := s.attempt(ctx, location{scheme: at.scheme, place: at.place}, func(ctx context.Context, _ *watch) (err error) {
			page, next, err = bucket.ListPage(onceOnly(ctx), token, pageSize, &blob.ListOptions{Prefix: at.key, BeforeList: literal(bucket, at)})
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", at.place, err)
		}
		token = next
		for _, o := range page {
			if err := yield(at.place + "/" + keyOf(o)); err != nil {
				return err
			}
		}
	}
	return nil
}

// pageSize is the most that S3 and Google give at a time.
const pageSize = 1000

// keyOf is an object's key as it is, and not as gocloud.dev would have written it.
func keyOf(o *blob.ListObject) string {
	var s3 types.Object
	var google storage.ObjectAttrs
	switch {
	case o.As(&s3):
		return *s3.Key
	case o.As(&google):
		return google.Name
	}
	return o.Key
}
