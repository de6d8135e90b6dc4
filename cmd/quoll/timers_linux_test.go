package main

import (
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestRelaxTimers: the threads of a server that has begun anew may be woken later, those of the runtime as well; and it begins anew once.
func TestRelaxTimers(t *testing.T) {
	const child = "QUOLL_TEST_RELAX_TIMERS"
	if os.Getenv(child) != "" {
		relaxTimers(slog.Default())
		slack, err := os.ReadFile("/proc/self/timerslack_ns")
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.Write(slack)
		os.Exit(0)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRelaxTimers$")
	cmd.Env = append(os.Environ(), child+"=1", "GOMAXPROCS=2") // with one it would not begin anew
	out, err := cmd.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != strconv.Itoa(int(timerSlack)) {
		t.Errorf("%q: %v", got, err)
	}
}
