package job

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apache/spark-connect-go/spark/client/channel"
	"github.com/apache/spark-connect-go/spark/sql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A Session is one of a Spark Connect server: where statements run, one after the other.
//
// The client of Apache's has neither progress nor interruption, and keeps its messages to
// itself; they are seen on their way here.
type Session struct {
	builder  *channel.BaseBuilder
	conn     *grpc.ClientConn
	session  sql.SparkSession
	server   *server      // that was started for it, or nil
	id       atomic.Value // string
	progress atomic.Pointer[func(Progress)]
}

// Progress is that of the last stage of a statement.
type Progress struct{ Done, Running, Tasks int }

// Connect opens a session: remote is sc://HOST:PORT/;token=...
func Connect(ctx context.Context, remote string) (*Session, error) {
	b, err := channel.NewBuilder(remote)
	if err != nil {
		return nil, err
	}
	c := &Session{builder: b}
	if c.session, err = sql.NewSessionBuilder().WithChannelBuilder(dialer{b, c}).Build(ctx); err != nil {
		return nil, err
	}
	// The first statement also tells the session's name. A server that has only begun to listen
	// may not answer yet.
	for try := 1; ; try++ {
		err := c.Exec(ctx, "SELECT 1", nil)
		if err == nil {
			return c, nil
		}
		if try == connectTries || ctx.Err() != nil || !strings.Contains(err.Error(), "code = Unavailable") {
			c.conn.Close()
			if text := err.Error(); strings.Contains(text, "code = Unavailable") {
				err = errors.New("no Spark Connect server answers: " + strings.Trim(text[strings.LastIndex(text, "desc = ")+len("desc = "):], `"`))
			}
			return nil, fmt.Errorf("%s: %w", remote, err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

const connectTries = 5

// A dialer makes the connection.
type dialer struct {
	*channel.BaseBuilder
	c *Session
}

func (d dialer) Build(context.Context) (*grpc.ClientConn, error) {
	const most = 128 << 20 // of a message: rows come in batches
	opts := []grpc.DialOption{
		grpc.WithAuthority(d.Host()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most)),
		grpc.WithStreamInterceptor(d.c.watch),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 5 * time.Minute, Timeout: time.Minute}),
	}
	if token := d.Token(); token == "" {
		opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))
	} else {
		opts = append(opts, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{})), grpc.WithPerRPCCredentials(bearer(token)))
	}
	var err error
	d.c.conn, err = grpc.NewClient(fmt.Sprintf("%s:%d", d.Host(), d.Port()), opts...)
	return d.c.conn, err
}

// bearer sends a token with every call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

// watch reads along.
func (c *Session) watch(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := streamer(ctx, desc, conn, method, opts...)
	return watched{s, c}, err
}

type watched struct {
	grpc.ClientStream
	c *Session
}

func (w watched) SendMsg(m any) error {
	if m, ok := m.(proto.Message); ok {
		if id := field(m.ProtoReflect(), "session_id"); id.IsValid() {
			w.c.id.Store(id.String())
		}
	}
	return w.ClientStream.SendMsg(m)
}

func (w watched) RecvMsg(m any) error {
	err := w.ClientStream.RecvMsg(m)
	tell := w.c.progress.Load()
	message, ok := m.(proto.Message)
	if err != nil || tell == nil || !ok {
		return err
	}
	if p := field(message.ProtoReflect(), "execution_progress"); p.IsValid() {
		progress := Progress{Running: int(number(p.Message(), "num_inflight_tasks"))}
		if stages := field(p.Message(), "stages"); stages.IsValid() {
			last := stages.List().Get(stages.List().Len() - 1).Message()
			progress.Done, progress.Tasks = int(number(last, "num_completed_tasks")), int(number(last, "num_tasks"))
		}
		(*tell)(progress)
	}
	return nil
}

// field returns a field that is set, or an invalid value.
func field(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
	f := m.Descriptor().Fields().ByName(name)
	if f == nil || !m.Has(f) {
		return protoreflect.Value{}
	}
	return m.Get(f)
}

func number(m protoreflect.Message, name protoreflect.Name) int64 {
	if v := field(m, name); v.IsValid() {
		return v.Int()
	}
	return 0
}

// ID is what the session is known by to others.
func (c *Session) ID() string {
	id, _ := c.id.Load().(string)
	return id
}

// Exec runs a statement, and tells of it, if progress is not nil.
func (c *Session) Exec(ctx context.Context, statement string, progress func(Progress)) error {
	if progress != nil {
		c.progress.Store(&progress)
		defer c.progress.Store(nil)
	}
	_, err := c.session.Sql(ctx, statement)
	return c.explain(ctx, statement, err)
}

// Query returns the rows of a SELECT of one string.
func (c *Session) Query(ctx context.Context, statement string) ([]string, error) {
	df, err := c.session.Sql(ctx, statement)
	if err != nil {
		return nil, c.explain(ctx, statement, err)
	}
	rows, err := df.Collect(ctx)
	if err != nil {
		return nil, c.explain(ctx, statement, err)
	}
	out := make([]string, len(rows))
	for i, row := range rows {
		text, ok := row.At(0).(string)
		if !ok {
			return nil, fmt.Errorf("an answer of type %T", row.At(0))
		}
		out[i] = text
	}
	return out, nil
}

// Describe returns the columns of a view, with Spark's names of their types.
func (c *Session) Describe(ctx context.Context, view string) ([]Column, error) {
	statement := "DESCRIBE " + view
	df, err := c.session.Sql(ctx, statement)
	if err != nil {
		return nil, c.explain(ctx, statement, err)
	}
	rows, err := df.Collect(ctx)
	if err != nil {
		return nil, c.explain(ctx, statement, err)
	}
	var all []Column
	for _, row := range rows {
		name, _ := row.At(0).(string)
		kind, _ := row.At(1).(string)
		all = append(all, Column{name, kind})
	}
	return all, nil
}

// explain makes an error readable, and ends in Spark what nobody waits for any more.
func (c *Session) explain(ctx context.Context, statement string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		again, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, err := c.Interrupt(again, c.ID())
		return errors.Join(ctx.Err(), err)
	}
	return errors.New(plainly(err.Error(), statement))
}

// plainly is what Spark says of a statement, without the words of its client, the statement
// itself, and Java's stack.
func plainly(text, statement string) string {
	text, _, _ = strings.Cut(text, "\n\nJVM stacktrace")
	text = strings.Replace(text, "failed to execute sql: "+statement+": ", "", 1)
	text = clientWords.ReplaceAllString(text, "")
	return strings.ReplaceAll(text, "execution error: ", "")
}

var clientWords = regexp.MustCompile(`failed to call ExecutePlan in session \S+: `)

// Interrupt ends everything that runs in a session of the same user, and reports whether
// anything did.
func (c *Session) Interrupt(ctx context.Context, id string) (ended bool, err error) {
	if id == "" {
		return false, nil
	}
	request, err := message("InterruptRequest")
	if err != nil {
		return false, err
	}
	response, err := message("InterruptResponse")
	if err != nil {
		return false, err
	}
	fields := request.Descriptor().Fields()
	request.Set(fields.ByName("session_id"), protoreflect.ValueOfString(id))
	user := request.Mutable(fields.ByName("user_context")).Message()
	user.Set(user.Descriptor().Fields().ByName("user_id"), protoreflect.ValueOfString(c.builder.User()))
	kind := fields.ByName("interrupt_type")
	all := kind.Enum().Values().ByName("INTERRUPT_TYPE_ALL")
	request.Set(kind, protoreflect.ValueOfEnum(all.Number()))
	err = c.conn.Invoke(ctx, "/spark.connect.SparkConnectService/Interrupt", request.Interface(), response.Interface())
	switch status.Code(err) {
	case codes.Internal, codes.NotFound, codes.InvalidArgument: // no such session: nothing runs in it
		return false, nil
	}
	return field(response, "interrupted_ids").IsValid(), err
}

// message makes one of Spark Connect's.
func message(name string) (protoreflect.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName("spark.connect." + name))
	if err != nil {
		return nil, err
	}
	return t.New(), nil
}

// Close ends the connection, and the server if it was started for it.
func (c *Session) Close() error {
	err := c.conn.Close()
	if c.server != nil {
		c.server.stop()
	}
	return err
}
