package zab

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// chaos runs one seed: servers crash, one or all, links break, disks fail or are slow, the network is cut in two, configs change; in the end all is
// well for a while and everybody must have the same history, at least as long as what was shown before.
func chaos(t *testing.T, seed uint64) {
	w := newWorld(t, seed, members(t, 0, 1, 2, 3, -4, 5), 1, 2, 3, 4, 5)
	if w.rng.IntN(2) == 0 {
		w = newWorld(t, seed, members(t, 0, 1, 2, 3), 1, 2, 3)
	}
	small := w.rng.IntN(2) == 0
	reconfigs := w.rng.IntN(2) == 0 && len(w.hosts) > 3
	w.options = func(sid int64) Options {
		o := Options{SID: sid, Tick: 100 * time.Millisecond, InitLimit: 20, SyncLimit: 10, Reconfig: true, MaxNotificationInterval: time.Second}
		if small {
			o.HistoryBytes, o.LinkWindow, o.LinkBytes = 300, 200, 20000
		}
		return o
	}
	sets := [][]int64{{1, 2, 3, -4, 5}, {1, 2, 3}, {1, 2, 3, 4, 5}, {2, 3, 4}, {1, 2, -3, 4}, {-1, 3, 4, 5}, {1, 2, 3, -5}}
	w.start()
	for range 100 {
		w.run(w.ms([]int{5, 50, 400, 800}[w.rng.IntN(4)]))
		h := w.hosts[w.rng.IntN(len(w.hosts))]
		switch w.rng.IntN(13) {
		case 0, 1:
			if h.node != nil {
				h.crash()
			}
		case 2, 3, 4:
			for _, h := range w.hosts {
				if h.node == nil {
					h.start()
					break
				}
			}
		case 5:
			if ids := w.linkIDs(); len(ids) > 0 {
				w.cut(ids[len(ids)-1-w.rng.IntN(min(5, len(ids)))])
			}
		case 6:
			for _, h := range w.hosts {
				w.side[h.sid] = w.rng.IntN(2)
			}
			w.logf("the network is cut: %v", w.side)
			quiet := w.rng.IntN(2) == 0
			for _, id := range w.linkIDs() {
				if l := w.links[id]; w.side[l.ends[0].sid] != w.side[l.ends[1].sid] {
					if quiet {
						l.stuck = true // nobody is told
					} else {
						w.cut(id)
					}
				}
			}
		case 7, 8:
			clear(w.side)
		case 9:
			if h.node != nil && w.rng.IntN(2) == 0 {
				h.life++ // what the disk was asked for never happens
				for _, l := range w.links {
					for i := range l.ends {
						if l.ends[i] == h && l.open[i] {
							l.lives[i] = h.life
						}
					}
				}
				h.wake = -1
				w.logf("the disk of %d fails", h.sid)
				h.step(DiskFailed{"test"})
			}
		case 10:
			if reconfigs {
				w.reconfigure(sets[w.rng.IntN(len(sets))]...)
			}
		case 11:
			h.slow = 30 * w.rng.IntN(3)
		case 12:
			w.logf("power cut")
			for _, h := range w.hosts {
				if h.node != nil {
					h.crash()
				}
			}
			for _, h := range w.hosts {
				if w.rng.IntN(4) > 0 {
					h.start()
				}
			}
		}
		for range w.rng.IntN(4) {
			w.propose(1 + w.rng.IntN(5))
			w.askSync(w.hosts[w.rng.IntN(len(w.hosts))])
			w.run(w.ms(3))
		}
	}
	clear(w.side)
	for _, h := range w.hosts {
		h.slow = 0
	}
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
