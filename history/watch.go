package history

import (
	"slices"

	"quoll/jute"
)

// modes are the ways in which a connection watches a path. A persistent watch looks at both the znode and its children.
type modes uint8

const (
	watchData modes = 1 << iota
	watchChild
	watchPersistent
	watchRecursive
)

// watcher is a connection that watches a path.
type watcher struct {
	conn  *connection
	modes modes
}

// watches are those of all connections to all servers (WatchManager).
type watches struct {
	journal *journal
	paths   map[string][]watcher
}

// expected is an event that a connection must get.
type expected struct {
	conn *connection
	typ  jute.EventType
	path string
}

func (w *watches) set(path string, list []watcher) {
	was := w.paths[path]
	w.journal.add(func() { w.paths[path] = was })
	if len(list) == 0 {
		delete(w.paths, path)
	} else {
		w.paths[path] = list
	}
}

// edit gives the modes of one connection on one path to f and keeps what that returns. Lists are copied, because the journal has the
// old ones.
func (w *watches) edit(c *connection, path string, f func(modes) modes) {
	was := w.paths[path]
	i := slices.IndexFunc(was, func(x watcher) bool { return x.conn == c })
	if i < 0 {
		if m := f(0); m != 0 {
			w.set(path, append(was[:len(was):len(was)], watcher{c, m}))
		}
		return
	}
	m := f(was[i].modes)
	if m == was[i].modes {
		return
	}
	list := slices.Clone(was)
	if list[i].modes = m; m == 0 {
		list = slices.Delete(list, i, i+1)
	}
	w.set(path, list)
}

func (w *watches) add(c *connection, path string, m modes) {
	w.edit(c, path, func(had modes) modes { return had | m })
}

// watcherModes are what a type of checkWatches and removeWatches covers.
var watcherModes = map[jute.WatcherType]modes{
	jute.WatcherChildren:            watchChild,
	jute.WatcherData:                watchData,
	jute.WatcherAny:                 watchData | watchChild | watchPersistent | watchRecursive,
	jute.WatcherPersistent:          watchPersistent,
	jute.WatcherPersistentRecursive: watchRecursive,
}

// look checks for or removes watches, and answers as the server does.
func (w *watches) look(c *connection, p *Part) jute.Code {
	found := false
	w.edit(c, p.Path, func(had modes) modes {
		m := watcherModes[jute.WatcherType(p.Mode)]
		found = had&m != 0
		if p.Op == jute.OpRemoveWatches {
			had &^= m
		}
		return had
	})
	if !found {
		return jute.ErrNoWatcher
	}
	return jute.OK
}

// observe sets the watch that an answered read asked for.
func (w *watches) observe(c *connection, p *Part) {
	switch {
	case p.Op == jute.OpAddWatch && p.Err == jute.OK:
		m := watchPersistent
		if jute.AddWatchMode(p.Mode) == jute.AddWatchPersistentRecursive {
			m = watchRecursive
		}
		w.add(c, p.Path, m)
	case !p.Watch:
	case p.Op == jute.OpExists && (p.Err == jute.OK || p.Err == jute.ErrNoNode), p.Op == jute.OpGetData && p.Err == jute.OK:
		w.add(c, p.Path, watchData)
	case (p.Op == jute.OpGetChildren || p.Op == jute.OpGetChildren2) && p.Err == jute.OK:
		w.add(c, p.Path, watchChild)
	}
}

// fire appends the events of one change, in the server's order, and uses up one-shot watches. Connections for which gone holds are
// forgotten instead.
func (w *watches) fire(events []expected, ch change, gone func(*connection) bool) []expected {
	if len(w.paths) == 0 {
		return events
	}
	from := len(events)
	events = w.lookup(events, ch.path, watchData|watchPersistent|watchRecursive, watchData, ch.event, ch.path, gone)
	for above := parentOf(ch.path); above != ""; above = parentOf(above) {
		events = w.lookup(events, above, watchRecursive, 0, ch.event, ch.path, gone)
	}
	// One connection gets one event per table, whatever it watches.
	events = unique(events, from)
	if ch.event == jute.EventNodeDeleted {
		// Not for those that have just had it from the table of data.
		events = w.lookup(events, ch.path, watchChild|watchPersistent, watchChild, ch.event, ch.path, gone)
		events = unique(events, from)
	}
	if ch.event != jute.EventNodeDataChanged {
		parent := parentOf(ch.path)
		events = w.lookup(events, parent, watchChild|watchPersistent, watchChild, jute.EventNodeChildrenChanged, parent, gone)
	}
	return events
}

func (w *watches) lookup(events []expected, at string, in, once modes, typ jute.EventType, path string, gone func(*connection) bool) []expected {
	list := w.paths[at]
	stale := false
	for _, x := range list {
		switch {
		case gone(x.conn):
			stale = true
		case x.modes&in != 0:
			events = append(events, expected{x.conn, typ, path})
			stale = stale || x.modes&once != 0
		}
	}
	if stale {
		var left []watcher
		for _, x := range list {
			if x.modes &^= once; x.modes != 0 && !gone(x.conn) {
				left = append(left, x)
			}
		}
		w.set(at, left)
	}
	return events
}

// unique drops from events[from:] all but the first of each connection. They are few.
func unique(events []expected, from int) []expected {
	n := from
	for i := from; i < len(events); i++ {
		if !slices.ContainsFunc(events[from:n], func(e expected) bool { return e.conn == events[i].conn }) {
			events[n] = events[i]
			n++
		}
	}
	return events[:n]
}
