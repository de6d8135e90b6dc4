package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"quoll/shell"
)

// notify tells the service manager what this process is doing (sd_notify), if one has asked for it.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager cannot be told", "state", state, "error", err)
	}
}

// watchdog tells the service manager that the server, which addr says where to find, answers, as often as it wants to hear that, until ctx ends. A member that looks for a quorum
// answers too: to restart it would help nobody. So does a server that has as many clients as it may have, and closes the connection. Without a plain client port it says that the
// process lives.
func watchdog(ctx context.Context, log *slog.Logger, addr func() string) {
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
		if at := addr(); at != "" {
			answer, err := askWord(ctx, shell.DialPlain, at, "srvr")
			mode := parseSrvr(answer).mode
			switch {
			case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, syscall.EPIPE):
				mode = "No more clients are let in"
			case err != nil:
				log.Warn("the server does not answer itself", "address", at, "error", err)
				continue
			case mode == "":
				mode = "Looking for a quorum"
			default:
				mode = "Mode: " + mode
			}
			state += "\nSTATUS=" + mode
		}
		notify(log, state)
	}
}
