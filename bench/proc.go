package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
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

// busyTime is what all processors of the machine have done so far but wait.
func busyTime() (sum time.Duration, err error) {
	text, err := keyed("/proc/stat", "cpu", " ")
	if err != nil {
		return 0, err
	}
	for i, f := range strings.Fields(text) {
		const idle, iowait, guest = 3, 4, 8 // guests are in the user time too
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != idle && i != iowait && i < guest {
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// ownCPU is the CPU time of this process, and childrenCPU that of its children that have ended.
func ownCPU() time.Duration      { return usage(syscall.RUSAGE_SELF) }
func childrenCPU() time.Duration { return usage(syscall.RUSAGE_CHILDREN) }

func usage(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err) // who is one of the two above
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// swapped is the number of pages that the machine has written to swap so far.
func swapped() int64 {
	text, _ := keyed("/proc/vmstat", "pswpout", " ")
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

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
