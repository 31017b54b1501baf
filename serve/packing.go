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
		return func() connect.Decompressor { return &unpacker{encoding: encoding, limit: s.o.MaxBody, gate: &s.bodies} }
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
// left of a bomb to say how large it is. What it unpacks is counted until the message
// is whole; request.came counts it then.
type unpacker struct {
	encoding    string
	limit, left int64
	gate        *gate
	share       share
	r           io.Reader
}

func (u *unpacker) Reset(r io.Reader) (err error) {
	u.left = u.limit
	u.share = share{gate: u.gate}
	u.r, err = unpack(r, u.encoding)
	return err
}

func (u *unpacker) Read(p []byte) (int, error) {
	if u.left < 0 {
		return 0, grpcError(&http.MaxBytesError{Limit: u.limit})
	}
	n, err := u.r.Read(p[:min(int64(len(p)), u.left+1)])
	u.left -= int64(n)
	if full := u.share.take(int64(n)); full != nil {
		return 0, grpcError(full)
	}
	return n, err
}

func (u *unpacker) Close() error {
	u.share.release()
	return nil
}
