package faults

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"quoll/compat/peer"
)

// damage is what happens to a file between two servers.
type damage string

const (
	missing damage = "missing"
	empty   damage = "cut to 0"
	cutAt   damage = "cut in the middle"
	flip    damage = "one bit flipped"
	zero    damage = "512 bytes zeroed"
)

// byteCase is damage to one file.
type byteCase struct {
	file    string // below the dataDir
	kind    string // of the file
	region  string
	damage  damage
	at      int64
	variant variant
}

// variant is what else is not there when the damage is looked at.
type variant string

const (
	all     variant = ""
	noStore variant = " without the store"      // everything has to come out of ZooKeeper's files
	purged  variant = " with one snapshot left" // nor are there older files to fall back to
)

func (c byteCase) String() string {
	if c.damage == missing || c.damage == empty {
		return fmt.Sprintf("%s: %s%s", c.file, c.damage, c.variant)
	}
	return fmt.Sprintf("%s: %s: %s at %d%s", c.file, c.region, c.damage, c.at, c.variant)
}

// group is the row of the table that the case is counted in.
func (c byteCase) group() string {
	kind := c.kind + string(c.variant)
	if c.region == "" {
		return kind + ": " + string(c.damage)
	}
	_, part, ok := strings.Cut(c.region, ": ")
	if !ok {
		part = c.region
	}
	return kind + ": damaged in " + part
}

// do damages the copy of the data directory in dir, and says whether that changed anything.
func (c byteCase) do(dir string, rng *rand.Rand) (bool, error) {
	name := filepath.Join(dir, c.file)
	switch c.damage {
	case missing:
		return true, os.Remove(name)
	case empty:
		return true, os.Truncate(name, 0)
	case cutAt:
		return true, os.Truncate(name, c.at)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	was := slices.Clone(b)
	if c.damage == flip {
		b[c.at] ^= 1 << rng.IntN(8)
	} else {
		from := c.at &^ 511
		clear(b[from:min(from+512, int64(len(b)))])
	}
	return !slices.Equal(was, b), os.WriteFile(name, b, 0o644)
}

// region is a run of bytes of a file that mean one thing.
type region struct {
	name   string
	at, to int64
}

// image is a data directory as a kill -9 has left it, and what its server had acknowledged.
type image struct {
	kind  peer.Kind
	dir   string
	work  *work
	files map[string][]region // by path below dir
}

func takeImage(kind peer.Kind, temp string, seed uint64) (*image, error) {
	dir, err := os.MkdirTemp(temp, "image-")
	if err != nil {
		return nil, err
	}
	w := newWork(seed)
	during, err := script(kind, dir, w, nil)
	if err == nil && (during != wentOn || len(w.wrong) > 0) {
		err = fmt.Errorf("without any fault the server %s: %v", during, w.wrong)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind.Name, err)
	}
	im := &image{kind: kind, dir: dir, work: w, files: map[string][]region{}}
	return im, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch kind := im.fileKind(rel); {
		case kind == "log":
			im.files[rel], err = logRegions(b)
		case kind == "snapshot":
			im.files[rel], err = snapshotRegions(b)
		default:
			im.files[rel] = otherRegions(int64(len(b)))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
		return nil
	})
}

func (im *image) fileKind(rel string) string {
	base := filepath.Base(rel)
	switch {
	case strings.HasPrefix(rel, "version-2/log."):
		return "log"
	case strings.HasPrefix(rel, "version-2/snapshot."):
		return "snapshot"
	case strings.HasPrefix(rel, "quoll/store/"):
		return "store, " + numbers.ReplaceAllString(base, "N")
	}
	return rel
}

var numbers = regexp.MustCompile(`\d+`)

// store is where quoll keeps the state that it starts from.
const store = "quoll/store"

// cases are some of all possible damages, evenly over files, regions and kinds of damage.
func (im *image) cases(perRegion int, rng *rand.Rand) (cases []byteCase) {
	old := im.purgeable()
	add := func(c byteCase) {
		cases = append(cases, c)
		if !strings.HasPrefix(c.file, "version-2/") {
			return
		}
		if _, err := os.Stat(filepath.Join(im.dir, store)); err == nil {
			c.variant = noStore
			cases = append(cases, c)
		}
		if !slices.Contains(old, c.file) {
			c.variant = purged
			cases = append(cases, c)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(im.files)) {
		kind := im.fileKind(file)
		add(byteCase{file: file, kind: kind, damage: missing})
		add(byteCase{file: file, kind: kind, damage: empty})
		for _, r := range im.files[file] {
			if r.to <= r.at {
				continue
			}
			for i := range perRegion {
				at := r.at + rng.Int64N(r.to-r.at)
				if i == 0 {
					at = r.at
				}
				add(byteCase{file: file, kind: kind, region: r.name, damage: flip, at: at})
				if i == 0 {
					add(byteCase{file: file, kind: kind, region: r.name, damage: zero, at: at})
				}
				if i < 2 {
					add(byteCase{file: file, kind: kind, region: r.name, damage: cutAt, at: at})
				}
			}
		}
	}
	slices.SortStableFunc(cases, func(a, b byteCase) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(string(a.variant), string(b.variant)))
	})
	return cases
}

// purgeable are the snapshots but for the newest, and the logs that it does not need.
func (im *image) purgeable() (old []string) {
	zxid := func(file string) (z int64) {
		fmt.Sscanf(filepath.Ext(file), ".%x", &z)
		return z
	}
	var snapshots, logs []string
	for file := range im.files {
		switch im.fileKind(file) {
		case "snapshot":
			snapshots = append(snapshots, file)
		case "log":
			logs = append(logs, file)
		}
	}
	byZxid := func(a, b string) int { return cmp.Compare(zxid(a), zxid(b)) }
	slices.SortFunc(snapshots, byZxid)
	slices.SortFunc(logs, byZxid)
	newest := zxid(snapshots[len(snapshots)-1])
	for i, log := range logs {
		if i+1 < len(logs) && zxid(logs[i+1]) <= newest {
			old = append(old, log)
		}
	}
	return append(old, snapshots[:len(snapshots)-1]...)
}

// run runs the case on a copy of the image. If the damage changes nothing, ok is false.
func (im *image) run(c byteCase, temp string, seed uint64) (o outcome, ok bool, err error) {
	dir, err := os.MkdirTemp(temp, "left-")
	if err != nil {
		return o, false, err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if err := copyTree(im.dir, data); err != nil {
		return o, false, err
	}
	if c.variant != all {
		if err := os.RemoveAll(filepath.Join(data, store)); err != nil {
			return o, false, err
		}
	}
	if c.variant == purged {
		for _, file := range im.purgeable() {
			if err := os.Remove(filepath.Join(data, file)); err != nil {
				return o, false, err
			}
		}
	}
	ok, err = c.do(data, rand.New(rand.NewPCG(seed, 0x666c6970)))
	if err != nil || !ok {
		return o, false, err
	}
	name := filepath.Base(c.file)
	if c.damage == missing {
		name = "" // no server can know the name of a snapshot that is not there
	}
	return verify(im.kind, data, name, im.work.clone(), im.kind.Name == "quoll" && seed%3 == 0), true, nil
}

func otherRegions(size int64) []region {
	if size < 8 {
		return []region{{"content", 0, size}}
	}
	return []region{{"beginning", 0, 8}, {"middle", 8, size - 8}, {"end", size - 8, size}}
}

// records of a log of which the parts are told apart.
func logRegions(b []byte) (list []region, err error) {
	type record struct{ at, length int64 }
	var records []record
	at := int64(16)
	for at+12 <= int64(len(b)) {
		n := int64(int32(binary.BigEndian.Uint32(b[at+8:])))
		if n == 0 {
			break
		}
		if n < 32 || at+12+n+1 > int64(len(b)) || b[at+12+n] != 'B' {
			return nil, fmt.Errorf("offset %d is no record of %d bytes", at, n)
		}
		records = append(records, record{at, n})
		at += 12 + n + 1
	}
	add := func(name string, from, to int64) { list = append(list, region{name, from, to}) }
	add("magic", 0, 4)
	add("version", 4, 8)
	add("dbid", 8, 16)
	parts := func(which string, r record) {
		e := r.at + 12
		add(which+" record: checksum, high half", r.at, r.at+4)
		add(which+" record: checksum", r.at+4, r.at+8)
		add(which+" record: length", r.at+8, e)
		add(which+" record: header, session and cxid", e, e+12)
		add(which+" record: header, zxid", e+12, e+20)
		add(which+" record: header, time", e+20, e+28)
		add(which+" record: header, type", e+28, e+32)
		if r.length > 44 {
			add(which+" record: body", e+32, e+r.length-12)
			add(which+" record: digest", e+r.length-12, e+r.length)
		}
		add(which+" record: end mark", e+r.length, e+r.length+1)
	}
	if len(records) == 0 {
		return list, nil
	}
	if len(records) > 2 {
		parts("first", records[0])
		parts("middle", records[len(records)/2])
	}
	parts("last", records[len(records)-1])
	if at+24 < int64(len(b)) {
		add("padding, its beginning", at, at+24)
		add("padding", at+24, int64(len(b)))
	}
	return list, nil
}

func snapshotRegions(b []byte) (list []region, err error) {
	add := func(name string, from, to int64) { list = append(list, region{name, from, to}) }
	add("magic", 0, 4)
	add("version", 4, 8)
	add("dbid", 8, 16)
	at := int64(16)
	number := func() int64 {
		at += 4
		return int64(int32(binary.BigEndian.Uint32(b[at-4:])))
	}
	skip := func(n int64) { at += max(n, 0) }
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("offset %d: %v", at, r)
		}
	}()
	from := at
	n := number()
	add("session count", from, at)
	from = at
	at += 12 * n
	add("sessions", from, at)
	from = at
	n = number()
	add("ACL count", from, at)
	from = at
	for range n {
		at += 8
		for range number() {
			at += 4
			skip(number())
			skip(number())
		}
	}
	add("ACL lists", from, at)
	type node struct{ path, data, acl, stat, end int64 }
	var nodes []node
	for {
		var o node
		o.path = at
		length := number()
		if length == 1 && b[at] == '/' {
			at = o.path
			break
		}
		skip(length)
		o.data = at
		skip(number())
		o.acl = at
		at += 8
		o.stat = at
		at += 60
		o.end = at
		nodes = append(nodes, o)
	}
	for i, which := range []string{"first", "middle", "last"} {
		o := nodes[i*(len(nodes)-1)/2]
		add(which+" node: path", o.path, o.data)
		add(which+" node: data", o.data, o.acl)
		add(which+" node: ACL number", o.acl, o.stat)
		add(which+" node: stat", o.stat, o.end)
	}
	for _, part := range []struct {
		name string
		size int64
	}{{"end of tree", 5}, {"seal 1", 13}, {"digest block", 20}, {"seal 2", 13}, {"last zxid", 8}, {"seal 3", 13}} {
		if at+part.size > int64(len(b)) {
			break
		}
		add(part.name, at, at+part.size)
		at += part.size
	}
	return list, nil
}
