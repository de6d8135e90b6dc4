package store_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"quoll/jute"
	"quoll/store"
)

var benchNodes = flag.Int("nodes", 1_000_000, "znodes in the store of a benchmark")

// benchData is 100 bytes as services store them: half text that repeats, half what does not.
func benchData(rng *rand.Rand) []byte {
	b := fmt.Appendf(nil, `{"host":"10.%d.%d.%d","port":%d,"id":"`, rng.IntN(256), rng.IntN(256), rng.IntN(256), rng.IntN(65536))
	for len(b) < 98 {
		b = fmt.Appendf(b, "%016x", rng.Uint64())
	}
	return append(b[:98], `"}`...)
}

func benchPath(i int) string { return fmt.Sprintf("/bench/d%05d/node-%010d", i/1000, i) }

func benchStat(i int) *jute.StatPersisted {
	at := int64(1795292718100 + i/10)
	return &jute.StatPersisted{Czxid: int64(0x100000000 + i), Mzxid: int64(0x100000000 + i), Ctime: at, Mtime: at, Pzxid: int64(0x100000000 + i)}
}

// benchStore makes a store with -nodes znodes.
func benchStore(b *testing.B) *store.Store {
	s := open(b, nil, b.TempDir())
	rng := rand.New(rand.NewPCG(1, 2))
	batch := s.Begin(true)
	batch.Put("", nil, -1, benchStat(0))
	batch.Put("/bench", nil, -1, benchStat(0))
	for i := range *benchNodes {
		if i%1000 == 0 {
			batch.Put(fmt.Sprintf("/bench/d%05d", i/1000), nil, 1, benchStat(i))
		}
		batch.Put(benchPath(i), benchData(rng), 1, benchStat(i))
	}
	if err := batch.Commit(store.State{Zxid: 1}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the resident memory in MB.
func resident() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	var kb float64
	if _, after, ok := strings.Cut(string(b), "VmRSS:"); ok {
		fmt.Sscan(after, &kb)
	}
	return kb / 1024
}

type nothing struct{ n int }

func (p *nothing) Node(string, []byte, int64, jute.StatPersisted) error { p.n++; return nil }

func BenchmarkLoad(b *testing.B) {
	s := benchStore(b)
	for b.Loop() {
		n, used := 0, cpu()
		err := s.Load(store.Loading{
			Piece: func() store.Piece { return new(nothing) },
			Link:  func(p store.Piece) error { n += p.(*nothing).n; return nil },
		})
		if err != nil || n < *benchNodes {
			b.Fatal(n, err)
		}
		b.ReportMetric(float64(cpu()-used)/float64(n), "cpu-ns/node")
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(*benchNodes), "ns/node")
	b.ReportMetric(float64(s.Size())/1e6, "MB-on-disk")
	b.ReportMetric(resident(), "MB-resident")
}

func BenchmarkView(b *testing.B) {
	s := benchStore(b)
	for b.Loop() {
		v, err := s.View()
		if err != nil {
			b.Fatal(err)
		}
		var buf []byte
		for more := true; more; {
			if buf, more, err = v.Nodes(buf[:0]); err != nil {
				b.Fatal(err)
			}
		}
		v.Close()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(*benchNodes), "ns/node")
}

// written is the number of bytes that this process has written.
func written() float64 {
	b, _ := os.ReadFile("/proc/self/io")
	var n float64
	if _, after, ok := strings.Cut(string(b), "wchar:"); ok {
		fmt.Sscan(after, &n)
	}
	return n
}

// The dirty znodes of a commit are at random places; compactions go on beside it and are in the processor time and in what is written.
func BenchmarkCommit(b *testing.B) {
	for _, share := range []int{10, 1000} {
		b.Run(fmt.Sprintf("dirty=1in%d", share), func(b *testing.B) {
			s := benchStore(b)
			rng := rand.New(rand.NewPCG(3, 4))
			data := make([][]byte, 1000)
			for i := range data {
				data[i] = benchData(rng)
			}
			dirty := *benchNodes / share
			largest, slowest := 0.0, time.Duration(0)
			size := s.Size()
			used, wrote := cpu(), written()
			n := int64(1)
			for b.Loop() {
				began := time.Now()
				n++
				batch := s.Begin(false)
				for i := range dirty {
					batch.Put(benchPath(i*share+rng.IntN(share)), data[rng.IntN(len(data))], 1, benchStat(i))
				}
				if err := batch.Commit(store.State{Zxid: n}); err != nil {
					b.Fatal(err)
				}
				slowest = max(slowest, time.Since(began))
				largest = max(largest, resident())
				size = max(size, s.Size())
			}
			b.ReportMetric(float64(cpu()-used)/float64(b.N)/float64(dirty), "cpu-ns/node")
			b.ReportMetric((written()-wrote)/float64(b.N)/float64(dirty), "B-written/node")
			b.ReportMetric(largest, "MB-resident")
			b.ReportMetric(float64(slowest.Milliseconds()), "ms-slowest")
			b.ReportMetric(float64(size)/1e6, "MB-on-disk")
		})
	}
}

// A full batch whose znodes come in random order, as from a map.
func BenchmarkRebuild(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 4))
	order := rng.Perm(*benchNodes)
	s := open(b, nil, b.TempDir())
	used, largest := cpu(), 0.0
	for b.Loop() {
		batch := s.Begin(true)
		for n, i := range order {
			batch.Put(benchPath(i), benchData(rng), 1, benchStat(i))
			if n%100000 == 0 {
				largest = max(largest, resident())
			}
		}
		if err := batch.Commit(store.State{Zxid: 1}); err != nil {
			b.Fatal(err)
		}
		largest = max(largest, resident())
	}
	b.ReportMetric(float64(cpu()-used)/float64(b.N)/float64(*benchNodes), "cpu-ns/node")
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(*benchNodes), "ns/node")
	b.ReportMetric(largest, "MB-resident")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
