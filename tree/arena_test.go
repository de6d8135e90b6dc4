package tree

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"quoll/jute"
)

func TestCellSizes(t *testing.T) {
	seen := map[int]int{}
	for n := 1; n <= cellMax; n++ {
		size := cellSize(n)
		if size < n || size%8 != 0 || cellSize(size) != size || n > 128 && size > n+n/8 {
			t.Errorf("a cell for %d bytes has %d", n, size)
		}
		if other, ok := seen[class(size)]; ok && other != size || class(size) >= cellSizes {
			t.Errorf("sizes %d and %d have the number %d", other, size, class(size))
		}
		seen[class(size)] = size
	}
	if size := unsafe.Sizeof(chunk{}); size != chunkSize {
		t.Errorf("a chunk has %d bytes", size)
	}
	if chunks := maxNodes/((chunkSize-chunkHead)/max(nodeSize, extraSize)) + 1; 2*chunks > maxChunks {
		t.Errorf("%d chunks of nodes, and as many of copies, have no numbers", chunks)
	}
}

// TestCellsDoNotOverlap takes and gives back cells at random. Each holds a pattern of its own, which must stay.
func TestCellsDoNotOverlap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		a := newArena(nil, maxChunks)
		type cell struct {
			r    ref
			size int
			fill byte
		}
		var cells []cell
		at := func(c cell) []byte { return unsafe.Slice((*byte)(a.at(c.r)), c.size) }
		for i := range 20_000 {
			if shrinking := i/4000%2 == 1; len(cells) > 0 && (rng.IntN(3) == 0) != shrinking {
				k := rng.IntN(len(cells))
				c := cells[k]
				if b := at(c); bytes.Count(b, []byte{c.fill}) != c.size {
					t.Fatalf("seed %d: the cell %x of %d bytes was written to", seed, c.r, c.size)
				}
				a.release(c.r, c.size)
				cells[k] = cells[len(cells)-1]
				cells = cells[:len(cells)-1]
				continue
			}
			c := cell{size: cellSize(1 << rng.IntN(12)), fill: byte(1 + rng.IntN(255))}
			c.r = a.alloc(c.size)
			b := at(c)
			for j := range b {
				b[j] = c.fill
			}
			cells = append(cells, c)
		}
		for _, c := range cells {
			a.release(c.r, c.size)
		}
		held := 0
		for _, c := range a.chunks {
			if c != nil {
				held++
			}
		}
		if held > 12 || len(a.spare)+held != len(a.chunks)-1 {
			t.Fatalf("seed %d: with no cell in use there are %d chunks of %d", seed, held, len(a.chunks)-1)
		}
	}
}

// grown is a tree with n znodes of so many bytes of data below /p, and their paths.
func grown(n, size int) (*Tree, []string) {
	tr := New()
	paths := []string{"/p"}
	for i := range n {
		paths = append(paths, fmt.Sprintf("/p/n%07d", i))
	}
	for _, path := range paths {
		do(tr, jute.OpCreate, path, bytes.Repeat([]byte{path[len(path)-1]}, size))
	}
	return tr, paths
}

// do applies a create, setData or delete.
func do(tr *Tree, op jute.Op, path string, data []byte) (r Result) {
	tr.Apply(&Txn{TxnHeader: jute.TxnHeader{Zxid: tr.LastZxid() + 1, Type: int32(op)}, Path: path, Data: data, ParentCVersion: -1}, &r, nil)
	return r
}

// footprint is the memory of the tree's nodes, in bytes.
func (t *Tree) footprint() int {
	chunks := 0
	for _, a := range []*arena{&t.nodes, &t.extras, &t.texts.cells} {
		chunks += len(a.chunks) - 1 - len(a.spare)
	}
	size := chunks*chunkSize + 8*len(t.index.segments)
	seen := map[*segment]bool{}
	for _, s := range t.index.segments {
		if !seen[s] {
			size += int(unsafe.Sizeof(*s))
		}
		seen[s] = true
	}
	for _, b := range t.texts.large {
		size += len(b)
	}
	return size
}

// TestLargeTreeIsSmall pins what a million znodes cost: bytes, and objects for the collector.
func TestLargeTreeIsSmall(t *testing.T) {
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tr, _ := grown(n, 100)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := tr.footprint() / n; each > 200 {
		t.Errorf("a znode of 100 bytes costs %d", each)
	}
	if bytes, objects := int64(after.HeapAlloc-before.HeapAlloc), int64(after.HeapObjects-before.HeapObjects); bytes > 220*n || objects > n/50 {
		t.Errorf("%d znodes are %d bytes in %d objects", n, bytes, objects)
	}
	runtime.KeepAlive(tr)
}

// TestSpaceIsUsedAgain deletes what there is and makes something else of it.
func TestSpaceIsUsedAgain(t *testing.T) {
	const n = 20_000
	tr, paths := grown(n, 100)
	full := tr.footprint()
	for _, path := range slices.Backward(paths) {
		if r := do(tr, jute.OpDelete, path, nil); r.Err != 0 {
			t.Fatal(r.Err)
		}
	}
	check(t, tr)
	if size := tr.footprint(); size > full/5 || tr.index.segments[0].depth > 0 {
		t.Errorf("%d bytes are left of %d", size, full)
	}
	for round := range 3 { // with data of another size each time
		for i, path := range paths {
			op := jute.OpCreate
			if round > 0 {
				op = jute.OpSetData
			}
			do(tr, op, path, bytes.Repeat([]byte{byte(i)}, 100-30*round))
		}
		for i, path := range paths {
			if data := tr.Lookup(path).Data(); len(data) != 100-30*round || bytes.Count(data, []byte{byte(i)}) != len(data) {
				t.Fatalf("%s is %q", path, data)
			}
		}
		check(t, tr)
		if size := tr.footprint(); size > full*5/4+n*extraSize {
			t.Errorf("round %d: %d bytes, where %d were enough", round, size, full)
		}
	}
	for range 10 {
		do(tr, jute.OpSetData, paths[0], make([]byte, 2*cellMax))
		do(tr, jute.OpSetData, paths[0], nil)
	}
	if len(tr.texts.large) > 2 {
		t.Errorf("%d large texts", len(tr.texts.large))
	}
	for _, path := range slices.Backward(paths) {
		do(tr, jute.OpDelete, path, nil)
	}
	check(t, tr)
	if size := tr.footprint(); size > full/5 {
		t.Errorf("%d bytes are left in the end of %d", size, full)
	}
}

// TestTextsWithoutCells goes on when there are no more chunks for texts.
func TestTextsWithoutCells(t *testing.T) {
	tr := New()
	tr.texts.cells.limit = 4
	do(tr, jute.OpCreate, "/p", nil)
	for i := range 4000 {
		do(tr, jute.OpCreate, fmt.Sprintf("/p/%d", i), bytes.Repeat([]byte{byte(i)}, 100+i%100))
	}
	for i := range 4000 {
		if i%3 == 0 {
			do(tr, jute.OpSetData, fmt.Sprintf("/p/%d", i), bytes.Repeat([]byte{byte(i)}, 103+i%100))
			do(tr, jute.OpSetData, fmt.Sprintf("/p/%d", i), nil)
		} else if i%3 == 1 {
			do(tr, jute.OpDelete, fmt.Sprintf("/p/%d", i), nil)
		}
	}
	check(t, tr)
	for i := range 4000 {
		n := tr.Lookup(fmt.Sprintf("/p/%d", i))
		if i%3 == 2 && !bytes.Equal(n.Data(), bytes.Repeat([]byte{byte(i)}, 100+i%100)) || i%3 == 1 && n != nil || i%3 == 0 && n.Data() != nil {
			t.Fatalf("/p/%d: %v", i, n)
		}
	}
}

// TestTreeIsFull creates more znodes than there may be.
func TestTreeIsFull(t *testing.T) {
	tr := New()
	tr.limit = 10
	warned := ""
	tr.OnWarning(func(msg string, args ...any) { warned = fmt.Sprint(msg, args) })
	for i := range 10 {
		want := jute.OK
		if i >= 6 {
			want = jute.ErrSystemError
		}
		if r := do(tr, jute.OpCreate, fmt.Sprint("/", i), nil); r.Err != want || want != jute.OK && !strings.Contains(warned, fmt.Sprintf("not created: no tree holds more[path /%d ", i)) {
			t.Errorf("create number %d: %v, %s", i, r.Err, warned)
		}
	}
	check(t, tr)
	l := NewLoader(false)
	l.t.limit = 3
	var err error
	for _, path := range []string{"", "/a", "/b", "/c"} {
		if err != nil {
			t.Errorf("before %s: %v", path, err)
		}
		err = l.Node(path, nil, -1, jute.StatPersisted{})
	}
	if err == nil {
		t.Error("a snapshot of more znodes than there may be is loaded")
	}
}

// TestReadsDoNotAllocate pins what a read costs in objects: nothing.
func TestReadsDoNotAllocate(t *testing.T) {
	tr, _ := grown(1000, 100)
	parent, path := []byte("/p"), []byte("/p/n0000500")
	sum := 0
	if n := testing.AllocsPerRun(100, func() {
		n := tr.Get(path)
		sum += len(n.Data()) + int(n.Stat().Version) + len(tr.ACL(n))
		for c := range tr.Get(parent).EachChild() {
			sum += len(c.Name())
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestFullCaptureOfManyChunks reads a capture out while most of what it has is deleted and others come in its place.
func TestFullCaptureOfManyChunks(t *testing.T) {
	tr, paths := grown(10_000, 20)
	for _, path := range paths[100:900] { // copies will lie among what is to be read yet
		do(tr, jute.OpDelete, path, nil)
	}
	tr.Track()
	want := imageOf(tr)
	c := tr.Cut(true)
	got := map[string]string{}
	put := func(n *Node) error {
		if _, ok := got[n.Path()]; ok {
			return errors.New("it came already")
		}
		got[n.Path()] = nodeText(tr, n)
		return nil
	}
	read := func(n int) (more bool) {
		more, err := c.Next(n, put, nil)
		if err != nil {
			t.Fatal(err)
		}
		return more
	}
	read(10)
	for _, path := range paths[1000:9000] {
		do(tr, jute.OpDelete, path, nil)
	}
	for i := range 6000 {
		do(tr, jute.OpCreate, fmt.Sprint("/p/new", i), []byte("not in it"))
		if i%100 == 0 {
			read(50)
		}
	}
	for read(500) {
	}
	c.Close()
	if diff := (image{got, want.sessions, want.acls}).diff(want); diff != "" {
		t.Error(diff[:min(len(diff), 1000)])
	}
	check(t, tr)
}

// TestReadersBesideACapture has readers and a capture share a lock while transactions come in between, for the race detector above all.
func TestReadersBesideACapture(t *testing.T) {
	tr, paths := grown(3000, 50)
	tr.Track()
	var lock sync.RWMutex
	var readers sync.WaitGroup
	done := make(chan struct{})
	for seed := range uint64(2) {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 3))
			for {
				select {
				case <-done:
					return
				default:
				}
				lock.RLock()
				path := paths[rng.IntN(len(paths))]
				if n := tr.Lookup(path); n != nil {
					if data := n.Data(); bytes.Count(data, []byte{path[len(path)-1]}) != len(data) || n.Path() != path || n.Stat().DataLength != int32(len(data)) {
						t.Errorf("%s is %q", path, data)
					}
				}
				lock.RUnlock()
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 3))
	for round := range 20 {
		lock.Lock()
		c := tr.Cut(round%2 == 0)
		lock.Unlock()
		c.Sort()
		for more := true; more; {
			lock.RLock()
			more, _ = c.Next(200, func(*Node) error { return nil }, func(string) error { return nil })
			lock.RUnlock()
			lock.Lock()
			for range 20 {
				path := paths[1+rng.IntN(len(paths)-1)]
				data := bytes.Repeat([]byte{path[len(path)-1]}, rng.IntN(200))
				switch {
				case tr.Lookup(path) == nil:
					do(tr, jute.OpCreate, path, data)
				case rng.IntN(2) == 0:
					do(tr, jute.OpDelete, path, nil)
				default:
					do(tr, jute.OpSetData, path, data)
				}
			}
			lock.Unlock()
		}
		lock.Lock()
		c.Close()
		lock.Unlock()
	}
	close(done)
	readers.Wait()
	check(t, tr)
}
