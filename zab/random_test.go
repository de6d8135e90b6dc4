package zab

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// chaos runs one seed: servers crash, links break, disks fail, servers are isolated, configs change; in the end all is well for a while
// and everybody must have the same history, at least as long as what was shown before.
func chaos(t *testing.T, seed uint64) {
	w := newWorld(t, seed, members(t, 0, 1, 2, 3, -4, 5), 1, 2, 3, 4, 5)
	small := w.rng.IntN(2) == 0
	reconfigs := w.rng.IntN(2) == 0
	w.options = func(sid int64) Options {
		o := Options{SID: sid, Tick: 100 * time.Millisecond, InitLimit: 20, SyncLimit: 10, Reconfig: true, MaxNotificationInterval: time.Second}
		if small {
			o.HistoryBytes, o.LinkWindow, o.LinkBytes = 300, 200, 20000
		}
		return o
	}
	sets := [][]int64{{1, 2, 3, -4, 5}, {1, 2, 3}, {1, 2, 3, 4, 5}, {2, 3, 4}, {1, 2, -3, 4}, {-1, 3, 4, 5}, {1, 2, 3, -5}}
	w.start()
	for range 60 {
		w.run(w.ms(400))
		h := w.hosts[w.rng.IntN(len(w.hosts))]
		switch w.rng.IntN(10) {
		case 0, 1:
			if h.node != nil {
				h.crash()
			}
		case 2, 3:
			for _, h := range w.hosts {
				if h.node == nil {
					h.start()
					break
				}
			}
		case 4:
			if ids := w.linkIDs(); len(ids) > 0 {
				w.cut(ids[len(ids)-1-w.rng.IntN(min(5, len(ids)))])
			}
		case 5:
			if w.rng.IntN(2) == 0 {
				w.isolated[h.sid] = true
				for _, id := range w.linkIDs() {
					if l := w.links[id]; l.ends[0] == h || l.ends[1] == h {
						w.cut(id)
					}
				}
			}
			w.logf("%d isolated", h.sid)
		case 6:
			clear(w.isolated)
		case 7:
			if h.node != nil {
				h.life++ // what the disk was asked for never happens
				life := h.life
				for _, l := range w.links {
					for i := range l.ends {
						if l.ends[i] == h && l.open[i] {
							l.lives[i] = life
						}
					}
				}
				h.wake = -1
				w.logf("the disk of %d fails", h.sid)
				h.step(DiskFailed{"test"})
			}
		case 8:
			if reconfigs {
				w.reconfigure(sets[w.rng.IntN(len(sets))]...)
			}
		}
		for range w.rng.IntN(4) {
			w.propose(1 + w.rng.IntN(5))
			w.askSync(w.hosts[w.rng.IntN(len(w.hosts))])
			w.run(w.ms(3))
		}
	}
	clear(w.isolated)
	w.start()
	w.until(time.Minute, "everybody has the same", w.settled)
	n := len(w.history)
	w.propose(3)
	w.until(30*time.Second, "three more", func() bool { return len(w.history) >= n+3 && w.settled() })
}

func TestChaos(t *testing.T) {
	seeds := 40
	if s := os.Getenv("QUOLL_SEEDS"); s != "" {
		seeds, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("QUOLL_SEED"); s != "" {
		seed, _ := strconv.ParseUint(s, 10, 64)
		chaos(t, seed)
		return
	}
	for seed := range seeds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) { chaos(t, uint64(seed)) })
	}
}
