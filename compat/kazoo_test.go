//go:build unix

package compat

import (
	"path/filepath"
	"testing"

	"quoll/compat/peer"
)

// TestKazoo runs kazoo/recipes.py, a program over the recipes and the API of the Python client.
func TestKazoo(t *testing.T) {
	python := tool(t, "python3")
	dir, err := peer.Path("kazoo")
	peer.Check(t, err)
	opts := peer.Options{Config: []string{"extendedTypesEnabled=true", "tickTime=1000", "4lw.commands.whitelist=*"}}
	peer.Each(t, opts, func(t *testing.T, s *peer.Server) {
		env := []string{"PYTHONPATH=" + filepath.Join(dir, "lib"), "PYTHONDONTWRITEBYTECODE=1"}
		stdout, stderr, err := run(t, "kazoo", env, python, "recipes.py", s.Addr())
		report(t, lines(stdout), 29, stderr, err)
	})
}
