package recorder

import (
	"fmt"
	"slices"
	"strings"

	"quoll/history"
	"quoll/jute"
)

// Certain is where no session that may end by itself has ephemeral znodes.
const Certain = "/h/a/"

const (
	queueDir = "/h/q"
	sequence = queueDir + "/s-"
)

var (
	dirs   = []string{"/h", "/h/a", "/h/b", "/h/c", queueDir}
	upper  = append([]string{"/"}, dirs...)
	leaves = func() (paths []string) {
		for _, dir := range dirs[1:4] {
			for i := range 12 {
				paths = append(paths, fmt.Sprintf("%s/%d", dir, i))
			}
		}
		for i := range 6 {
			paths = append(paths, fmt.Sprintf("/h/a/%d/x", i))
		}
		return paths
	}()
	hot     = append(slices.Clone(upper), leaves...)
	openACL = []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}
)

// known has the paths that are kept once.
var known = func() map[string]string {
	m := map[string]string{}
	for _, path := range hot {
		m[path] = path
	}
	return m
}()

func once(path string) string {
	if same, ok := known[path]; ok {
		return same
	}
	return path
}

// generate makes the next request.
func (c *Client) generate() history.Op {
	if c.Rand.IntN(14) == 0 {
		o := history.Op{Part: history.Part{Op: jute.OpMulti}}
		for range 1 + c.Rand.IntN(4) {
			o.Parts = append(o.Parts, c.write(true))
		}
		return o
	}
	if c.Rand.IntN(2) == 0 {
		return history.Op{Part: c.write(false)}
	}
	o := history.Part{Path: hot[c.Rand.IntN(len(hot))], Watch: c.Rand.IntN(12) == 0}
	switch k := c.Rand.IntN(1000); {
	case k < 40:
		o.Op, o.Watch = jute.OpSync, false
	case k < 43:
		o.Op, o.Watch, o.Mode = jute.OpAddWatch, false, int32(c.Rand.IntN(2))
	case k < 55:
		o.Op, o.Watch, o.Mode = jute.OpRemoveWatches, false, int32(1+c.Rand.IntN(5))
	case k < 60:
		o.Op, o.Watch, o.Mode = jute.OpCheckWatches, false, int32(1+c.Rand.IntN(5))
	case k < 250:
		o.Op = jute.OpExists
	case k < 320:
		o.Op, o.Path = jute.OpGetChildren, upper[c.Rand.IntN(len(upper))]
	case k < 420:
		o.Op, o.Path = jute.OpGetChildren2, upper[c.Rand.IntN(len(upper))]
	default:
		o.Op = jute.OpGetData
	}
	return history.Op{Part: o}
}

// write makes one write, for a multi or alone.
func (c *Client) write(multi bool) history.Part {
	path := leaves[c.Rand.IntN(len(leaves))]
	if c.Rand.IntN(20) == 0 {
		path = dirs[c.Rand.IntN(len(dirs))]
	}
	o := history.Part{Path: path, Version: -1}
	if v, ok := c.versions[path]; ok && c.Rand.IntN(3) == 0 {
		o.Version = v
	}
	k := c.Rand.IntN(100)
	if len(c.queue) > 8 && k < 16 {
		k = 8
	}
	switch {
	case k < 8:
		o.Op, o.Path, o.Mode, o.Version = jute.OpCreate, sequence, int32(jute.ModePersistentSequential), 0
		if k%2 == 0 {
			o.Op = jute.OpCreate2
		}
		if c.Rand.IntN(4) == 0 {
			o.Mode = int32(jute.ModeEphemeralSequential)
		}
	case k < 16 && len(c.queue) > 0:
		i := c.Rand.IntN(len(c.queue))
		o.Op, o.Path, o.Version = jute.OpDelete, c.queue[i], -1
		if !multi { // which may fail and leave it
			c.queue[i] = c.queue[len(c.queue)-1]
			c.queue = c.queue[:len(c.queue)-1]
		}
	case k < 36:
		o.Op, o.Version = jute.OpCreate, 0
		if k%2 == 0 {
			o.Op = jute.OpCreate2
		}
		if c.Rand.IntN(3) == 0 && !slices.Contains(dirs, path) && !(c.Ends && strings.HasPrefix(path, Certain)) {
			o.Mode = int32(jute.ModeEphemeral)
		}
	case k < 52:
		o.Op = jute.OpDelete
	case k < 56 && multi:
		o.Op = jute.OpCheck
	case k < 56:
		o.Op = jute.OpSetACL
	default:
		o.Op = jute.OpSetData
	}
	return o
}
