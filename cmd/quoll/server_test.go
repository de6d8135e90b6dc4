package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServerFails has the exit codes of servers that cannot start, which are ZooKeeper's, and `quoll config check` has the same, and writes nothing.
func TestServerFails(t *testing.T) {
	const member = "tickTime=100\ninitLimit=5\nsyncLimit=5\nreconfigEnabled=true\ndataDir=$/data\nserver.1=127.0.0.1:1:2;127.0.0.1:0\nserver.2=127.0.0.1:3:4;127.0.0.1:0\n"
	for name, tt := range map[string]struct {
		cfg   string
		files []string // a directory ends in a slash, and is not empty
		code  int
		want  string
	}{
		"no such key's value":                  {"tickTime=x\n", nil, exitInvocation, "tickTime"},
		"a copy of zoo.cfg that cannot be":     {member, []string{"data/myid", "zoo.cfg.bak/"}, exitInvocation, "no copy of"},
		"a dynamic file that is not there":     {"tickTime=100\ninitLimit=5\nsyncLimit=5\nreconfigEnabled=true\ndataDir=$/data\ndynamicConfigFile=$/none\n", []string{"data/myid"}, exitInvocation, "none: no such file"},
		"a key store that is none":             {"clientPort=0\nsecureClientPort=0\ndataDir=$/data\nssl.keyStore.location=$/store\n", []string{"store"}, exitInvocation, "ssl.keyStore.location"},
		"a password file that is not there":    {"clientPort=0\nsecureClientPort=0\ndataDir=$/data\nssl.keyStore.location=$/store\nssl.keyStore.passwordPath=$/none\n", []string{"store"}, exitInvocation, "none: no such file"},
		"a key store of the AdminServer":       {"clientPort=0\nadmin.forceHttps=true\ndataDir=$/data\nssl.quorum.keyStore.location=$/none\n", nil, exitInvocation, "AdminServer"},
		"a key store between servers":          {member + "sslQuorum=true\nssl.quorum.keyStore.location=$/none\n", []string{"data/myid"}, exitInvocation, "ssl.quorum.keyStore.location"},
		"a JAAS file between servers":          {member + "quorum.auth.enableSasl=true\n", []string{"data/myid"}, exitInvocation, "quorum.auth.enableSasl"},
		"rules of Kerberos":                    {"clientPort=0\ndataDir=$/data\nsecurity.auth_to_local=RULE\n", nil, exitInvocation, "security.auth_to_local"},
		"an audit log that cannot be":          {"clientPort=0\ndataDir=$/data\naudit.enable=true\naudit.file=$/none/log\n", nil, exitInvocation, "audit.file"},
		"no port":                              {"dataDir=$/data\nadmin.enableServer=false\n", nil, exitInvocation, "no clientPort"},
		"logs in the place of snapshots":       {"clientPort=0\ndataDir=$/data\ndataLogDir=$/log\n", []string{"data/version-2/log.1", "log/version-2/log.1"}, exitDataDir, "has log files"},
		"a data directory that cannot be made": {"clientPort=0\ndataDir=$/file/data\n", []string{"file"}, exitDataDir, "unusable data directory"},
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
			before := listing(t, dir)
			if err := run([]string{"quoll", "config", "check", cfg}, nil, io.Discard); (!errors.As(err, &f) || f.code != tt.code || !strings.Contains(err.Error(), tt.want)) && !strings.HasSuffix(strings.Join(tt.files, ""), "bak/") {
				t.Errorf("config check: %v is not exit code %d with %q", err, tt.code, tt.want)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("config check has changed\n%sinto\n%s", before, after)
			}
			if err := run([]string{"quoll", "server", cfg}, nil, io.Discard); !errors.As(err, &f) || f.code != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v is not exit code %d with %q", err, tt.code, tt.want)
			}
		})
	}
}

// listing is what there is in a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSetKeepsCommas gives --set a value that is a list.
func TestSetKeepsCommas(t *testing.T) {
	err := run([]string{"quoll", "server", "--set", "4lw.commands.whitelist=srvr,mntr", "--set", "tickTime=x"}, nil, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "tickTime") || strings.Contains(err.Error(), "mntr") {
		t.Errorf("%v", err)
	}
}
