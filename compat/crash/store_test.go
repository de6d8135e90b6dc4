package crash

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// storeDir is where quoll keeps, below the data directory, what it can do without: the store, and how far the log is durable.
const storeDir = "quoll"

// spoil does something to the store while no server runs: whatever that is, the next server starts and has lost nothing.
func (r *run) spoil() {
	dir := filepath.Join(r.dir, storeDir)
	var files []string
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	if len(files) == 0 {
		return
	}
	file := files[r.rng.IntN(len(files))]
	data, err := os.ReadFile(file)
	r.must(err)
	replace := func(dir, by string) {
		r.must(os.RemoveAll(dir))
		r.must(exec.Command("cp", "-r", by, dir).Run())
	}
	keep := func() {
		copied := filepath.Join(r.TempDir(), "quoll")
		replace(copied, dir)
		r.stores = append(r.stores, copied)
	}
	overwrite := func(data []byte) { r.must(os.WriteFile(file, data, 0o644)) }
	store := filepath.Join(dir, "store")
	acts := []struct {
		name string
		do   func()
	}{
		{"removed with all that is quoll's", func() { r.must(os.RemoveAll(dir)) }},
		{"removed", func() { r.must(os.RemoveAll(store)) }},
		{"kept for later", keep},
		{"left behind", func() {
			if len(r.stores) == 0 {
				keep()
				return
			}
			replace(store, filepath.Join(r.stores[r.rng.IntN(len(r.stores))], "store"))
		}},
		{"left behind with all that is quoll's", func() {
			if len(r.stores) == 0 {
				keep()
				return
			}
			replace(dir, r.stores[r.rng.IntN(len(r.stores))])
		}},
		{"that of another directory", func() { replace(dir, r.foreignStore()) }},
		{"a file removed", func() { r.must(os.Remove(file)) }},
		{"a file cut", func() { overwrite(data[:r.rng.IntN(len(data)+1)]) }},
		{"a bit flipped", func() {
			if len(data) > 0 {
				data[r.rng.IntN(len(data))] ^= 1 << r.rng.IntN(8)
			}
			overwrite(data)
		}},
		{"a file of noise", func() {
			for i := range data {
				data[i] = byte(r.rng.Uint32())
			}
			overwrite(data)
		}},
		{"a file in its place", func() {
			r.must(os.RemoveAll(store))
			r.must(os.WriteFile(store, []byte("not a directory"), 0o644))
		}},
	}
	act := acts[r.rng.IntN(len(acts))]
	act.do()
	r.spoilt[act.name]++
}

// aboutSpoiltStore reports whether the server complains of what was done to its store, now or some time ago.
func (r *run) aboutSpoiltStore(line string) bool {
	return len(r.spoilt) > 0 && (strings.Contains(line, `msg="store failed"`) || strings.Contains(line, `msg="the store `) || strings.Contains(line, `msg="there is no store`))
}

// foreignStore is the store of a server with another directory.
func (r *run) foreignStore() string {
	if r.foreign == "" {
		s, err := peer.StartQuoll(peer.Options{Dir: filepath.Join(r.TempDir(), "foreign"), Work: r.TempDir(), Config: []string{superConfig}})
		r.must(err)
		defer s.Close()
		ctx, cancel := r.ctx()
		defer cancel()
		c := r.connect(s.Addr())
		for i := range 100 {
			_, err := c.Create(ctx, fmt.Sprintf("/foreign%d", i), make([]byte, 1000), client.OpenACL, jute.ModePersistent)
			r.must(err)
		}
		c.Abandon()
		r.must(s.Stop())
		r.foreign = filepath.Join(s.Dir(), storeDir)
	}
	return r.foreign
}

// rebuilt finds in quoll's log why it has built its store anew.
var rebuilt = regexp.MustCompile(`msg="the store (?:cannot be opened and )?is built anew from ZooKeeper's files" .*?(?:reason|error)="?([^"\n]*)`)

// reasons are the times that quoll's log says that it has built its store anew, with why but for names and numbers.
func reasons(log string) (all []string) {
	for _, m := range rebuilt.FindAllStringSubmatch(log, -1) {
		all = append(all, names.ReplaceAllString(m[1], "*"))
	}
	return all
}

var names = regexp.MustCompile(`/\S+|-?\b(0x[0-9a-f]+|\d+)\b`)
