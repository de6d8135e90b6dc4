package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat, the same on all systems that Go runs on.
const tick = time.Second / 100

// cpuTime is the user and system time that a process has used so far; 0 for pid 0.
func cpuTime(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	name := fmt.Sprintf("/proc/%d/stat", pid)
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses, which may contain anything.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s has %d fields after the name", name, len(fields))
	}
	var sum time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// residentBytes is the physical memory that a process has.
func residentBytes(pid int) (int64, error) { return memoryOf(pid, "VmRSS") }

// memoryOf is a figure of /proc/PID/status in bytes.
func memoryOf(pid int, key string) (int64, error) {
	name := fmt.Sprintf("/proc/%d/status", pid)
	text, err := keyed(name, key, ":")
	if err != nil {
		return 0, err
	}
	kb, err := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return kb << 10, nil
}

// keyed is the value of the first line "key SEPARATOR value" of a file.
func keyed(name, key, separator string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v), nil
		}
	}
	return "", fmt.Errorf("%s has no line %s", name, key)
}

// trimLogs deletes old transaction logs and snapshots of a server that runs, so that a long comparison does not fill the disk.
// The newest three snapshots stay, of which Java may still be writing one, and the logs behind them.
func trimLogs(dir string) error {
	files := func(kind string) ([]string, error) {
		names, err := filepath.Glob(filepath.Join(dir, "version-2", kind))
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(zxidOf(a), zxidOf(b)) })
		return names, err
	}
	snapshots, err := files("snapshot.*")
	if err != nil {
		return err
	}
	logs, err := files("log.*")
	if err != nil || len(snapshots) == 0 {
		return err
	}
	old := snapshots[:max(0, len(snapshots)-3)]
	oldest := zxidOf(snapshots[len(old)])
	for i, name := range logs {
		if i+1 < len(logs) && zxidOf(logs[i+1]) <= oldest {
			old = append(old[:len(old):len(old)], name)
		}
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// zxidOf is the zxid in the name of a log or snapshot.
func zxidOf(name string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(filepath.Ext(name), "."), 16, 64)
	return n
}
