package admin

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"quoll/metrics"
	"quoll/server"
)

const (
	maxStreams = 4         // snapshots on their way to clients
	chunk      = 256 << 10 // bytes of one that have answerTime to be sent
)

// limiter lets something happen once in an interval (RateLimiter).
type limiter struct {
	sync.Mutex
	interval time.Duration
	last     time.Time
}

func (l *limiter) allow() bool {
	l.Lock()
	defer l.Unlock()
	now := time.Now()
	if !l.last.IsZero() && now.Sub(l.last) < l.interval {
		return false
	}
	l.last = now
	return true
}

// admit answers who may not use a guarded command.
func (a *Server) admit(w http.ResponseWriter, r *http.Request, name string) bool {
	return a.identify(w, r, name, func(credentials string) error { return a.Server.AdmitAdmin(credentials, r.RemoteAddr, r.TLS) })
}

// identify answers who has no Authorization header, or one with which check finds something wrong.
func (a *Server) identify(w http.ResponseWriter, r *http.Request, name string, check func(credentials string) error) bool {
	header, given := r.Header["Authorization"]
	if !given {
		a.fail(w, http.StatusUnauthorized, name, "Auth info is missing for the command")
		return false
	}
	switch err := check(header[0]); {
	case errors.Is(err, server.ErrNotAuthenticated):
		a.fail(w, http.StatusUnauthorized, name, "Not authenticated")
	case err != nil:
		a.fail(w, http.StatusForbidden, name, "Not authorized")
	default:
		return true
	}
	a.rated.Warn("AdminServer: who has asked for a command may not use it", "command", name, "client", r.RemoteAddr)
	return false
}

// may answers a guarded command that the configuration does not have, or that comes too soon.
func (a *Server) may(w http.ResponseWriter, name string, enabled bool, rate *limiter, limited *metrics.Counter) bool {
	switch {
	case !enabled:
		a.fail(w, http.StatusServiceUnavailable, name, "")
	case !a.Config.SerializeLastProcessedZxid:
		a.fail(w, http.StatusInternalServerError, name, "")
	case !rate.allow():
		limited.Inc()
		a.fail(w, http.StatusTooManyRequests, name, "")
	default:
		return true
	}
	return false
}

// snapshot writes a snapshot, and sends it if it is asked to.
func (a *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	const name = "snapshot"
	m := a.Server.Metrics()
	if !a.may(w, name, a.Config.AdminSnapshotEnabled, &a.snapshots, &m.SnapshotRateLimited) {
		return
	}
	streaming := true
	if args := r.URL.Query(); args.Has("streaming") {
		streaming = strings.EqualFold(args.Get("streaming"), "true")
	}
	if streaming {
		if !a.streams.Enter(r.Context().Done()) {
			a.fail(w, http.StatusServiceUnavailable, name, "other snapshots are being sent")
			return
		}
		defer a.streams.Leave()
	}
	broken := func(err error) {
		m.SnapshotErrors.Inc()
		a.Logger.Error("AdminServer: the snapshot was not taken", "error", err)
		a.fail(w, http.StatusInternalServerError, name, "")
	}
	deadline := http.NewResponseController(w)
	_ = deadline.SetWriteDeadline(time.Time{}) // a large one takes its time, and nobody is waited for meanwhile
	taken, err := a.Server.Snapshot()
	_ = deadline.SetWriteDeadline(time.Now().Add(answerTime))
	if err != nil {
		broken(err)
		return
	}
	var file *os.File
	if streaming {
		if file, err = os.Open(taken.File); err != nil {
			broken(err)
			return
		}
		defer file.Close()
	}
	// In the case that ZooKeeper has them.
	w.Header()["last_zxid"] = []string{"0x" + strconv.FormatUint(uint64(taken.Zxid), 16)}
	w.Header()["snapshot_size"] = []string{strconv.FormatInt(taken.Size, 10)}
	if !streaming {
		answer(w, http.StatusOK, name, nil)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(taken.Size, 10))
	for left := taken.Size; left > 0; {
		_ = deadline.SetWriteDeadline(time.Now().Add(answerTime))
		n, err := io.CopyN(w, file, min(left, chunk))
		if left -= n; err != nil {
			a.rated.Warn("AdminServer: a snapshot was not sent to its end", "client", r.RemoteAddr, "file", taken.File, "error", err)
			return
		}
	}
}

// restore replaces the state of the server by that of the snapshot in the body.
func (a *Server) restore(w http.ResponseWriter, r *http.Request) {
	const name = "restore"
	m := a.Server.Metrics()
	if !a.may(w, name, a.Config.AdminRestoreEnabled, &a.restores, &m.RestoreRateLimited) {
		return
	}
	deadline := http.NewResponseController(w)
	_ = deadline.SetWriteDeadline(time.Time{})
	zxid, err := a.Server.Restore(&patientReader{body: r.Body, deadline: deadline})
	_ = deadline.SetWriteDeadline(time.Now().Add(answerTime))
	switch {
	case errors.Is(err, server.ErrCannotRestore):
		m.RestoreErrors.Inc()
		a.fail(w, http.StatusServiceUnavailable, name, err.Error())
	case err != nil:
		m.RestoreErrors.Inc()
		a.Logger.Error("AdminServer: the state was not restored, and is as before", "client", r.RemoteAddr, "error", err)
		a.fail(w, http.StatusInternalServerError, name, "")
	default:
		answer(w, http.StatusOK, name, server.Facts{{Key: "last_zxid", Value: zxid}})
	}
}

// patientReader gives a client answerTime for each chunk of what it sends.
type patientReader struct {
	body     io.Reader
	deadline *http.ResponseController
	left     int // of the chunk
}

// Read is that of an io.Reader.
func (p *patientReader) Read(b []byte) (int, error) {
	if p.left <= 0 {
		p.left = chunk
		_ = p.deadline.SetReadDeadline(time.Now().Add(answerTime))
	}
	n, err := p.body.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}
