package server

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"quoll/jute"
)

// watchMode is a set of the ways in which a connection watches a path. ZooKeeper keeps two tables, one for data and one for children;
// here both are one table of such sets.
type watchMode uint8

const (
	dataStandard    watchMode = 1 << iota // one event, from getData or exists
	dataPersistent                        // from addWatch mode 0, which sets childPersistent too
	dataRecursive                         // from addWatch mode 1
	childStandard                         // one event, from getChildren
	childPersistent                       //
	dataModes       = dataStandard | dataPersistent | dataRecursive
	childModes      = childStandard | childPersistent
	persistentModes = dataPersistent | childPersistent
)

// watchedBy has, for each watcher type of checkWatches and removeWatches, the modes that must be there and those that go.
var watchedBy = map[jute.WatcherType]struct{ check, remove watchMode }{
	jute.WatcherChildren:            {childStandard, childStandard},
	jute.WatcherData:                {dataStandard, dataStandard},
	jute.WatcherAny:                 {dataModes | childModes, dataModes | childModes},
	jute.WatcherPersistent:          {dataPersistent, persistentModes},
	jute.WatcherPersistentRecursive: {dataRecursive, dataRecursive},
}

const watchShards = 16

// watchTable knows who watches what (WatchManager). Watches belong to connections and end with them.
type watchTable struct {
	shards    [watchShards]watchShard
	recursive atomic.Int64 // recursive watches; without any, a change looks at one path only
	total     atomic.Int64 // watches as ZooKeeper counts them: one for each table that has the path and connection
}

type watchShard struct {
	sync.Mutex
	paths map[string]map[*conn]watchMode
}

func (t *watchTable) shard(path string) *watchShard {
	h := uint32(2166136261)
	for i := max(0, len(path)-8); i < len(path); i++ {
		h = (h ^ uint32(path[i])) * 16777619
	}
	return &t.shards[h%watchShards]
}

// tables is the number of ZooKeeper's tables that such a set has an entry in.
func (m watchMode) tables() (n int64) {
	if m&dataModes != 0 {
		n++
	}
	if m&childModes != 0 {
		n++
	}
	return n
}

// set adds modes to what c watches at path. The path is kept.
func (t *watchTable) set(path string, c *conn, modes watchMode) {
	s := t.shard(path)
	s.Lock()
	defer s.Unlock()
	if s.paths == nil {
		s.paths = map[string]map[*conn]watchMode{}
	}
	watchers := s.paths[path]
	if watchers == nil {
		watchers = map[*conn]watchMode{}
		s.paths[path] = watchers
	}
	old, known := watchers[c]
	if !known && !c.addWatchedPath(path) {
		if len(watchers) == 0 {
			delete(s.paths, path)
		}
		return // the connection is closed, and its watches have gone
	}
	watchers[c] = old | modes
	t.count(old, old|modes)
}

func (t *watchTable) count(before, after watchMode) {
	if d := after.tables() - before.tables(); d != 0 {
		t.total.Add(d)
	}
	if d := int64(after&dataRecursive) - int64(before&dataRecursive); d != 0 {
		t.recursive.Add(d / int64(dataRecursive))
	}
}

// modes returns how c watches path.
func (t *watchTable) modes(path string, c *conn) watchMode {
	s := t.shard(path)
	s.Lock()
	defer s.Unlock()
	return s.paths[path][c]
}

// clear takes modes away from what c watches at path and returns those that it had of them.
func (t *watchTable) clear(path string, c *conn, modes watchMode) watchMode {
	s := t.shard(path)
	s.Lock()
	defer s.Unlock()
	old := s.paths[path][c]
	if old&modes == 0 {
		return 0
	}
	t.reduce(s, path, c, old, old&^modes)
	return old & modes
}

// reduce gives c a smaller set of modes at path and forgets what is empty. The shard is locked.
func (t *watchTable) reduce(s *watchShard, path string, c *conn, old, left watchMode) {
	t.count(old, left)
	if left != 0 {
		s.paths[path][c] = left
		return
	}
	delete(s.paths[path], c)
	if len(s.paths[path]) == 0 {
		delete(s.paths, path)
	}
	c.dropWatchedPath(path)
}

// removeAll ends every watch of a connection that is closed.
func (t *watchTable) removeAll(c *conn) {
	for _, path := range c.takeWatchedPaths() {
		s := t.shard(path)
		s.Lock()
		if old := s.paths[path][c]; old != 0 {
			t.count(old, 0)
			delete(s.paths[path], c)
			if len(s.paths[path]) == 0 {
				delete(s.paths, path)
			}
		}
		s.Unlock()
	}
}

// audience collects the connections that one change concerns, each once.
type audience struct {
	conns []*conn
	seen  map[*conn]struct{}
}

func (a *audience) reset() {
	if clear(a.conns); len(a.conns) > 1024 {
		a.conns, a.seen = nil, nil // emptying the large map would cost every change to come
		return
	}
	a.conns = a.conns[:0]
	clear(a.seen)
}

func (a *audience) add(c *conn) {
	if a.seen == nil {
		a.seen = map[*conn]struct{}{}
	}
	if _, ok := a.seen[c]; !ok {
		a.seen[c] = struct{}{}
		a.conns = append(a.conns, c)
	}
}

// trigger adds to a who watches path in the given table, uses up their standard watches there, and, for the data table, adds who
// watches it recursively from above.
func (t *watchTable) trigger(path string, table watchMode, a *audience) {
	s := t.shard(path)
	s.Lock()
	for c, modes := range s.paths[path] {
		if modes&table == 0 {
			continue
		}
		a.add(c)
		if once := modes & table & (dataStandard | childStandard); once != 0 {
			t.reduce(s, path, c, modes, modes&^once)
		}
	}
	s.Unlock()
	if table&dataModes == 0 || t.recursive.Load() == 0 || path == "/" {
		return
	}
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] != '/' {
			continue
		}
		above := path[:i]
		if i == 0 {
			above = "/"
		}
		s := t.shard(above)
		s.Lock()
		for c, modes := range s.paths[above] {
			if modes&dataRecursive != 0 {
				a.add(c)
			}
		}
		s.Unlock()
	}
}

// watchSlice is how many watches are looked at before others get their turn.
const watchSlice = 256

// data returns who watches which path in the data table, path by path, which is all that the words wchs and wchp show. Nothing is locked
// while the caller has an entry, and nothing for long in between, so that changes made meanwhile may be missing.
func (t *watchTable) data() iter.Seq2[string, *conn] {
	return func(yield func(string, *conn) bool) {
		var batch []watched
		hand := func() bool {
			for _, w := range batch {
				if !yield(w.path, w.conn) {
					return false
				}
			}
			batch = batch[:0]
			return true
		}
		for i := range t.shards {
			if !t.shards[i].slices(&batch, hand) || !hand() {
				return
			}
		}
	}
}

// fanOut is a path with how many connections watch it.
type fanOut struct {
	path     string
	watchers int
}

// most returns the n paths that most connections watch, as far as others let it look meanwhile.
func (t *watchTable) most(n int) (list []fanOut) {
	for i := range t.shards {
		s := &t.shards[i]
		s.Lock()
		seen := 0
		for path, watchers := range s.paths {
			if len(list) < n || len(watchers) > list[len(list)-1].watchers {
				at, _ := slices.BinarySearchFunc(list, len(watchers), func(f fanOut, watchers int) int { return watchers - f.watchers })
				list = slices.Insert(list, at, fanOut{path, len(watchers)})
				list = list[:min(n, len(list))]
			}
			if seen++; seen%watchSlice == 0 {
				s.Unlock()
				s.Lock()
			}
		}
		s.Unlock()
	}
	return list
}

type watched struct {
	path string
	conn *conn
}

// slices appends the shard's watches of data to batch, and calls pause, unlocked, after every slice. Going on with a map that has changed
// meanwhile is what Go allows: what is gone does not come.
func (s *watchShard) slices(batch *[]watched, pause func() bool) bool {
	s.Lock()
	defer s.Unlock()
	seen := 0
	for path, watchers := range s.paths {
		for c, modes := range watchers {
			if modes&dataModes != 0 {
				*batch = append(*batch, watched{path, c})
			}
			if seen++; seen%watchSlice != 0 {
				continue
			}
			s.Unlock()
			more := pause()
			s.Lock()
			if !more {
				return false
			}
		}
	}
	return true
}
