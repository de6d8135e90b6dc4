// Package ratelog keeps the log short where others decide how often something is logged: clients that are refused, connections that come to nothing. Mirrors the Java class RateLogger.
package ratelog

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// perSecond is how many lines of a kind a second has: as many as the members of an ensemble that fail in the same moment need.
const perSecond = 5

// Logger writes a few lines of each kind in a second. The first one after some were left out says how many. It may be used by any number of goroutines.
type Logger struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	kinds map[string]*lines
}

// lines are those of a kind since a time.
type lines struct {
	since         time.Time
	written, left int
}

// New returns a Logger that writes to log.
func New(log *slog.Logger) *Logger {
	return &Logger{log: log, now: time.Now, kinds: map[string]*lines{}}
}

// Warn writes a warning. Its kind is the message, which is one of a few: what others choose belongs into the attributes, args, as those of slog.
func (l *Logger) Warn(msg string, args ...any) { l.Log(slog.LevelWarn, msg, msg, args...) }

// Info is Warn of what is in order.
func (l *Logger) Info(msg string, args ...any) { l.Log(slog.LevelInfo, msg, msg, args...) }

// Error is Warn of what an operator has to mend.
func (l *Logger) Error(msg string, args ...any) { l.Log(slog.LevelError, msg, msg, args...) }

// Log writes a message that does not tell its kind. Each kind is remembered for ever.
func (l *Logger) Log(level slog.Level, kind, msg string, args ...any) {
	left, ok := l.due(kind)
	if !ok {
		return
	}
	if left > 0 {
		args = append(slices.Clip(args), "left out", left)
	}
	l.log.Log(context.Background(), level, msg, args...)
}

// Skip counts a line of a kind that the caller does not write.
func (l *Logger) Skip(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(kind).left++
}

// of is what is known of a kind.
func (l *Logger) of(kind string) *lines {
	k := l.kinds[kind]
	if k == nil {
		k = &lines{}
		l.kinds[kind] = k
	}
	return k
}

// due reports whether it is time for a line of a kind, and how many were left out since the last one that said so.
func (l *Logger) due(kind string) (left int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.of(kind)
	if now := l.now(); now.Sub(k.since) >= time.Second {
		left = k.left
		*k = lines{since: now}
	}
	if k.written == perSecond {
		k.left++
		return 0, false
	}
	k.written++
	return left, true
}
