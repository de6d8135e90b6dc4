// Package audit writes the audit log: one line for each change that a client asks for, for each ephemeral znode that goes with its session, and for the start and
// the stop of the server, in the format of ZooKeeper's own (docs/spec/operations.md, section 9).
//
//	log, err := audit.Open("/var/log/quoll/audit.log", logger)
//
//	err = log.Close()
//
// A line is the time, the level and the fields, separated by tabs, without those that are empty:
//
//	2026-11-28 13:30:00,042 INFO o.a.z.a.Slf4jAuditLogger: session=0x1000	user=127.0.0.1	ip=127.0.0.1	operation=create	znode=/a	znode_type=persistent	result=success
//
// Whoever adds an event never waits: the line goes to a buffer of limited size that a goroutine writes out. While the file takes nothing and the buffer is full, lines are lost; how many
// is said in the audit log itself, where they would be, and in the server's log.
//
// What clients choose cannot make up a line or a field: whatever is not printable is escaped, and a backslash is doubled, so that it can be told what was there. ZooKeeper writes
// such bytes as they are.
//
// Mirrors the Java classes AuditEvent, ZKAuditProvider and Slf4jAuditLogger, with the pattern that ZooKeeper's logback.xml has for them.
package audit

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// The operations.
const (
	ServerStart    = "serverStart"
	ServerStop     = "serverStop"
	Create         = "create"
	Delete         = "delete"
	SetData        = "setData"
	SetACL         = "setAcl"
	Multi          = "multiOperation"
	Reconfig       = "reconfig"
	DeleteOfClosed = "ephemeralZNodeDeletionOnSessionCloseOrExpire"

	linesLost = "auditLinesLost" // quoll's own
)

// The results.
const (
	Success = "success"
	Failure = "failure"
	Invoked = "invoked"
)

const (
	bufferLimit = 8 << 20     // bytes of lines that wait to be written
	valueLimit  = 8 << 10     // bytes of one value; what is longer ends in dots
	nameLimit   = 256         // bytes of a name that its owner has chosen; the same
	retryAfter  = time.Second // a file that took no write

	closePatience = 5 * time.Second
)

// Field is one field of a line. Its value may be empty.
type Field struct {
	Name, Value string
	// Chosen are more values, behind commas: names that their owners have chosen. None can pass for two, or hide what stands before it.
	Chosen []string
}

// appendLine appends a line. Failures have another level, as in ZooKeeper.
func appendLine(b []byte, now time.Time, result string, fields []Field) []byte {
	level := " INFO"
	if result == Failure {
		level = " ERROR"
	}
	b = now.AppendFormat(b, "2006-01-02 15:04:05,000")
	b = append(append(b, level...), " o.a.z.a.Slf4jAuditLogger: "...)
	for _, f := range fields {
		b = append(append(b, f.Name...), '=')
		at := len(b)
		b = appendEscaped(b, f.Value, valueLimit, "")
		for _, name := range f.Chosen {
			if len(b) > at {
				b = append(b, ',')
			}
			if len(b) >= at+valueLimit {
				b = append(b, "..."...)
				break
			}
			b = appendEscaped(b, name, nameLimit, ",")
		}
		b = append(b, '\t')
	}
	b = append(append(b, "result="...), result...)
	return append(b, '\n')
}

// appendEscaped appends text of at most so many bytes so that it stays what it is, one value in one line; of special characters it has none.
func appendEscaped(b []byte, text string, most int, special string) []byte {
	limit := len(b) + most
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case len(b) >= limit:
			return append(b, "..."...)
		case r == '\\':
			b = append(b, `\\`...)
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, text[0])
		case unicode.IsPrint(r) && !strings.ContainsRune(special, r):
			b = append(b, text[:n]...)
		case r > 0xffff:
			b = fmt.Appendf(b, `\U%08x`, r)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b
}

// Log is an open audit log. Its methods may be called from several goroutines.
type Log struct {
	path string // empty for what was there already
	out  io.Writer
	log  *slog.Logger

	mu      sync.Mutex
	news    *sync.Cond // there are lines to write, or closed was set
	waiting []byte
	lost    int // lines since the last one that was taken
	closed  bool
	stop    chan struct{}
	done    chan struct{}
}

// Open opens a file to append to, made if it is missing, readable for its owner and group; an empty path is the standard output. A file that is renamed or removed while it is open,
// as programs that rotate logs do, is made anew. What goes wrong later is told to logger.
func Open(path string, logger *slog.Logger) (*Log, error) {
	if path == "" {
		return start("", os.Stdout, logger), nil
	}
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	return start(path, f, logger), nil
}

func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
}

func start(path string, out io.Writer, logger *slog.Logger) *Log {
	l := &Log{path: path, out: out, log: logger, stop: make(chan struct{}), done: make(chan struct{})}
	l.news = sync.NewCond(&l.mu)
	go l.run()
	return l
}

// Add adds a line. It never waits for a file.
func (l *Log) Add(result string, fields ...Field) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.waiting) > bufferLimit {
		l.lost++
		return
	}
	now := time.Now()
	if l.lost > 0 {
		l.confess(now)
	}
	l.waiting = appendLine(l.waiting, now, result, fields)
	l.news.Signal()
}

// confess puts in place of the lines that were lost how many they are. The log is locked.
func (l *Log) confess(now time.Time) {
	l.waiting = appendLine(l.waiting, now, Failure, []Field{{Name: "operation", Value: linesLost}, {Name: "count", Value: strconv.Itoa(l.lost)}})
	l.log.Error("lines of the audit log are lost: it could not be written as fast as they came", "lines", l.lost)
	l.lost = 0
}

// Close writes what waits, as far as the file takes it, and closes the file. What is added later is lost.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		if l.lost > 0 {
			l.confess(time.Now())
		}
		close(l.stop)
		l.news.Signal()
	}
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(closePatience): // a pipe that nobody reads, most likely
		return fmt.Errorf("audit: the end of the audit log is lost: nothing was written for %v", closePatience)
	}
	if f, ok := l.out.(io.Closer); ok && l.path != "" {
		return f.Close()
	}
	return nil
}

// run writes lines until the log is closed.
func (l *Log) run() {
	defer close(l.done)
	var lines []byte
	for {
		l.mu.Lock()
		for len(l.waiting) == 0 && !l.closed {
			l.news.Wait()
		}
		lines, l.waiting = l.waiting, lines[:0]
		l.mu.Unlock()
		if len(lines) == 0 || !l.writeAll(lines) {
			return
		}
		if cap(lines) > bufferLimit/8 {
			lines = nil
		}
	}
}

// writeAll writes lines, as often as it takes. It reports whether there is a reason to go on: not if the log is closed and the file takes nothing.
func (l *Log) writeAll(lines []byte) bool {
	for {
		n, err := l.write(lines)
		if lines = lines[n:]; len(lines) == 0 {
			return true
		}
		if err == nil {
			continue
		}
		l.log.Error("the audit log cannot be written", "file", l.path, "error", err)
		select {
		case <-time.After(retryAfter):
		case <-l.stop:
			_, err := l.write(lines)
			return err == nil
		}
	}
}

// write writes to the file that has the path now.
func (l *Log) write(lines []byte) (int, error) {
	if f, ok := l.out.(*os.File); ok && l.path != "" {
		open, err := f.Stat()
		there, missing := os.Stat(l.path)
		if err != nil || missing != nil || !os.SameFile(open, there) {
			fresh, err := openFile(l.path)
			if err != nil {
				return 0, err
			}
			_ = f.Close()
			l.out = fresh
		}
	}
	return l.out.Write(lines)
}
