package server

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/ratelog"
)

// TestServed: who wants to hear of requests hears of each, with its path and the stages of its time in their order, and of no ping.
func TestServed(t *testing.T) {
	for _, onDisk := range []bool{true, false} {
		settings := []string{"admin.enableServer=false", "dataDir=" + t.TempDir()}
		cfg, _, err := config.Load(config.Sources{Set: settings})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		heard := map[jute.Op]Served{}
		s := startWith(t, Options{Config: cfg, InMemory: !onDisk, Served: func(r Served) {
			mu.Lock()
			defer mu.Unlock()
			heard[r.Op] = r
		}})
		c := connect(t, s)
		long := "/" + strings.Repeat("x", 2*servedPath)
		_, err = c.Create(t.Context(), long, []byte{}, client.OpenACL, jute.ModePersistent)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Get(t.Context(), "/", false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "both are heard of", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return heard[jute.OpGetData].Op != 0 && heard[jute.OpCreate].Op+heard[jute.OpCreate2].Op != 0
		})
		for op, r := range heard {
			want := "queue prepare apply"
			switch {
			case op == jute.OpGetData:
				want = "read"
			case onDisk:
				want = "queue prepare log fsync apply"
			}
			var names []string
			at := r.Begun
			for _, stage := range r.Stages {
				names = append(names, stage.Name)
				if stage.End.Before(at) {
					t.Errorf("%v: %s ends before it begins", op, stage.Name)
				}
				at = stage.End
			}
			if got := strings.Join(names, " "); got != want || at != r.Ended {
				t.Errorf("%v: %s, not %s; the last ends at %v and not %v", op, got, want, at, r.Ended)
			}
			if r.Client == "" || r.Session == 0 || r.Zxid == 0 {
				t.Errorf("%+v", r)
			}
			switch {
			case op == jute.OpPing:
				t.Error("a ping")
			case op == jute.OpGetData && r.Path != "/", (op == jute.OpCreate || op == jute.OpCreate2) && r.Path != long[:servedPath]+"…":
				t.Errorf("%v has the path %q", op, r.Path)
			}
		}
	}
}

// startWith starts a server that takes clients on a free port.
func startWith(t *testing.T, o Options) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listeners = []net.Listener{l}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSlowRequests: a request that took long enough has a line; of many in a second there are few, and the others are counted in the next one.
func TestSlowRequests(t *testing.T) {
	if newJournal(0, nil, nil) != nil || newJournal(-1, nil, nil) != nil {
		t.Error("there is a journal, and nobody reads it")
	}
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		j := newJournal(time.Second, nil, ratelog.New(slog.New(slog.NewTextHandler(&out, nil))))
		ctx, cancel := context.WithCancel(t.Context())
		go j.run(ctx.Done())
		slow := func(took time.Duration) {
			now := time.Now()
			if j.wants(took) {
				j.tell(Served{Op: jute.OpSetData, Path: "/a\nb", Session: 0x10, Client: "127.0.0.1:5", Zxid: 0x7, Begun: now.Add(-took), Ended: now, Stages: []Stage{{"queue", now.Add(-took / 2)}, {"apply", now}}})
			}
			synctest.Wait()
		}
		slow(time.Second - 1)
		if out.Len() > 0 {
			t.Errorf("%s", &out)
		}
		slow(2 * time.Second)
		const want = `msg="slow request" op=setData path="/a\nb" session=0x10 client=127.0.0.1:5 cxid=0 zxid=0x7 took=2s queue=1s apply=1s` + "\n"
		if got := out.String(); !strings.HasSuffix(got, want) {
			t.Errorf("%s does not end with %s", got, want)
		}
		for range 50 {
			slow(time.Second)
		}
		if n := strings.Count(out.String(), "\n"); n != 5 { // of package ratelog
			t.Errorf("%d lines", n)
		}
		time.Sleep(time.Second)
		slow(time.Second)
		if got := out.String(); !strings.HasSuffix(got, `"left out"=46`+"\n") {
			t.Errorf("%s", got)
		}
		cancel()
		synctest.Wait()
		time.Sleep(time.Second)
		for range servedQueue { // nobody takes them: none of these waits
			slow(time.Second)
		}
		j.tell(Served{}) // of a trace: no line is missing
		for range 3 {
			slow(time.Second)
		}
		go j.run(t.Context().Done())
		synctest.Wait()
		if got := out.String(); !strings.Contains(got, `"left out"=3`+"\n") {
			t.Errorf("%s does not say that three are lost", got)
		}
	})
}
