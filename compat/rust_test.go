//go:build unix

package compat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quoll/compat/peer"
)

const (
	oldServer = "expects an event with the zxid -1 that only servers before 3.9 send"
	needsTLS  = "quoll has no TLS so far"
)

var rustSkips = skips{
	"test_zookeeper_old_server::case_1_version_3_3": oldServer,
	"test_zookeeper_old_server::case_2_version_3_4": oldServer,
	"test_readonly_plaintext":                       needsEnsemble,
	"test_readonly_tls":                             needsEnsemble,
	"test_update_ensemble":                          needsEnsemble,
	"test_tls":                                      needsTLS,
}

// rustRaces are tests that fail now and then by their own doing, the faster the server the more often. One of
// several tries has to pass.
var rustRaces = []string{
	// Wants to be told that there is no watch any more by the server, but a client that has the watch's event
	// before it looks at the request to remove the watch knows that itself, and sends nothing.
	"test_watcher_remove_no_watcher",
}

// TestRustSuite runs the own test-suite of the Rust client zookeeper-client. Its servers are
// processes in place of containers, see rustsuite/testcontainers-standin.
func TestRustSuite(t *testing.T) {
	t.Parallel()
	exe := rustSuite(t)
	listing, stderr, err := run(t, "", nil, exe, "--list")
	if err != nil {
		t.Fatal(err, stderr)
	}
	var names []string
	for line := range strings.Lines(listing) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), ": test"); ok {
			names = append(names, name)
		}
	}
	tests, skip := rustSkips.split(t, names)
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			path, env := launcher(t, kind.Name)
			// The tests that do not ask for one of them would throw a coin between plaintext and TLS.
			env = append(env, "COMPAT_ZKSERVER="+path, "ZK_TEST_TLS=false", "TMPDIR="+t.TempDir(), "RUST_LOG=off", "RUST_BACKTRACE=0")
			args := []string{"--exact", "--test-threads=4"}
			for _, name := range skip {
				args = append(args, "--skip", name)
			}
			stdout, stderr, err := run(t, "", env, exe, args...)
			results := rustResults(stdout)
			if retryRaces(t, results, env, exe) {
				err = nil
			}
			report(t, results, len(tests), stdout+stderr, err)
		})
	}
}

// retryRaces runs the tests of rustRaces that failed again, and reports whether they were all that failed and
// have passed now.
func retryRaces(t *testing.T, results []result, env []string, exe string) (passed bool) {
	for i := range results {
		r := &results[i]
		if !r.failed {
			continue
		}
		for tries := 0; r.failed && tries < 20 && slices.Contains(rustRaces, r.name); tries++ {
			_, _, err := run(t, "", env, exe, "--exact", r.name)
			r.failed = err != nil
		}
		if r.failed {
			return false
		}
		passed = true
	}
	return passed
}

// rustSuite compiles the suite with the stand-in of this tree and is the path of its program.
func rustSuite(t *testing.T) string {
	t.Helper()
	cargo := tool(t, "cargo")
	dir, err := peer.Path("rust")
	peer.Check(t, err)
	standin := filepath.Join(dir, "standin")
	for _, name := range []string{"Cargo.toml", "src/lib.rs"} {
		update(t, filepath.Join("rustsuite/testcontainers-standin", name), filepath.Join(standin, name))
	}
	stdout, stderr, err := run(t, filepath.Join(dir, "crate"), nil, cargo, "test", "--offline", "--no-run",
		"--features", "tls,sasl-digest-md5", "--test", "zookeeper", "--message-format=json")
	if err != nil {
		t.Fatalf("cargo: %v\n%s", err, stderr)
	}
	for line := range strings.Lines(stdout) {
		var message struct {
			Target     struct{ Name string }
			Profile    struct{ Test bool }
			Executable string
		}
		if json.Unmarshal([]byte(line), &message) == nil && message.Profile.Test && message.Target.Name == "zookeeper" {
			return message.Executable
		}
	}
	t.Fatalf("cargo names no program of the suite:\n%s", stdout)
	return ""
}

// update copies a file unless the copy is the same already: cargo compiles what is newer.
func update(t *testing.T, from, to string) {
	t.Helper()
	want, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err == nil && string(got) == string(want) {
		return
	}
	if err := os.WriteFile(to, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

var (
	rustLine    = regexp.MustCompile(`(?m)^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED)$`)
	rustSection = regexp.MustCompile(`(?m)^---- (\S+)(?: - should panic)? stdout ----\n`)
)

// rustResults reads the output of Rust's test harness.
func rustResults(stdout string) (results []result) {
	output := make(map[string]string)
	sections := rustSection.FindAllStringSubmatchIndex(stdout, -1)
	for i, at := range sections {
		end := len(stdout)
		if i+1 < len(sections) {
			end = sections[i+1][0]
		}
		output[stdout[at[2]:at[3]]] = lastLines(stdout[at[1]:end], 60)
	}
	for _, m := range rustLine.FindAllStringSubmatch(stdout, -1) {
		results = append(results, result{m[1], m[2] == "FAILED", output[m[1]]})
	}
	return results
}
