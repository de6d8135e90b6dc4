package ratelog

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestLogger has two kinds of lines come faster than they are written: neither takes the room of the other.
func TestLogger(t *testing.T) {
	var b bytes.Buffer
	l := New(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	now := time.Unix(1, 0)
	l.now = func() time.Time { return now }
	said := func(want ...string) {
		t.Helper()
		if got := strings.TrimSuffix(b.String(), "\n"); got != strings.Join(want, "\n") {
			t.Errorf("it says\n%s\nand not\n%s", got, strings.Join(want, "\n"))
		}
		b.Reset()
	}
	for i := range perSecond + 3 {
		l.Warn("refused", "client", i)
		now = now.Add(time.Millisecond)
	}
	said("level=WARN msg=refused client=0", "level=WARN msg=refused client=1", "level=WARN msg=refused client=2", "level=WARN msg=refused client=3", "level=WARN msg=refused client=4")
	for i := range perSecond + 1 {
		l.Log(slog.LevelInfo, "too many", fmt.Sprintf("too many from %d", i))
	}
	said(`level=INFO msg="too many from 0"`, `level=INFO msg="too many from 1"`, `level=INFO msg="too many from 2"`, `level=INFO msg="too many from 3"`, `level=INFO msg="too many from 4"`)
	now = now.Add(time.Second)
	l.Skip("too many")
	l.Warn("refused", "client", 9)
	l.Warn("refused", "client", 10)
	l.Info("welcome")
	said(`level=WARN msg=refused client=9 "left out"=3`, "level=WARN msg=refused client=10", "level=INFO msg=welcome")
	l.Log(slog.LevelInfo, "too many", "too many again")
	said(`level=INFO msg="too many again" "left out"=2`)
}
