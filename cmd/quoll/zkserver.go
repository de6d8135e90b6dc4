package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"quoll/server"
	"quoll/shell"
)

// zkServerCommand is zkServer.sh. It has no help of its own: whoever calls it knows the script.
func zkServerCommand() *cli.Command {
	return &cli.Command{
		Name: "zkServer.sh", Usage: "the arguments and the environment of the script zkServer.sh", Hidden: true, SkipFlagParsing: true, HideHelp: true,
		Action: zkServer,
	}
}

// zkServer runs one verb. Texts and exit codes are the script's, where something may depend on them.
func zkServer(ctx *cli.Context) error {
	s, args, err := newScript("zkServer.sh", ctx.Args().Slice())
	if err != nil {
		return err
	}
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	if len(args) > 1 {
		s.choose(args[1])
	}
	say(os.Stderr, "JMX disabled: there is no JVM")
	say(os.Stderr, "Using config: %s", s.cfg)
	out := ctx.App.Writer
	z := &zkServerRun{script: s, settings: s.settings()}
	dataDir := z.settings["dataDir"]
	if s.env["ZOO_DATADIR_AUTOCREATE_DISABLE"] != "" {
		for _, dir := range []struct{ what, path string }{{"data", dataDir}, {"txnlog", z.settings["dataLogDir"]}} {
			if (dir.path != "" || dir.what == "data") && !isDir(filepath.Join(dir.path, "version-2")) {
				fmt.Fprintf(out, "ZooKeeper %s directory is missing at %s fix the path or run initialize\n", dir.what, dir.path)
				return failure{code: exitError}
			}
		}
	}
	z.pidFile = cmp.Or(s.env["ZOOPIDFILE"], filepath.Join(dataDir, "zookeeper_server.pid"))
	host, _ := os.Hostname()
	z.logFile = filepath.Join(cmp.Or(s.env["ZOO_LOG_DIR"], filepath.Join(s.prefix, "logs")),
		fmt.Sprintf("zookeeper-%s-server-%s.out", s.env["USER"], cmp.Or(s.env["HOSTNAME"], host)))

	switch verb {
	case "start":
		return z.start(ctx)
	case "start-foreground":
		return ctx.App.Run([]string{"quoll", "server", s.cfg})
	case "stop":
		return z.stop(ctx, time.Second)
	case "restart":
		if err := z.stop(ctx, restartWait); err != nil {
			return err
		}
		return z.start(ctx)
	case "status":
		return z.status(ctx)
	case "version":
		version, built, _ := strings.Cut(server.FullVersion(), ", built on ")
		number, _, _ := strings.Cut(version, "-")
		fmt.Fprintf(out, "Apache ZooKeeper, version %s %s\n", number, built)
	case "print-cmd":
		binary, err := os.Executable()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "SERVER_JVMFLAGS=%s JVMFLAGS=%s %s server %s > %s 2>&1 < /dev/null\n", quoted(s.env["SERVER_JVMFLAGS"]), quoted(s.env["JVMFLAGS"]),
			quoted(binary), quoted(s.cfg), quoted(z.logFile))
	default:
		say(os.Stderr, "Usage: %s [--config <conf-dir>] {start|start-foreground|stop|version|restart|status|print-cmd}", s.path)
	}
	return nil
}

// quoted is a word that a shell takes for s.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// zkServerRun is one run of the script.
type zkServerRun struct {
	*script
	settings         map[string]string // of zoo.cfg
	pidFile, logFile string
}

// startWait is how long a server that was started in the background may need to find out that it cannot run.
const startWait = time.Second

// restartWait is how long a server may take to stop before the next one is started.
const restartWait = time.Minute

func (z *zkServerRun) start(ctx *cli.Context) error {
	out := ctx.App.Writer
	fmt.Fprint(out, "Starting zookeeper ... ")
	if pid := z.pid(); running(pid) {
		fmt.Fprintf(out, "already running as process %d.\n", pid)
		return failure{code: exitError}
	}
	failed := func(text string, err error) error {
		fmt.Fprintln(out, text)
		return failure{exitError, err}
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	for _, file := range []string{z.pidFile, z.logFile} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return failed("FAILED TO START", err)
		}
	}
	log, err := os.OpenFile(z.logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666) // why the one before has ended may be in there
	if err != nil {
		return failed("FAILED TO START", err)
	}
	defer log.Close()
	cmd := exec.Command(binary, "server", z.cfg)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = background()
	if err := cmd.Start(); err != nil {
		return failed("SERVER DID NOT START", err)
	}
	if err := os.WriteFile(z.pidFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
		return failed("FAILED TO WRITE PID", errors.Join(err, cmd.Process.Kill()))
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
		return failed("FAILED TO START", fmt.Errorf("%s says why", z.logFile))
	case <-time.After(startWait):
		fmt.Fprintln(out, "STARTED")
		return nil
	}
}

// pid is the number in the pid file, 0 if there is none.
func (z *zkServerRun) pid() int {
	text, err := os.ReadFile(z.pidFile)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 2 {
		return 0 // never a group of processes, nor init
	}
	return pid
}

// stop ends the server with SIGTERM and waits until it is gone, but not for ever: it may have nobody who collects it.
func (z *zkServerRun) stop(ctx *cli.Context, wait time.Duration) error {
	out := ctx.App.Writer
	fmt.Fprint(out, "Stopping zookeeper ... ")
	if _, err := os.Stat(z.pidFile); err != nil {
		fmt.Fprintf(out, "no zookeeper to stop (could not find file %s)\n", z.pidFile)
		return nil
	}
	pid := z.pid()
	if err := signalTo(pid, syscall.SIGTERM); err != nil {
		say(os.Stderr, "%s: %s names no process that runs", z.path, z.pidFile)
	}
	if err := os.Remove(z.pidFile); err != nil {
		return err
	}
	for end := time.Now().Add(wait); running(pid) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Fprintln(out, "STOPPED")
	return nil
}

// running reports whether there is a process that may be sent signals.
func running(pid int) bool { return signalTo(pid, syscall.Signal(0)) == nil }

func signalTo(pid int, s os.Signal) error {
	if pid == 0 {
		return os.ErrProcessDone
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Signal(s)
}

func (z *zkServerRun) status(ctx *cli.Context) error {
	out := ctx.App.Writer
	p := z.findPort(func(text string) { fmt.Fprintln(out, text) })
	if p.port == "" {
		fmt.Fprintln(out, "Unable to find either secure or unsecure client port in any configs. Terminating.")
		return failure{code: exitError}
	}
	fmt.Fprintf(out, "Client port found: %s. Client address: %s. Client SSL: %t.\n", p.port, p.host, p.secure)
	dial, err := z.dialer(p)
	answer := ""
	if err == nil {
		answer, err = askWord(ctx.Context, dial, net.JoinHostPort(p.host, p.port), "srvr")
	}
	if mode := parseSrvr(answer).mode; mode != "" {
		fmt.Fprintln(out, "Mode:", mode)
		return nil
	}
	if p.secure {
		say(os.Stderr, "The client port is one of TLS: CLIENT_JVMFLAGS has to name the client's stores (-Dzookeeper.ssl.trustStore.location=...): %v", err)
	}
	fmt.Fprintln(out, "Error contacting service. It is probably not running.")
	return failure{code: exitError}
}

// dialer connects to a client port, with the client's TLS settings if need be.
func (z *zkServerRun) dialer(p clientPort) (shell.Dial, error) {
	if !p.secure {
		return shell.DialPlain, nil
	}
	return shell.DialTLS(shell.Flags(func(name string) string { return z.env[name] }), "")
}

// clientPort is where a server is asked.
type clientPort struct {
	host, port string // port is empty if there is none
	secure     bool
}

// findPort looks for the client port: clientPort, the client part of this server's own line in zoo.cfg or in the dynamic file, secureClientPort. It says where it looks next.
func (z *zkServerRun) findPort(say func(string)) clientPort {
	number := func(text string) bool { _, err := strconv.ParseUint(text, 10, 16); return err == nil }
	p := clientPort{host: cmp.Or(z.settings["clientPortAddress"], "localhost"), port: z.settings["clientPort"]}
	if number(p.port) {
		return p
	}
	p.port = ""
	id, _ := os.ReadFile(filepath.Join(z.settings["dataDir"], "myid"))
	if sid := strings.TrimSpace(string(id)); !number(sid) {
		say("myid could not be determined, will not able to locate clientPort in the server configs.")
	} else {
		own := func(settings map[string]string) string {
			_, client, _ := strings.Cut(settings["server."+sid], ";")
			return client
		}
		client := own(z.settings)
		if client == "" {
			say("Client port not found in static config file. Looking in dynamic config file.")
			client = own(fileSettings(z.settings["dynamicConfigFile"]))
		}
		if client == "" {
			say("Client port not found in the server configs")
		} else if host, port, err := net.SplitHostPort(client); err == nil {
			p.host, p.port = host, port
		} else {
			p.port = client
		}
	}
	if p.port != "" {
		return p
	}
	say("Client port not found. Looking for secureClientPort in the static config.")
	return clientPort{host: cmp.Or(z.settings["secureClientPortAddress"], "localhost"), port: z.settings["secureClientPort"], secure: true}
}

// statusCommand says what a server is, for probes.
func statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "ask a server whether it serves, and as what: standalone, leader, follower or observer",
		ArgsUsage: "[zoo.cfg | host:port]",
		Description: "Asks the word srvr, which is always allowed. A member of an ensemble serves while it is in touch with a quorum, so this is the probe that ruok is not:\n" +
			"ruok says that there is a process. The default is localhost:2181; from a zoo.cfg the client port of that server is taken. For TLS the client's properties\n" +
			"say which stores to use, those of zkCli.sh: -D settings in CLIENT_JVMFLAGS, or a file.\n" +
			"Exit codes: 0 it serves, 1 it does not, or read-only, 2 wrong arguments.\n\n" +
			"Examples:\n" +
			"   quoll status\n" +
			"   quoll status /etc/zookeeper/conf/zoo.cfg\n" +
			"   quoll status zoo1:2181\n" +
			"   quoll status --client-configuration client.properties zoo1:2281",
		Flags: []cli.Flag{clientFlag()},
		Action: func(ctx *cli.Context) error {
			if ctx.NArg() > 1 {
				return usage("one zoo.cfg or host:port at most")
			}
			return status(ctx.Context, ctx, cmp.Or(ctx.Args().First(), "localhost:2181"))
		},
	}
}

func status(run context.Context, ctx *cli.Context, where string) error {
	access, err := readAccess(ctx)
	if err != nil {
		return err
	}
	dial, address := access.Dial, where
	if info, err := os.Stat(where); err == nil && info.Mode().IsRegular() {
		p := (&zkServerRun{settings: fileSettings(where)}).findPort(func(string) {})
		if p.port == "" {
			return usage("%s has no client port", where)
		}
		dial = shell.DialPlain
		if p.secure {
			if dial, err = shell.DialTLS(shell.Flags(os.Getenv), ctx.String("client-configuration")); err != nil {
				return err
			}
		}
		address = net.JoinHostPort(p.host, p.port)
	} else if _, _, err := net.SplitHostPort(where); err != nil {
		return usage("%s is neither a file nor host:port", where)
	}
	answer, err := askWord(run, dial, address, "srvr")
	if err != nil {
		return err
	}
	mode := parseSrvr(answer).mode
	if mode == "" {
		fmt.Fprintln(ctx.App.Writer, strings.TrimSpace(answer))
		return failure{code: exitError}
	}
	fmt.Fprintln(ctx.App.Writer, "Mode:", mode)
	if mode == "read-only" {
		return failure{code: exitError}
	}
	return nil
}
