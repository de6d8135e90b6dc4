package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	headerLimit = 16 << 10 // bytes of a request's first line and headers
	headerTime  = 10 * time.Second
	answerTime  = 30 * time.Second // that an answer may take to be written, and one to be asked for
)

// ErrPort is the error of a port that cannot be opened, which is no reason not to serve ZooKeeper's clients.
var ErrPort = errors.New("the port cannot be opened")

// endpoint serves HTTP with bounds on what a client can take.
type endpoint struct {
	port *port
	http *http.Server
	done chan struct{}
}

// settings say how an endpoint serves. What tls, unified and insecure mean is said at port.
type settings struct {
	keys     string // of the configuration, which name the port
	host     string
	number   int
	idle     time.Duration // after which a connection without a request is closed; 0 or less is the default
	tls      func() *tls.Config
	unified  bool
	insecure func()
	handler  http.HandlerFunc
	log      *slog.Logger
}

func serve(s settings) (*endpoint, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(s.host, strconv.Itoa(s.number)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", s.keys, ErrPort, err)
	}
	if s.idle <= 0 {
		s.idle = answerTime
	}
	e := &endpoint{port: newPort(l, s.tls, s.unified, s.insecure), done: make(chan struct{})}
	e.http = &http.Server{
		ReadHeaderTimeout: min(s.idle, headerTime), ReadTimeout: answerTime, IdleTimeout: s.idle, MaxHeaderBytes: headerLimit,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, memberKey{}, memberOf(conn))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m := r.Context().Value(memberKey{}).(*member)
			m.busy.Store(true)
			defer m.busy.Store(false)
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
			if r.Method == http.MethodTrace {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			s.handler(w, r)
		}),
	}
	go func() {
		defer close(e.done)
		_ = e.http.Serve(e.port)
	}()
	return e, nil
}

type memberKey struct{}

// Addr is where it listens, host:port.
func (e *endpoint) Addr() string { return e.port.Addr().String() }

// Close ends it; what is being answered is cut off.
func (e *endpoint) Close() error {
	err := errors.Join(e.port.Close(), e.http.Close())
	<-e.done
	return err
}
