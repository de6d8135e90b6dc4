package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// survey is what the machine is. dir is where the servers have their data.
func survey(dir string) (e environment, err error) {
	sync, err := syncTime(dir)
	if err != nil {
		return e, err
	}
	cpu, err := keyed("/proc/cpuinfo", "model name", ":")
	if err != nil {
		cpu = runtime.GOARCH
	}
	memory, err := keyed("/proc/meminfo", "MemTotal", ":")
	return environment{
		Began: time.Now().UTC(), Processors: runtime.NumCPU(), Processor: cpu, Memory: memory, Kernel: line1("uname", "-sr"),
		Disk: fileSystem(dir), SyncMicros: micros(sync), JVM: line1("java", "-version"), Go: runtime.Version(), Commit: line1("git", "describe", "--always", "--dirty"),
		Config: settings, Versions: make(map[string]string),
	}, err
}

// line1 is the first line that a command writes, or why there is none.
func line1(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// fileSystem is the type and device of the file system that dir is on, and whether the kernel takes it for a rotating disk.
func fileSystem(dir string) string {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return err.Error()
	}
	// The numbers of a device as Linux packs them.
	device := fmt.Sprintf("%d:%d", st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err.Error()
	}
	kind := "unknown file system"
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		if f, g := strings.Fields(before), strings.Fields(after); len(f) > 2 && f[2] == device && len(g) > 1 {
			kind = g[0] + " on " + g[1]
		}
	}
	for _, queue := range []string{"queue", "../queue"} {
		if b, err := os.ReadFile(filepath.Join("/sys/dev/block", device, queue, "rotational")); err == nil {
			return kind + ", rotational=" + strings.TrimSpace(string(b))
		}
	}
	return kind
}

// syncTime is the median time of an append of 4 KB and its fsync in dir.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var all []time.Duration
	for range 200 {
		began := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(began))
	}
	return middle(all), nil
}
