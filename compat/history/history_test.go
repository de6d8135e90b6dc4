package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quoll/compat/peer"
	"quoll/compat/recorder"
	"quoll/history"
)

const (
	players = 16
	// lifeOps is about how many requests are answered between two kills.
	lifeOps = 50_000
	// A sample of Porcupine has about so many operations on one znode.
	sampleLength = 40
	samples      = 20 // of each life
	// sessionTimeout is longer than any run.
	sessionTimeout = 10 * time.Hour
)

func TestHistory(t *testing.T) {
	ops := peer.Setting(t, "QUOLL_HISTORY_OPS", 200_000)
	seed := peer.Setting(t, "QUOLL_HISTORY_SEED", time.Now().UnixNano())
	t.Logf("%d requests; QUOLL_HISTORY_SEED=%d", ops, seed)
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			if kind.Name == "java" {
				// A control: the JVM takes its time to start.
				run(t, kind, min(ops, 100_000), min(ops, 100_000)/4, seed)
				return
			}
			run(t, kind, ops, min(lifeOps, ops/4), seed)
		})
	}
}

// directory is in memory if that can be, so that the disk is not what is measured. The page cache survives a SIGKILL as well.
func directory(t *testing.T) string {
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "quoll-history-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func run(t *testing.T, kind peer.Kind, ops, perLife, seed int64) {
	server, err := kind.Start(peer.Options{
		Dir: directory(t), Work: t.TempDir(),
		Config: []string{
			"maxSessionTimeout=2000000000", "maxClientCnxns=0", "4lw.commands.whitelist=*",
			"autopurge.purgeInterval=1", "autopurge.snapRetainCount=3",
		},
	})
	peer.Check(t, err)
	t.Cleanup(func() { server.Close(); peer.ShowLog(t, kind.Name, &server.Process) })

	judge := newJudge(seed)
	var all []*recorder.Client
	for id := range players {
		all = append(all, recorder.New(recorder.Options{ID: id, Seed: seed, Timeout: sessionTimeout, Window: 8, Length: 8000}))
	}
	answers := func() (n int64) {
		for _, c := range all {
			n += c.Answers.Load()
		}
		return n
	}
	rng := rand.New(rand.NewPCG(uint64(seed), players))
	start, kills := time.Now(), 0
	for answers() < ops && !judge.done() {
		goal := answers() + perLife/2 + rng.Int64N(perLife)
		begin := all[0].Prepare
		if kills > 0 {
			begin = all[0].Look
		}
		conn, err := net.Dial("tcp", server.Addr())
		if err == nil {
			err = begin(conn)
		}
		if err != nil {
			t.Fatal(err)
		}
		var dying atomic.Bool
		var work sync.WaitGroup
		errs := make(chan error, players)
		for _, c := range all {
			work.Go(func() { errs <- life(c, server.Addr(), &dying) })
		}
		for end := time.Now().Add(5 * time.Minute); answers() < goal && len(errs) == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%d answers are missing", goal-answers())
				break
			}
		}
		dying.Store(true)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		kills++
		work.Wait()
		for range all {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		var records []*history.Connection
		for _, c := range all {
			records = append(records, c.Take()...)
		}
		judge.lives <- records
		if kills%20 == 0 {
			t.Logf("%d requests answered after %v", answers(), time.Since(start).Round(time.Second))
		}
		if t.Failed() {
			break
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start)
	report := judge.verdict()
	for _, v := range report.Violations {
		t.Error(v)
	}
	switch {
	case report.Undecided == "":
	case int64(report.Ops) < ops/2:
		t.Errorf("undecided after %d requests: %s", report.Ops, report.Undecided)
	default: // rare: too many writes that nobody answered, and too little seen of what they did
		t.Logf("UNDECIDED after %d requests, and nothing checked behind: %s", report.Ops, report.Undecided)
	}
	for _, path := range judge.bad {
		t.Errorf("%s is not linearizable by Porcupine", path)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d requests answered (%d of them writes) and %d events in %v, %.0f/s with %d kills; %d sessions; %d violations",
		report.Ops, report.Writes, report.Events, took.Round(time.Millisecond), float64(report.Ops)/took.Seconds(), kills, report.Sessions, len(report.Violations))
	t.Logf("%d writes that nobody answered, of which %d were done; checked %.0f/s; %d samples of Porcupine with %d operations in %v; %d MiB of memory",
		report.Open, report.Done, float64(report.Ops)/judge.checking.Seconds(), judge.samples, judge.sampled, judge.sampling.Round(time.Millisecond), memory.Sys>>20)
}

// life plays until the server dies. The error is nil if dying said so.
func life(c *recorder.Client, addr string, dying *atomic.Bool) error {
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			err = c.Play(conn, nil)
		}
		switch {
		case err == nil, errors.Is(err, recorder.ErrRefused):
		case dying.Load(): // the kill may be a moment behind its announcement, never before it
			return nil
		default:
			return fmt.Errorf("client %d: %w", c.ID, err)
		}
	}
}

// judge checks each life while the next one is played.
type judge struct {
	lives    chan []*history.Connection
	checker  *history.Checker
	rng      *rand.Rand
	finished chan struct{}
	found    atomic.Bool

	bad                []string // paths of samples
	samples, sampled   int
	checking, sampling time.Duration
}

func newJudge(seed int64) *judge {
	j := &judge{
		lives: make(chan []*history.Connection), checker: history.NewChecker(history.Options{}),
		rng: rand.New(rand.NewPCG(uint64(seed), players+1)), finished: make(chan struct{}),
	}
	go j.judge()
	return j
}

func (j *judge) judge() {
	defer close(j.finished)
	for life := range j.lives {
		start := time.Now()
		j.checker.Life(life)
		j.checking += time.Since(start)
		start = time.Now()
		for _, s := range history.Samples(life, j.rng, samples, sampleLength) {
			j.samples++
			j.sampled += s.Len()
			if !s.Linearizable() {
				j.bad = append(j.bad, s.Path)
			}
		}
		j.sampling += time.Since(start)
		if r := j.checker.Report(); len(r.Violations) > 0 || r.Undecided != "" || len(j.bad) > 0 {
			j.found.Store(true)
		}
	}
}

// done reports whether something was found, and more is of no use.
func (j *judge) done() bool { return j.found.Load() }

func (j *judge) verdict() history.Report {
	close(j.lives)
	<-j.finished
	return j.checker.Report()
}
