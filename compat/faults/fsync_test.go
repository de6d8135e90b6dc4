package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quoll/compat/faultfs"
	"quoll/compat/peer"
)

// TestFsyncFailsOnce lets one fsync fail, at a random moment, after which the pages that it should have written are gone and the next
// fsync succeeds, as Linux has it. The clients write on, or do so after a restart if the server has stopped; in the end everything
// acknowledged must be there.
func TestFsyncFailsOnce(t *testing.T) {
	faultfs.Check(t)
	sz, seed, temp := sizeOf(t), seedOf(t), tempDir(t)
	table := newTable("One fsync of the log fails")
	for _, kind := range slices.Backward(peer.Kinds) {
		t.Run(kind.Name, func(t *testing.T) {
			runs := sz.fsyncs
			if kind.Name == "java" {
				peer.RequireJVM(t)
				runs = sz.fsyncJava
			}
			total := traced(t, kind, temp, seed)["fsync log"]
			var jobs []job
			rng := rand.New(rand.NewPCG(seed, 0x6673796e))
			for i := range runs {
				c := diskCase{
					rule:    faultfs.Rule{Op: faultfs.Fsync, Glob: "version-2/*log.*", Nth: 1 + rng.IntN(total*9/10), Fault: faultfs.FsyncDrop},
					journal: true, cutLast: i%2 == 1,
				}
				group := "fails once and drops what it should have written, then kill -9"
				if c.cutLast {
					group = "the same, then a power cut"
				}
				s := seed*1_000_003 + uint64(i)
				jobs = append(jobs, job{
					group: group, name: fmt.Sprintf("run %d: %v", i, c.rule), seed: s,
					run: func(kind peer.Kind) (outcome, bool, error) { return c.run(kind, temp, s) },
				})
			}
			runAll(t, kind, jobs, table)
			if n := table.cases(kind.Name); n < runs*9/10 {
				t.Errorf("only %d of %d runs came as far as their fault", n, runs)
			}
		})
	}
	table.print(t, fmt.Sprintf("%d runs on quoll, %d on Apache ZooKeeper 3.9.5", table.cases("quoll"), table.cases("java")))
}

// TestFullDisk takes the room on the disk away for a while.
func TestFullDisk(t *testing.T) {
	disk := faultfs.New(faultfs.Options{Seed: 1, Journal: true})
	mount := faultfs.MountFor(t, disk)
	s := peer.Quoll(t, peer.Options{Dir: mount.Dir, Config: settings})
	t.Cleanup(func() { s.Kill() }) // before the disk goes
	pid := s.PID()
	w := newWork(1)
	defer w.disconnect()
	if err := w.run(s.Addr(), 60); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		acked := w.acked
		disk.SetSpace(disk.Used())
		// The reserve of the log may take some writes yet.
		for w.refusedCount == 0 && w.acked < acked+5000 {
			if err := w.run(s.Addr(), 1); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if w.refusedCount == 0 {
			t.Fatalf("round %d: %d writes find room on a full disk", round, w.acked-acked)
		}
		found, err := observe(w.conn)
		if err != nil {
			t.Fatalf("round %d: a full disk has no reads either: %v", round, err)
		}
		if l := w.losses(found); len(l) > 0 {
			t.Errorf("round %d: on a full disk: %v", round, l)
		}
		disk.SetSpace(0)
		acked, w.refusedCount = w.acked, 0
		for end := time.Now().Add(time.Minute); w.acked == acked; {
			if err := w.run(s.Addr(), 1); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if time.Now().After(end) {
				t.Fatalf("round %d: there is room again, and no write for a minute", round)
			}
		}
		w.refusedCount = 0
		if err := w.run(s.Addr(), 80); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if s.PID() != pid || len(w.wrong) > 0 {
		t.Errorf("process %d, was %d; %v", s.PID(), pid, w.wrong)
	}
	w.disconnect()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/data"
	if err := disk.PowerCut(1).Save(dir); err != nil {
		t.Fatal(err)
	}
	if o := verify(peer.Kinds[1], dir, "", w, true); o.after != complete && o.after != repaired {
		t.Errorf("%s: %v", o.after, o.notes)
	}
}
