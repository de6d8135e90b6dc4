package audit

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// journal is a file that takes nothing while it is stuck, and fails while it is broken.
type journal struct {
	mu     sync.Mutex
	ready  *sync.Cond
	stuck  bool
	broken bool
	text   strings.Builder
}

func newJournal() *journal {
	j := &journal{}
	j.ready = sync.NewCond(&j.mu)
	return j
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.stuck {
		j.ready.Wait()
	}
	if j.broken {
		n := len(p) / 2
		j.text.Write(p[:n])
		return n, errors.New("no space left on device")
	}
	return j.text.Write(p)
}

func (j *journal) set(stuck, broken bool) {
	j.mu.Lock()
	j.stuck, j.broken = stuck, broken
	j.ready.Broadcast()
	j.mu.Unlock()
}

func TestLine(t *testing.T) {
	at := time.Date(2026, 11, 28, 13, 30, 0, 42e6, time.Local)
	for _, c := range []struct {
		result string
		fields []Field
		want   string
	}{
		{Invoked, []Field{{Name: "user", Value: "root"}, {Name: "operation", Value: ServerStop}}, "2026-11-28 13:30:00,042 INFO o.a.z.a.Slf4jAuditLogger: user=root\toperation=serverStop\tresult=invoked\n"},
		{Failure, []Field{{Name: "session", Value: "0x1"}, {Name: "znode", Value: ""}}, "2026-11-28 13:30:00,042 ERROR o.a.z.a.Slf4jAuditLogger: session=0x1\tznode=\tresult=failure\n"},
	} {
		if got := string(appendLine(nil, at, c.result, c.fields)); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

// TestChosen has names of a client that would pass for others, or be so long that nobody sees who it is.
func TestChosen(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	many := make([]string, 1000)
	for i := range many {
		many[i] = long
	}
	of := func(value string, chosen ...string) string {
		line := string(appendLine(nil, time.Now(), Success, []Field{{Name: "user", Value: value, Chosen: chosen}}))
		_, line, _ = strings.Cut(line, "user=")
		line, _, _ = strings.Cut(line, "\t")
		return line
	}
	for _, c := range []struct{ got, want string }{
		{of("127.0.0.1", "maria"), "127.0.0.1,maria"},
		{of("", "maria", "bob"), "maria,bob"},
		{of("CN=a,O=b", "x,CN=admin", `\u002c`), `CN=a,O=b,x\u002cCN=admin,\\u002c`},
		{of("bob", long, "maria"), "bob," + long[:nameLimit] + "...,maria"},
	} {
		if c.got != c.want {
			t.Errorf("got  %.300q\nwant %.300q", c.got, c.want)
		}
	}
	if got := of("bob", many...); !strings.HasPrefix(got, "bob,xxx") || !strings.HasSuffix(got, ",...") || len(got) > valueLimit+nameLimit+10 {
		t.Errorf("%d bytes: %.100q", len(got), got)
	}
}

// TestEscapes makes values of everything that could end a field, a line, or what a terminal shows.
func TestEscapes(t *testing.T) {
	for value, want := range map[string]string{
		"/a b/ü/世":                   "/a b/ü/世",
		"/a\nresult=success":         `/a\u000aresult=success`,
		"\r\t\x00\x1b[31m\x7f\u0085": `\u000d\u0009\u0000\u001b[31m\u007f\u0085`,
		"\u2028\u202e\ufeff":         `\u2028\u202e\ufeff`,
		`\u000a`:                     `\\u000a`,
		"\xff":                       `\xff`,
		"\U000e0001":                 `\U000e0001`,
		strings.Repeat("x", 1<<20):   strings.Repeat("x", valueLimit) + "...",
	} {
		if got := string(appendEscaped(nil, value, valueLimit, "")); got != want {
			t.Errorf("%.40q: got %.40q, want %.40q", value, got, want)
		}
	}
}

func FuzzEscapes(f *testing.F) {
	f.Add("/a\nuser=root\t\\")
	plain := regexp.MustCompile(`^[^\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]*$`)
	f.Fuzz(func(t *testing.T, value string) {
		line := string(appendLine(nil, time.Now(), Success, []Field{{Name: "znode", Value: value}}))
		if parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(parts) != 2 || !plain.MatchString(parts[0]) {
			t.Errorf("%q became %q", value, line)
		}
	})
}

// TestLost fills the buffer while nothing can be written: nobody waits, and the log says how many lines are missing, where they are.
func TestLost(t *testing.T) {
	j := newJournal()
	j.set(true, false)
	l := start("", j, quiet())
	long := Field{Name: "znode", Value: strings.Repeat("x", valueLimit)}
	const lines = 3 * bufferLimit / valueLimit
	for range lines {
		l.Add(Success, long)
	}
	j.set(false, false)
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		empty := len(l.waiting) == 0
		l.mu.Unlock()
		if empty {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the lines are never written")
		}
	}
	l.Add(Success, Field{Name: "znode", Value: "/after"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSuffix(j.text.String(), "\n"), "\n")
	taken := len(all) - 2
	confession, last := all[taken], all[taken+1]
	if want := fmt.Sprintf(" ERROR o.a.z.a.Slf4jAuditLogger: operation=auditLinesLost\tcount=%d\tresult=failure", lines-taken); !strings.HasSuffix(confession, want) {
		t.Errorf("of %d lines %d are there, and then %q", lines, taken, confession)
	}
	if !strings.Contains(last, "znode=/after") {
		t.Errorf("the last line is %q", last)
	}
}

// TestFailingFile writes to a file that fails in the middle of lines for a while: no line is lost, and none is there twice.
func TestFailingFile(t *testing.T) {
	j := newJournal()
	j.set(false, true)
	l := start("", j, quiet())
	for i := range 100 {
		l.Add(Success, Field{Name: "znode", Value: fmt.Sprintf("/n%02d", i)})
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		j.mu.Lock()
		begun := j.text.Len() > 0
		j.mu.Unlock()
		if begun {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is written")
		}
	}
	j.set(false, false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSuffix(j.text.String(), "\n"), "\n")
	if len(all) != 100 {
		t.Fatalf("%d lines of 100", len(all))
	}
	for i, line := range all {
		if !strings.Contains(line, fmt.Sprintf("znode=/n%02d\t", i)) {
			t.Errorf("line %d is %q", i, line)
		}
	}
}

// TestRotation renames the file away and removes it, as programs that rotate logs do.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, err := Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	holds := func(file, text string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if got, _ := os.ReadFile(file); strings.Contains(string(got), text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s never holds %q", file, text)
			}
		}
	}
	l.Add(Success, Field{Name: "znode", Value: "/first"})
	holds(path, "/first")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Add(Success, Field{Name: "znode", Value: "/second"})
	holds(path, "/second")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.Add(Success, Field{Name: "znode", Value: "/third"})
	holds(path, "/third")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("%v, %v: everybody may read who did what", info.Mode(), err)
	}
	if l, err = Open(path, quiet()); err != nil {
		t.Fatal(err)
	}
	l.Add(Success, Field{Name: "znode", Value: "/fourth"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	holds(path, "/third")
	holds(path, "/fourth")
	if _, err := Open(filepath.Join(t.TempDir(), "none", "audit.log"), quiet()); err == nil {
		t.Error("a file in a directory that is not there is opened")
	}
}

func BenchmarkAdd(b *testing.B) {
	l := start("", io.Discard, quiet())
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		l.Add(Success, Field{Name: "session", Value: "0x1000010cdbc0000"}, Field{Name: "user", Value: "127.0.0.1"}, Field{Name: "ip", Value: "127.0.0.1"}, Field{Name: "operation", Value: Create}, Field{Name: "znode", Value: "/app/config/item"}, Field{Name: "znode_type", Value: "persistent"})
	}
}
