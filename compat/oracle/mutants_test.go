package oracle

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quoll/compat/peer"
	"quoll/compat/script"
)

// mutant is a mistake that could be in quoll: one piece of a file replaced by another.
type mutant struct {
	name, file, old, new string
}

// mutants is what the oracle must be able to find.
var mutants = []mutant{
	{"sequence numbers count the children there are", "server/prepare.go", `fmt.Sprintf("%010d", parent.stat.Cversion)`, `fmt.Sprintf("%010d", parent.children)`},
	{"a failed multi keeps what it had prepared", "server/prepare.go", `		pr.undo(digest)`, `		_ = digest`},
	{"setData looks at the version before the permission", "server/prepare.go",
		`		code = pr.permitted(path, &node, jute.PermWrite, r)`,
		`		if pr.look(treePath(path), &node) && !versionOK(o.Version, node.stat.Version) {
			return jute.ErrBadVersion
		}
		code = pr.permitted(path, &node, jute.PermWrite, r)`},
	{"setACL counts as a change", "tree/tree.go", `		n.aversion = txn.Version`, `		n.aversion, n.mzxid = txn.Version, txn.Zxid`},
	{"a delete is no change of the parent", "tree/tree.go", `	if zxid > parent.pzxid {`, `	if zxid < 0 {`},
	{"a recursive watch goes by the letter", "server/watch.go", `		if path[i] != '/' {`, `		if i < 0 {`},
	{"a watch for children stays", "server/watch.go", `modes & table & (dataStandard | childStandard)`, `modes & table & dataStandard`},
	{"exists sets no watch on what is missing", "server/read.go", `		return jute.ErrNoAuth
	}
	if watch {`, `		return jute.ErrNoAuth
	}
	if watch && n != nil {`},
	{"getACL shows digests to readers", "server/read.go", `masked := !q.s.auth.allowed(acl, jute.PermAdmin, q.ids)`, `masked := !q.s.auth.allowed(acl, jute.PermAdmin|jute.PermRead, q.ids)`},
	{"a restart forgets the versions of ACLs", "tree/load.go", `aversion: s.Aversion,`, `aversion: 0,`},
}

// TestMutants looks for each mutant in at most QUOLL_ORACLE_OPS operations (50,000), and says how many it took.
func TestMutants(t *testing.T) {
	peer.RequireJVM(t)
	seed := seedSetting(t)
	some := mutants
	if os.Getenv("QUOLL_ORACLE_MUTANTS") != "all" {
		i := int(seed) % len(mutants)
		some = mutants[i : i+1]
		t.Log("one of them; QUOLL_ORACLE_MUTANTS=all takes all")
	}
	most := int(peer.Setting(t, "QUOLL_ORACLE_OPS", 50000))
	for _, m := range some {
		t.Run(m.name, func(t *testing.T) {
			binary := m.build(t)
			done := 0
			for i := 0; done < most; i++ {
				f := flavours[i%len(flavours)]
				f.binary = binary
				round := newRound(rand.New(rand.NewPCG(seed, uint64(i))), &f, most/len(flavours))
				d, err := play(&f, round, func(program []*script.Step, _ [][]string) { done += count(program) })
				if err != nil {
					t.Fatal(err)
				}
				if d != nil {
					done += count(round[d.program])
					t.Logf("found within %d operations, in flavour %q:\n%s", done, f.name, d.text)
					return
				}
			}
			t.Errorf("not found in %d operations", done)
		})
	}
}

// build is a binary of quoll with the mistake. The tree stays as it is.
func (m *mutant) build(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, m.file)
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		t.Fatalf("%s has this %d times, not once: %s", m.file, n, m.old)
	}
	dir := t.TempDir()
	changed, overlay, binary := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "quoll")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{changed: strings.Replace(string(source), m.old, m.new, 1), overlay: string(replace)} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "./cmd/quoll")
	cmd.Dir = root
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, msg)
	}
	return binary
}
