package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quoll/compat/peer"
)

// scripts is every recorded script.
func scripts(t *testing.T) []string {
	paths, err := filepath.Glob("../../testdata/golden/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	return paths
}

// TestJava proves that the recordings are what the real server answers.
func TestJava(t *testing.T) {
	peer.RequireJVM(t)
	for _, path := range scripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			s, err := readScript(path)
			if err != nil {
				t.Fatal(err)
			}
			server := peer.Java(t, peer.Options{Config: s.config(), Flags: s.flags()})
			if err := checkScript(server.Addr(), s, "java"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFormat checks that a script is printed as it was read.
func TestFormat(t *testing.T) {
	for _, path := range scripts(t) {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := readScript(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(s.format()); got != string(want) {
			t.Errorf("%s is printed as\n%s", path, got)
		}
	}
}
