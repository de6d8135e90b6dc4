package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"quoll/config"
	"quoll/ensemble"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "explain and check configuration files",
		Subcommands: []*cli.Command{{
			Name:      "check",
			Usage:     "say what each line of zoo.cfg does, which have no effect and which are a risk, and whether a server starts with it",
			ArgsUsage: "zoo.cfg",
			Description: "SERVER_JVMFLAGS and JVMFLAGS are taken into account, as `quoll server` does. With --ensemble the other members are asked (four-letter word conf, which\n" +
				"their whitelists have to allow) for what must be the same everywhere. Secrets are not shown. Nothing is changed.\n" +
				"Exit codes: 0 a server starts with it, 1 members differ or cannot be asked, 2 it does not start, or wrong arguments.\n\n" +
				"Examples:\n" +
				"   quoll config check /etc/zookeeper/conf/zoo.cfg\n" +
				"   quoll config check --ensemble /etc/zookeeper/conf/zoo.cfg",
			Flags:  []cli.Flag{&cli.BoolFlag{Name: "ensemble", Usage: "compare with the running members"}},
			Action: configCheck,
		}},
		Action: unknownSubcommand,
	}
}

func configCheck(ctx *cli.Context) error {
	if ctx.NArg() != 1 {
		return usage("one zoo.cfg is needed")
	}
	file := ctx.Args().First()
	lines, err := config.Explain(file)
	if err != nil {
		return failure{exitInvocation, err}
	}
	out := ctx.App.Writer
	for _, l := range lines {
		fmt.Fprintf(out, "%s: %s=%s\n", l.Origin, l.Key, l.Value)
		switch {
		case l.Row == nil:
			fmt.Fprintf(out, "    NO EFFECT: %s\n", cmp.Or(l.Hint, "no part of the server reads this key"))
		default:
			fmt.Fprintf(out, "    %s\n", l.Row.Doc)
			if usual := cmp.Or(l.Row.DefaultNote, l.Row.Default); usual != "" {
				fmt.Fprintf(out, "    Default: %s\n", usual)
			}
			if l.Row.Unit != "" {
				fmt.Fprintf(out, "    Unit: %s\n", l.Row.Unit)
			}
			if l.Row.Status == config.Accepted {
				fmt.Fprintln(out, "    There is nothing to do for it here.")
			}
		}
		if l.Risk != "" {
			fmt.Fprintf(out, "    RISK: %s\n", l.Risk)
		}
	}
	cfg, warnings, err := config.Load(config.Sources{File: file, Env: os.Getenv})
	for _, w := range warnings {
		fmt.Fprintf(out, "WARNING: %s\n", w)
	}
	if err != nil {
		return failure{exitInvocation, err}
	}
	if !cfg.IsSet("autopurge.purgeInterval") {
		fmt.Fprintln(out, "HINT: autopurge.purgeInterval is not set; old snapshots and logs are never removed unless something else does it")
	}
	if ctx.Bool("ensemble") {
		return compareMembers(ctx, cfg)
	}
	return nil
}

// sameEverywhere are the keys of conf that members should have in common.
var sameEverywhere = []string{"tickTime", "maxClientCnxns", "minSessionTimeout", "maxSessionTimeout", "initLimit", "syncLimit", "membership"}

// compareMembers asks the other members for their configuration.
func compareMembers(ctx *cli.Context, cfg *config.Config) error {
	out := ctx.App.Writer
	if !cfg.Distributed {
		fmt.Fprintln(out, "This server stands alone: there are no members to ask.")
		return nil
	}
	ms := func(d int64) string { return strconv.FormatInt(d, 10) }
	own := map[string]string{
		"tickTime": ms(cfg.TickTime.Milliseconds()), "maxClientCnxns": strconv.Itoa(cfg.MaxClientCnxns),
		"minSessionTimeout": ms(cfg.MinSessionTimeout.Milliseconds()), "maxSessionTimeout": ms(cfg.MaxSessionTimeout.Milliseconds()),
		"initLimit": strconv.Itoa(cfg.InitLimit), "syncLimit": strconv.Itoa(cfg.SyncLimit), "membership": membership(cfg.Ensemble.String()),
	}
	differs := false
	for i := range cfg.Ensemble.Servers {
		s := &cfg.Ensemble.Servers[i]
		if s.ID == cfg.MyID {
			continue
		}
		address := memberAddress(s, cfg.ClientPort)
		answer, err := askWord(context.WithoutCancel(ctx.Context), dialPlain, address, "conf")
		there := parseConf(answer)
		if err == nil && there["tickTime"] == "" {
			err = fmt.Errorf("%s", cmp.Or(strings.TrimSpace(answer), "no answer"))
		}
		if err != nil {
			differs = true
			fmt.Fprintf(out, "server.%d (%s) cannot be asked: %v\n", s.ID, address, err)
			continue
		}
		same := true
		for _, key := range sameEverywhere {
			if there[key] != own[key] {
				same, differs = false, true
				fmt.Fprintf(out, "server.%d (%s) has %s %s, this file %s\n", s.ID, address, key, there[key], own[key])
			}
		}
		if same {
			fmt.Fprintf(out, "server.%d (%s) has the same settings\n", s.ID, address)
		}
	}
	if differs {
		return failure{code: exitError}
	}
	return nil
}

// memberAddress is where a member takes clients: what its line says, else the port that this server has too.
func memberAddress(s *ensemble.Server, port int) string {
	host := ""
	if len(s.Quorum) > 0 {
		host = s.Quorum[0].Host
	}
	if s.Client != nil {
		port = s.Client.Port
		if !s.Client.Wildcard() {
			host = s.Client.Host
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// parseConf reads the answer to conf: lines key=value, and behind "membership: " the members.
func parseConf(answer string) map[string]string {
	values := map[string]string{}
	settings, members, _ := strings.Cut(answer, "membership:")
	for line := range strings.Lines(settings) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
	}
	values["membership"] = membership(members)
	return values
}

// membership are the lines of the members, without the version and the client parts, which a file need not have.
func membership(text string) string {
	lines := map[string]bool{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), ";")
		if strings.HasPrefix(line, "server.") || strings.HasPrefix(line, "group.") || strings.HasPrefix(line, "weight.") {
			lines[line] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(lines)), " ")
}
