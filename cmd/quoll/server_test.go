package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServerFails has the exit codes of servers that cannot start, which are ZooKeeper's.
func TestServerFails(t *testing.T) {
	const member = "tickTime=100\ninitLimit=5\nsyncLimit=5\nreconfigEnabled=true\ndataDir=$/data\nserver.1=127.0.0.1:1:1;127.0.0.1:0\nserver.2=127.0.0.1:2:2;127.0.0.1:0\n"
	for name, tt := range map[string]struct {
		cfg   string
		files []string // a directory ends in a slash, and is not empty
		code  int
	}{
		"no such key's value":                  {"tickTime=x\n", nil, exitInvocation},
		"a copy of zoo.cfg that cannot be":     {member, []string{"data/myid", "zoo.cfg.bak/"}, exitInvocation},
		"a dynamic file that is not there":     {"tickTime=100\ninitLimit=5\nsyncLimit=5\nreconfigEnabled=true\ndataDir=$/data\ndynamicConfigFile=$/none\n", []string{"data/myid"}, exitInvocation},
		"a data directory that cannot be made": {"clientPort=0\ndataDir=$/file/data\n", []string{"file"}, exitDataDir},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range tt.files {
				path := filepath.Join(dir, name)
				if strings.HasSuffix(name, "/") {
					path = filepath.Join(path, "in the way")
				}
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cfg := filepath.Join(dir, "zoo.cfg")
			if err := os.WriteFile(cfg, []byte(strings.ReplaceAll(tt.cfg, "$", dir)), 0o644); err != nil {
				t.Fatal(err)
			}
			var f failure
			if err := run([]string{"quoll", "server", cfg}, nil, io.Discard); !errors.As(err, &f) || f.code != tt.code {
				t.Errorf("%v is not exit code %d", err, tt.code)
			}
		})
	}
}
