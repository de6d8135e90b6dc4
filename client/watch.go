package client

import (
	"maps"
	"slices"

	"quoll/jute"
)

// watchKind is a list of setWatches2. The server has one table for data and exist; clients tell them apart because an event found
// by setWatches depends on it.
type watchKind int

const (
	watchData watchKind = iota
	watchExist
	watchChild
	watchPersistent
	watchRecursive
	watchKinds
)

// watchTable is what must be restored after a reconnect: for each kind a set of paths as the server knows them.
type watchTable [watchKinds]map[string]struct{}

func (t *watchTable) add(kind watchKind, path string) {
	if t[kind] == nil {
		t[kind] = make(map[string]struct{})
	}
	t[kind][path] = struct{}{}
}

func (t *watchTable) remove(path string, kinds ...watchKind) (removed bool) {
	for _, kind := range kinds {
		if _, ok := t[kind][path]; ok {
			delete(t[kind], path)
			removed = true
		}
	}
	return removed
}

func (t *watchTable) has(path string, kinds ...watchKind) bool {
	return slices.ContainsFunc(kinds, func(kind watchKind) bool { _, ok := t[kind][path]; return ok })
}

// fired forgets the one-shot watches that an event has used up.
func (t *watchTable) fired(event jute.EventType, path string) {
	switch event {
	case jute.EventNodeCreated, jute.EventNodeDataChanged:
		t.remove(path, watchData, watchExist)
	case jute.EventNodeDeleted:
		t.remove(path, watchData, watchExist, watchChild)
	case jute.EventNodeChildrenChanged:
		t.remove(path, watchChild)
	}
}

// watcherTypes has a row for each type that removeWatches takes: the kinds it covers, in groups that end with one event each.
var watcherTypes = map[jute.WatcherType][]struct {
	removed jute.EventType
	kinds   []watchKind
}{
	jute.WatcherChildren:            {{EventChildWatchRemoved, []watchKind{watchChild}}},
	jute.WatcherData:                {{EventDataWatchRemoved, []watchKind{watchData, watchExist}}},
	jute.WatcherPersistent:          {{EventPersistentWatchRemoved, []watchKind{watchPersistent}}},
	jute.WatcherPersistentRecursive: {{EventPersistentWatchRemoved, []watchKind{watchRecursive}}},
	jute.WatcherAny: {
		{EventChildWatchRemoved, []watchKind{watchChild}},
		{EventDataWatchRemoved, []watchKind{watchData, watchExist}},
		{EventPersistentWatchRemoved, []watchKind{watchPersistent, watchRecursive}},
	},
}

// setWatchesLimit is about how many bytes one request that restores watches may have, well below the server's limit of a frame.
const setWatchesLimit = 128 << 10

// appendSetWatches appends the frames that restore all watches: setWatches, and setWatches2 only for persistent ones, since servers before 3.6 do not know it and
// have none (ClientCnxn.SendThread.primeConnection).
func (t *watchTable) appendSetWatches(b []byte, zxid int64) []byte {
	var req jute.SetWatches2Request
	size := 0
	flush := func() {
		if size == 0 {
			return
		}
		for _, list := range setWatchesLists(&req) {
			if *list == nil {
				*list = [][]byte{} // null is an error to the server
			}
		}
		req.RelativeZxid = zxid
		if len(req.Persistent)+len(req.PersistentRecursive) > 0 {
			b = appendFrame(b, jute.XidSetWatches, jute.OpSetWatches2, &req)
		} else {
			b = appendFrame(b, jute.XidSetWatches, jute.OpSetWatches, &jute.SetWatchesRequest{RelativeZxid: zxid, Data: req.Data, Exist: req.Exist, Child: req.Child})
		}
		req, size = jute.SetWatches2Request{}, 0
	}
	for kind := range watchKinds {
		for _, path := range slices.Sorted(maps.Keys(t[kind])) {
			list := setWatchesLists(&req)[kind]
			*list = append(*list, []byte(path))
			if size += 4 + len(path); size > setWatchesLimit {
				flush()
			}
		}
	}
	flush()
	return b
}

func setWatchesLists(r *jute.SetWatches2Request) [watchKinds]*[][]byte {
	return [watchKinds]*[][]byte{&r.Data, &r.Exist, &r.Child, &r.Persistent, &r.PersistentRecursive}
}
