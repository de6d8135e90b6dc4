package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// docs/tools.md shows times in UTC; before all tests, since timers of servers that a test left read time.Local.
func init() { time.Local = time.UTC }

const storage = "../../testdata/storage/"

// TestTools runs every command of docs/tools.md, in their order, on a copy of files that Apache ZooKeeper wrote, and compares what is printed.
func TestTools(t *testing.T) {
	text, err := os.ReadFile("../../docs/tools.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{
		"g1-log.1": "data/version-2/log.1", "g2-snapshot.0": "data/version-2/snapshot.0", "g3-snapshot.1a": "data/version-2/snapshot.1a",
	} {
		b, err := os.ReadFile(storage + from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, to), b)
		if from == "g1-log.1" {
			b[0x2c1] ^= 1 // in the checksum of zxid 8
			write(t, filepath.Join(dir, "damaged/version-2/log.1"), b)
		} else if from == "g2-snapshot.0" {
			write(t, filepath.Join(dir, "damaged/version-2/snapshot.0"), b)
		}
	}
	t.Chdir(dir)
	status := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			line, want, _ := strings.Cut(strings.TrimSuffix(step, "\n")+"\n", "\n")
			if line == "echo $?" {
				if got := fmt.Sprintln(status); got != want {
					t.Errorf("exit code %s, not %s", got, want)
				}
				continue
			}
			var got string
			got, status = runLine(line)
			if !matches(got, want) {
				t.Errorf("$ %s\n%s\ninstead of\n%s", line, got, want)
			}
		}
	}
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, content, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// runLine runs one line: a command, and perhaps the input that it gets.
func runLine(line string) (out string, status int) {
	line, input, _ := strings.Cut(line, " <<< ")
	var args []string
	for _, word := range regexp.MustCompile(`'[^']*'|\S+`).FindAllString(line, -1) {
		args = append(args, strings.Trim(word, "'"))
	}
	var b bytes.Buffer
	err := run(args, strings.NewReader(input+"\n"), &b)
	if err != nil {
		f := failure{exitError, err}
		errors.As(err, &f)
		status = f.code
		if f.err != nil {
			fmt.Fprintln(&b, "quoll:", f.err)
		}
	}
	return b.String(), status
}

// matches compares output with what is wanted, where a line of three dots stands for any lines, and a time stamp for any other.
func matches(got, want string) bool {
	pattern := regexp.QuoteMeta(strings.TrimSuffix(want, "\n"))
	pattern = strings.ReplaceAll(strings.ReplaceAll(pattern, "…\n", "(?s:.*)"), "…", "(?s:.*)")
	pattern = strings.ReplaceAll(pattern, "20261121T202518Z", `\d{8}T\d{6}Z`)
	pattern = strings.ReplaceAll(pattern, "1795292718057", `\d+`)
	return regexp.MustCompile("^" + pattern + "$").MatchString(strings.TrimSuffix(got, "\n"))
}
