//go:build unix

package compat

import (
	"path/filepath"
	"testing"

	"quoll/compat/peer"
)

// TestCClient compiles cclient/main.c, a program over the API of the C client, and runs it.
func TestCClient(t *testing.T) {
	cc := tool(t, "cc")
	dir, err := peer.Path("c-client")
	peer.Check(t, err)
	libs, err := filepath.Glob(filepath.Join(dir, "usr/lib/*/libzookeeper_mt.a"))
	if err != nil || len(libs) != 1 {
		t.Fatalf("%s has %d libraries, %v", dir, len(libs), err)
	}
	exe := filepath.Join(t.TempDir(), "main")
	_, stderr, err := run(t, "cclient", nil, cc, "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-I", filepath.Join(dir, "usr/include"),
		"-o", exe, "main.c", libs[0], "-lpthread", "-lm")
	if err != nil {
		t.Fatalf("cc: %v\n%s", err, stderr)
	}
	opts := peer.Options{Config: []string{"extendedTypesEnabled=true", "tickTime=1000"}}
	peer.Each(t, opts, func(t *testing.T, s *peer.Server) {
		stdout, stderr, err := run(t, "", nil, exe, s.Addr())
		report(t, lines(stdout), 14, stderr, err)
	})
}
