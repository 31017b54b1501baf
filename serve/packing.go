package serve

import (
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"

	"connectrpc.com/connect"
)

// grpcPackings are how messages over gRPC may be packed: what gRPC's clients have. An
// answer is packed as its request was.
func (s *Server) grpcPackings() []connect.HandlerOption {
	unpacked := func(encoding string) func() connect.Decompressor {
		return func() connect.Decompressor { return &unpacker{encoding: encoding, limit: s.o.MaxBody} }
	}
	return []connect.HandlerOption{
		connect.WithCompression("gzip", unpacked("gzip"), func() connect.Compressor {
			z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
			return z
		}),
		connect.WithCompression("deflate", unpacked("deflate"), func() connect.Compressor {
			z, _ := zlib.NewWriterLevel(io.Discard, zlib.BestSpeed)
			return z
		}),
	}
}

// An unpacker unpacks a message, and fails at the limit: connect would unpack what is
// left of a bomb to say how large it is.
type unpacker struct {
	encoding    string
	limit, left int64
	r           io.Reader
}

func (u *unpacker) Reset(r io.Reader) (err error) {
	u.left = u.limit
	u.r, err = unpack(r, u.encoding)
	return err
}

func (u *unpacker) Read(p []byte) (int, error) {
	if u.left < 0 {
		return 0, connect.NewError(connect.CodeResourceExhausted, &http.MaxBytesError{Limit: u.limit})
	}
	n, err := u.r.Read(p[:min(int64(len(p)), u.left+1)])
	u.left -= int64(n)
	return n, err
}

func (u *unpacker) Close() error { return nil }
