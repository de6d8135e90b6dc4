package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells the service manager what this process is doing (sd_notify), if one has asked for it.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager cannot be told", "state", state, "error", err)
	}
}

// watchdog tells the service manager that the server at addr answers, as often as it wants to hear that, until ctx ends. A member that looks for a quorum answers too: to
// restart it would help nobody. Without a plain client port it says that the process lives.
func watchdog(ctx context.Context, log *slog.Logger, addr string) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		state := daemon.SdNotifyWatchdog
		if addr != "" {
			answer, err := askWord(ctx, dialPlain, addr, "srvr")
			if err != nil {
				log.Warn("the server does not answer itself", "address", addr, "error", err)
				continue
			}
			mode := modeLine(answer)
			if mode == "" {
				mode = "Looking for a quorum"
			}
			state += "\nSTATUS=" + mode
		}
		notify(log, state)
	}
}
