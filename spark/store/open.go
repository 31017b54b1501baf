package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob:
	_ "gocloud.dev/blob/gcsblob"   // gs:
	_ "gocloud.dev/blob/s3blob"    // s3:
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"

	"github.com/mobilenet-go/mobilenet/fault"
)

// openFile opens part of a file. A folder or a device is not a photo, and a pipe may
// never open.
func openFile(path string, offset, length int64) (io.ReadCloser, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, bare(err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errNotFile
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, bare(err)
	}
	rest := max(0, info.Size()-offset)
	if length >= 0 {
		rest = min(rest, length)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, offset, rest), f}, rest, nil
}

var errNotFile = errors.New("not a file")

// bare leaves out the path, which a row has in a column of its own.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// A statusError is an answer of a web server that is no photo.
type statusError int

func (e statusError) Error() string {
	return fmt.Sprintf("%d %s", int(e), http.StatusText(int(e)))
}

func (s *Store) openURL(ctx context.Context, name string, offset, length int64) (io.ReadCloser, int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, 0, err
	}
	part := offset > 0 || length >= 0
	switch {
	case part && length >= 0:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+max(length, 1)-1))
	case part:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := s.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, 0, err
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && part:
		return resp.Body, resp.ContentLength, nil
	case resp.StatusCode == http.StatusOK && offset == 0:
		return resp.Body, resp.ContentLength, nil // more than was asked for is not read
	case resp.StatusCode == http.StatusOK:
		resp.Body.Close()
		return nil, 0, errNoRanges
	}
	resp.Body.Close()
	return nil, 0, statusError(resp.StatusCode)
}

var errNoRanges = fmt.Errorf("the server doesn't serve parts of a file: %w", errors.ErrUnsupported)

// bucketOf opens a bucket, once. It outlives the call that opened it.
func (s *Store) bucketOf(ctx context.Context, at location) (*blob.Bucket, error) {
	s.mu.Lock()
	b := s.buckets[at.place]
	if b == nil {
		b = &opened{}
		s.buckets[at.place] = b
	}
	s.mu.Unlock()
	b.once.Do(func() {
		query := map[string]string{"s3": s.o.S3, "gs": s.o.GS, "azblob": s.o.Azure}[at.scheme]
		if b.bucket, b.err = blob.OpenBucket(context.WithoutCancel(ctx), at.place+"?"+query); b.err != nil {
			b.err = &Unreachable{Place: at.place, Err: b.err} // no credentials, a query that says nothing
		}
	})
	return b.bucket, b.err
}

func (s *Store) openObject(ctx context.Context, at location, offset, length int64) (io.ReadCloser, int64, error) {
	if at.key == "" {
		return nil, 0, errNotFile
	}
	bucket, err := s.bucketOf(ctx, at)
	if err != nil {
		return nil, 0, err
	}
	r, err := bucket.NewRangeReader(onceOnly(ctx), at.key, offset, length, &blob.ReaderOptions{BeforeRead: literal(bucket, at)})
	if err != nil {
		return nil, 0, err
	}
	// Size is the object's, or the part's, as the driver has it.
	size := r.Size()
	if length >= 0 {
		size = min(size, length)
	}
	return r, size, nil
}

// literal asks for the key as it is, and once. gocloud.dev writes some characters in
// another way, such as a newline as __0xa__, which only what it wrote itself is called.
// Azure's blobs can't be asked for otherwise.
func literal(b *blob.Bucket, at location) func(as func(any) bool) error {
	return func(as func(any) bool) error {
		var in *s3.GetObjectInput
		if as(&in) {
			in.Key = &at.key
		}
		var list *s3.ListObjectsV2Input
		if as(&list) {
			list.Prefix = &at.key
			list.EncodingType = types.EncodingTypeUrl // XML has no control characters
		}
		var options *[]func(*s3.Options)
		if as(&options) {
			*options = append(*options, func(o *s3.Options) {
				o.Retryer = aws.NopRetryer{}
				o.DisableLogOutputChecksumValidationSkipped = true // not a line in the log for every object without a checksum
				o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
					return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("mobilenet:decodeKeys", decodeKeys), middleware.After)
				})
			})
		}
		var object **storage.ObjectHandle
		var client *storage.Client
		if as(&object) && b.As(&client) {
			*object = client.Bucket(at.bucket).Object(at.key).Retryer(storage.WithPolicy(storage.RetryNever))
		}
		var query *storage.Query
		if as(&query) {
			query.Prefix = at.key
		}
		return nil
	}
}

// decodeKeys decodes the keys of a list that a server encoded as it was asked to. Not all
// servers do.
func decodeKeys(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, meta middleware.Metadata, err error) {
	if out, meta, err = next.HandleInitialize(ctx, in); err != nil {
		return out, meta, err
	}
	list, ok := out.Result.(*s3.ListObjectsV2Output)
	if !ok || list.EncodingType != types.EncodingTypeUrl {
		return out, meta, nil
	}
	for i := range list.Contents {
		key, err := url.QueryUnescape(aws.ToString(list.Contents[i].Key))
		if err != nil {
			return out, meta, err
		}
		list.Contents[i].Key = &key
	}
	return out, meta, nil
}

// onceOnly keeps Azure's client from trying again, as literal does the others: attempt
// does, and knows how often.
func onceOnly(ctx context.Context) context.Context {
	return policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
}

// status is the HTTP status that an error stands for, 0 for none.
func status(err error) int {
	var web statusError
	var aws *smithyhttp.ResponseError
	var google *googleapi.Error
	var azure *azcore.ResponseError
	switch {
	case errors.As(err, &web):
		return int(web)
	case errors.As(err, &aws):
		return aws.HTTPStatusCode()
	case errors.As(err, &google):
		return google.Code
	case errors.As(err, &azure):
		return azure.StatusCode
	}
	return 0
}

// notThere reports whether a store has no such object, or no such bucket. gocloud.dev counts
// what Google forbids as that.
func notThere(err error) bool {
	return gcerrors.Code(err) == gcerrors.NotFound && status(err) != http.StatusForbidden
}

// lasting reports whether an error stays however often it is tried: it is the object's, or
// its host's.
func lasting(err error) bool {
	switch status(err) {
	case http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable:
		return true
	}
	// A web server is asked without credentials: what it refuses it refuses to everybody.
	if web, ok := errors.AsType[statusError](err); ok && denied(web) || notThere(err) || isStrange(err) {
		return true
	}
	for _, e := range []error{
		fs.ErrNotExist, fs.ErrPermission, errors.ErrUnsupported, errNotFile,
		syscall.EINVAL, syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.ELOOP,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	_, broken := errors.AsType[*fault.Error](err)
	return broken
}

// isStrange reports whether a host has no address, or is not who it should be. A name server
// that doesn't answer is another matter.
func isStrange(err error) bool {
	name, unknown := errors.AsType[*net.DNSError](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	return unknown && name.IsNotFound || certificate || errors.Is(err, errRedirects)
}

// errRedirects is about an address that leads to others without an end.
var errRedirects = errors.New("more than 10 redirects")

// denied reports whether a server refuses to answer. Asking again doesn't help, but it may
// be about all objects, and then about who asks.
func denied(err error) bool {
	code := status(err)
	return code >= 400 && code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests
}
