package server

import (
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/jute"
)

// TestTop finds what is asked for most among much more than it has room for, and never takes a count for less than it was.
func TestTop(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	often := rand.NewZipf(rng, 1.2, 1, 100_000)
	sum, counts, hash := &top{}, map[string]int64{}, maphash.MakeSeed()
	for range 200_000 {
		path := fmt.Sprint("/n", often.Uint64())
		counts[path]++
		sum.add(maphash.String(hash, path), []byte(path), rng.IntN(4) == 0, 10)
	}
	list := sum.most(10, 1)
	for i, r := range list {
		have := counts[fmt.Sprint("/n", i)]
		if r.text != fmt.Sprint("/n", i) {
			t.Errorf("%d. is %s", i+1, r.text)
		}
		seen := int64(r.reads+r.writes) / sampleEvery
		if seen > have || seen+int64(r.over)/sampleEvery < have {
			t.Errorf("%s was counted %d times and at most %v more, and is there %d times", r.text, seen, r.over/sampleEvery, have)
		}
		if math.Abs(r.writes/(r.reads+r.writes)-0.25) > 0.05 || int64(r.bytes)/sampleEvery != 10*seen {
			t.Errorf("%+v", r)
		}
	}
	sum.add(maphash.String(hash, "/new"), []byte("/new"), false, 10)
	least := sum.most(topEntries, 1)
	at := slices.IndexFunc(least, func(r ranked) bool { return r.text == "/new" })
	if at < 0 || least[at].reads != sampleEvery || least[at].over < sampleEvery {
		t.Errorf("who comes new does not have the count of who went as what it may have too much: %v", least)
	}
	before := list[0].reads
	sum.fade()
	if after := sum.most(1, 1)[0].reads; math.Abs(after-before/2) > sampleEvery {
		t.Errorf("%v reads fade to %v", before, after)
	}
	long := "/" + strings.Repeat("ü", 5000)
	for range 100_000 {
		sum.add(1, []byte(long), false, 1)
	}
	if got := sum.most(1, 1)[0].text; len(got) > topText+len("…") || !strings.HasPrefix(long, strings.TrimSuffix(got, "…")) {
		t.Errorf("%q", got)
	}
}

// TestSamples takes none unless somebody asks, then some of all, and ends by itself.
func TestSamples(t *testing.T) {
	s := startServer(t)
	c := connect(t, s)
	work := func() {
		t.Helper()
		for i := range 64 * 60 {
			if _, _, err := c.Get(t.Context(), "/hot", false); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				if _, err := c.Set(t.Context(), "/hot/written", make([]byte, 1000), -1); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, path := range []string{"/hot", "/hot/written"} {
		if _, err := c.Create(t.Context(), path, nil, client.OpenACL, jute.ModePersistent); err != nil {
			t.Fatal(err)
		}
	}
	work()
	if s.samples.Load() != nil {
		t.Fatal("samples are taken, and nobody has asked")
	}
	begin := time.Now()
	taken := s.sampling(begin)
	work()
	paths, clients, _ := taken.most(10, begin)
	id, _, _ := c.Session()
	if len(paths) != 2 || paths[0].text != "/hot" || paths[1].text != "/hot/written" || len(clients) != 1 || int64(clients[0].key) != id {
		t.Fatalf("%+v, %+v", paths, clients)
	}
	reads, writes := paths[0].reads/sampleEvery, paths[1].writes/sampleEvery
	if reads < 20 || reads > 120 || writes < 3 || writes > 60 || paths[0].writes+paths[1].reads != 0 || clients[0].reads != paths[0].reads {
		t.Errorf("%v reads and %v writes of 3840 and 1280: %+v", reads, writes, paths)
	}
	if again := s.sampling(time.Now()); again != taken {
		t.Error("who asks again has the counting begin anew")
	}
	taken.off.Reset(0)
	for end := time.Now().Add(patience); s.samples.Load() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the sampling does not end")
		}
	}
}

// TestSamplesDoNotAllocate has the price of a request that is sampled.
func TestSamplesDoNotAllocate(t *testing.T) {
	c, _ := hotConn(t)
	taken := &samples{seed: maphash.MakeSeed()}
	path := []byte("/app/config")
	if n := testing.AllocsPerRun(1000, func() {
		path[len(path)-1]++
		taken.take(path, c, false, 100)
	}); n != 0 {
		t.Errorf("%v allocations for each", n)
	}
	c.s.samples.Store(taken)
	if n := testing.AllocsPerRun(1000, func() { c.s.sampled() }); n != 0 {
		t.Errorf("%v allocations to choose", n)
	}
	taken.mu.Lock()
	defer taken.mu.Unlock()
	taken.take(path, c, false, 100) // does not wait
}

// TestFanOuts finds the paths that most connections watch.
func TestFanOuts(t *testing.T) {
	var table watchTable
	s := startServer(t)
	var conns []*conn
	for range 40 {
		conns = append(conns, &conn{s: s})
	}
	for i := range 3000 {
		table.set(fmt.Sprint("/few/", i), conns[0], dataStandard)
	}
	for i := range 30 {
		for _, c := range conns[:i+2] {
			table.set(fmt.Sprint("/many/", i), c, dataStandard|childStandard)
		}
	}
	list := table.most(20)
	for i, f := range list {
		if f.watchers != 31-i || f.path != fmt.Sprint("/many/", 29-i) {
			t.Errorf("%d. is %v", i+1, f)
		}
	}
	if len(list) != 20 {
		t.Errorf("%d paths", len(list))
	}
}
