package zab

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPure holds the package to what its comment says: no goroutine, lock, clock, file or map, and only leaves below it.
func TestPure(t *testing.T) {
	imports := []string{"errors", "fmt", "math", "sort", "time", "quoll/ensemble", "quoll/jute", "quoll/zab/wire"}
	clock := []string{"Now", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Since", "Until", "Tick"}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			if path, _ := strconv.Unquote(imp.Path.Value); !slices.Contains(imports, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			bad := ""
			switch n := n.(type) {
			case *ast.GoStmt:
				bad = "a goroutine"
			case *ast.ChanType, *ast.SelectStmt:
				bad = "a channel"
			case *ast.MapType:
				bad = "a map"
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
					bad = "the clock"
				}
			}
			if bad != "" {
				t.Errorf("%v: %s", set.Position(n.Pos()), bad)
			}
			return true
		})
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	leaves := []string{"quoll/zab", "quoll/zab/wire", "quoll/ensemble", "quoll/jute", "quoll/config/properties"}
	for _, path := range strings.Fields(string(out)) {
		if !slices.Contains(leaves, path) {
			t.Errorf("%s is below zab", path)
		}
	}
}

// TestDeterministic runs a seed twice: all that happens must be the same.
func TestDeterministic(t *testing.T) {
	run := func() []string {
		w := newWorld(t, 7, members(t, 0, 1, 2, 3), 1, 2, 3)
		w.start()
		for range 50 {
			w.run(w.ms(60))
			w.propose(3)
			if w.rng.IntN(10) == 0 {
				h := w.hosts[w.rng.IntN(3)]
				if h.node != nil {
					h.crash()
				}
				w.start()
			}
		}
		return w.trace
	}
	if a, b := run(), run(); !slices.Equal(a, b) {
		t.Error("two runs differ")
	}
}
