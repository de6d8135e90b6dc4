package server

import (
	"runtime/debug"
	"sync"
	"time"
)

// Version is what quoll tells clients that ask for ZooKeeper's version: monitoring parses it.
const Version = "3.9.5"

// FullVersion returns the version as ZooKeeper prints it, with the commit that the program was built from and its time:
// 3.9.5-<40 hex digits>, built on yyyy-MM-dd HH:mm UTC. A program built outside of a repository has zeros and the start of 1970.
var FullVersion = sync.OnceValue(func() string {
	commit, date := "0000000000000000000000000000000000000000", time.Unix(0, 0)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				if len(setting.Value) == len(commit) {
					commit = setting.Value
				}
			case "vcs.time":
				if t, err := time.Parse(time.RFC3339, setting.Value); err == nil {
					date = t
				}
			}
		}
	}
	return Version + "-" + commit + ", built on " + date.UTC().Format("2006-01-02 15:04 UTC")
})
