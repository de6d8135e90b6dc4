package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"

	"quoll"
	"quoll/config"
	"quoll/tracing"
	"quoll/txnlog"
)

func serverCommand() *cli.Command {
	return &cli.Command{
		Name:      "server",
		Usage:     "run a server",
		ArgsUsage: "[zoo.cfg | port dataDir [tickTime [maxClientCnxns]]]",
		Description: `Runs a server from zoo.cfg, standalone or as a member of the ensemble that it names, or without a file on port 2181 with its data in ./quoll-data.
Settings of the form -Dname=value are taken out of SERVER_JVMFLAGS and JVMFLAGS, as zkServer.sh passes them to Java.
SIGTERM and SIGINT stop it; sessions live on.

Exit codes: 0 stopped, 1 unexpected error or a database that cannot be loaded, 2 wrong arguments or configuration, 3 unusable data directory.

Examples:
   quoll server
   quoll server /etc/zookeeper/conf/zoo.cfg
   quoll server --client-port 2182 --data-dir /var/lib/quoll --set maxClientCnxns=0`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "client-port", Usage: "client port, in place of the file's"},
			&cli.StringFlag{Name: "data-dir", Usage: "data directory, in place of the file's"},
			&cli.StringSliceFlag{Name: "set", Usage: "`key=value` of zoo.cfg; wins over file and environment; may be given several times"},
		},
		Action: runServer,
	}
}

func runServer(ctx *cli.Context) error {
	debug.SetTraceback("crash") // a crash ends with a signal: exit code 2 is for who is not to be started again
	src := config.Sources{Args: ctx.Args().Slice(), Env: os.Getenv, Set: ctx.StringSlice("set")}
	if ctx.IsSet("client-port") {
		src.Set = append(src.Set, "clientPort="+strconv.Itoa(ctx.Int("client-port")))
	}
	if ctx.IsSet("data-dir") {
		src.Set = append(src.Set, "dataDir="+ctx.String("data-dir"))
	}
	cfg, warnings, err := config.Load(src)
	if err != nil {
		return startFailure(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	if alone {
		relaxTimers(log)
	}
	for _, w := range warnings {
		log.Warn(w.String())
	}
	loaded := tuneCollector()
	signals, stop := untilStopped(context.Background())
	defer stop()
	options := quoll.Options{Config: cfg, Logger: log}
	if cfg.TracingEnabled {
		traces, err := tracing.Start(buildVersion(), log)
		if err != nil {
			return failure{exitInvocation, err}
		}
		defer traces.Close()
		options.Served = traces.Served
	}
	s, err := quoll.Start(options)
	if err != nil {
		return startFailure(err)
	}
	loaded()
	if c, err := listenControl(cfg.DataDir, s, log); err != nil {
		log.Warn("no control socket: `quoll snapshot write` cannot ask this server", "error", err)
	} else {
		defer c.Close()
	}
	if addr := s.Addr(); addr != "" {
		log.Info("serving clients", "address", addr)
	}
	if addr := s.SecureAddr(); addr != "" {
		log.Info("serving clients with TLS", "address", addr)
	}
	// A member listens before it has a quorum, and is ready then: the first of three would else wait for the others, which are started after it.
	notify(log, daemon.SdNotifyReady+"\nSTATUS=Listening for clients")
	go watchdog(signals, log, s.Addr)
	select {
	case <-signals.Done():
		log.Info("stopping")
	case <-s.Done():
	}
	notify(log, daemon.SdNotifyStopping)
	if err := s.Close(); err != nil {
		return failure{exitError, fmt.Errorf("the server stopped: %w", err)}
	}
	return nil
}

// startFailure is the exit code of a server that cannot start.
func startFailure(err error) failure {
	switch {
	case errors.As(err, new(*config.Error)):
		return failure{exitInvocation, err}
	case errors.Is(err, txnlog.ErrDataDir):
		return failure{exitDataDir, err}
	}
	return failure{exitError, err}
}
