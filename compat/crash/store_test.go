package crash

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// storeDir is where quoll keeps, below the data directory, what it can do without.
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
	keep := func() {
		copied := filepath.Join(r.TempDir(), "store")
		r.must(exec.Command("cp", "-r", dir, copied).Run())
		r.stores = append(r.stores, copied)
	}
	overwrite := func(data []byte) { r.must(os.WriteFile(file, data, 0o644)) }
	acts := []struct {
		name string
		do   func()
	}{
		{"removed", func() { r.must(os.RemoveAll(dir)) }},
		{"kept for later", keep},
		{"left behind", func() {
			if len(r.stores) == 0 {
				keep()
				return
			}
			r.must(os.RemoveAll(dir))
			r.must(exec.Command("cp", "-r", r.stores[r.rng.IntN(len(r.stores))], dir).Run())
		}},
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
			r.must(os.RemoveAll(dir))
			r.must(os.WriteFile(dir, []byte("not a directory"), 0o644))
		}},
	}
	act := acts[r.rng.IntN(len(acts))]
	act.do()
	r.spoilt[act.name]++
}
