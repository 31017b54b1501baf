package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"

	"github.com/mobilenet-go/mobilenet/fault"
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
		return listFolder(at.key, yield)
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

// listFolder yields the files below a folder, and those that links in it lead to. Folders that
// can't be read, or that links lead to, are errors at the end: such a link may lead to where
// it is. The folder itself may be a link.
func listFolder(root string, yield func(name string) error) error {
	root, err := filepath.Abs(root) // other machines read the list in other folders
	if err != nil {
		return err
	}
	begin := root
	if info, err := os.Stat(root); err == nil && info.IsDir() {
		begin += string(filepath.Separator) // so that it isn't taken for a link
	}
	var missed []error
	err = filepath.WalkDir(begin, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			missed = append(missed, err)
			return nil
		}
		mode := d.Type()
		if mode&fs.ModeSymlink != 0 {
			if info, err := os.Stat(path); err != nil {
				mode = 0 // it leads nowhere, which its row says
			} else if mode = info.Mode(); mode.IsDir() {
				missed = append(missed, fmt.Errorf("%s is a link to a folder, which is not followed", fault.Shown(path)))
			}
		}
		if !mode.IsRegular() {
			return nil
		}
		return yield(path)
	})
	return errors.Join(append([]error{err}, missed...)...)
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
