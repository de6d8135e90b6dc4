package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"quoll"
	"quoll/config"
	"quoll/ensemble"
	"quoll/tracing"
	"quoll/txnlog"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "explain and check configuration files",
		Description: "Example:\n" +
			"   quoll config check /etc/zookeeper/conf/zoo.cfg",
		Subcommands: []*cli.Command{{
			Name:      "check",
			Usage:     "say what each line of zoo.cfg does, which have no effect and which are a risk, and whether a server starts with it",
			ArgsUsage: "zoo.cfg",
			Description: "SERVER_JVMFLAGS, JVMFLAGS and the variables of OpenTelemetry are taken into account, as `quoll server` does, and all that a start reads before it listens is read: myid, the dynamic file, key\n" +
				"stores and their passwords, the JAAS file, krb5.conf. The data directories are looked at, but not their files: `quoll snapshot verify` and `quoll log verify` read those.\n" +
				"Run it as the user of the server. With --ensemble the other members are asked for what should be the same everywhere: by the four-letter word conf, which\n" +
				"their whitelists have to allow, and at the AdminServer, where it is; for TLS the client's properties say which stores to use, as with zkCli.sh. Secrets are not\n" +
				"shown. Nothing is changed.\n" +
				"Exit codes: 0 a server starts with it, 1 members differ or cannot be asked, 2 it does not start, or wrong arguments, 3 unusable data directory.\n\n" +
				"Examples:\n" +
				"   quoll config check /etc/zookeeper/conf/zoo.cfg\n" +
				"   sudo -u zookeeper quoll config check --ensemble /etc/zookeeper/conf/zoo.cfg",
			Flags:  []cli.Flag{&cli.BoolFlag{Name: "ensemble", Usage: "compare with the running members"}, clientFlag()},
			Action: configCheck,
		}},
		Action: unknownSubcommand,
	}
}

func configCheck(ctx *cli.Context) error {
	if ctx.NArg() != 1 {
		return usage("one zoo.cfg is needed")
	}
	src := config.Sources{File: ctx.Args().First(), Env: os.Getenv}
	settings, err := config.Explain(src)
	if err != nil {
		return failure{exitInvocation, err}
	}
	out := ctx.App.Writer
	for _, s := range settings {
		fmt.Fprintf(out, "%s: %s=%s\n", s.Origin, s.Key, s.Value)
		if s.Row == nil {
			fmt.Fprintf(out, "    NO EFFECT: %s\n", cmp.Or(s.Hint, "no part of the server reads this key"))
			continue
		}
		fmt.Fprintf(out, "    %s\n", s.Row.Doc)
		if usual := cmp.Or(s.Row.DefaultNote, s.Row.Default); usual != "" {
			fmt.Fprintf(out, "    Default: %s\n", usual)
		}
		if s.Row.Unit != "" {
			fmt.Fprintf(out, "    Unit: %s\n", s.Row.Unit)
		}
		if s.Row.Status == config.Accepted {
			fmt.Fprintln(out, "    There is nothing to do for it here.")
		}
	}
	cfg, warnings, err := config.Load(src)
	explainTracing(out, err == nil && !cfg.TracingEnabled)
	for _, w := range warnings {
		fmt.Fprintf(out, "WARNING: %s\n", w)
	}
	if err != nil {
		return startFailure(err)
	}
	for _, r := range cfg.Risks() {
		fmt.Fprintf(out, "RISK: %s\n", r)
	}
	lookAtFiles(out, cfg, settings)
	if err := quoll.Check(cfg, slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutTime}))); err != nil {
		return startFailure(err)
	}
	if cfg.TracingEnabled {
		if err := tracing.Check(); err != nil {
			return failure{exitInvocation, err}
		}
	}
	if ctx.Bool("ensemble") {
		return compareMembers(ctx, cfg)
	}
	return nil
}

// explainTracing says what the variables of OpenTelemetry do.
func explainTracing(out io.Writer, off bool) {
	for _, v := range tracing.Explain() {
		fmt.Fprintf(out, "environment: %s=%s\n", v.Name, v.Value)
		switch {
		case v.Doc == "":
			fmt.Fprintf(out, "    NO EFFECT: %s\n", cmp.Or(v.Hint, "no part of the server reads this variable"))
			continue
		case off:
			fmt.Fprintln(out, "    NO EFFECT: tracing.enabled is false")
		}
		fmt.Fprintf(out, "    %s\n", v.Doc)
		if v.Default != "" {
			fmt.Fprintf(out, "    Default: %s\n", v.Default)
		}
	}
}

// withoutTime leaves the time out of a line of the log.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// scarce is the room on a disk, in bytes, below which an operator should act: a server writes no data with less than 32 MiB.
const scarce = 1 << 30

// lookAtFiles says what is wrong around the files and keeps no server from starting.
func lookAtFiles(out io.Writer, cfg *config.Config, settings []config.Explanation) {
	secret := func(s config.Explanation) bool { return s.Row != nil && s.Row.Secret() }
	if info, err := os.Stat(cfg.File); err == nil && info.Mode()&0o004 != 0 && slices.ContainsFunc(settings, secret) {
		fmt.Fprintf(out, "RISK: %s: everybody on this machine may read the secrets in it (%v)\n", cfg.File, info.Mode())
	}
	for _, dir := range slices.Compact([]string{cfg.DataDir, cfg.DataLogDir}) {
		if free, known := txnlog.FreeBytes(dir); known && free < scarce {
			fmt.Fprintf(out, "RISK: %s: the disk has %d MiB left; below 32 MiB a server takes no writes\n", dir, free>>20)
		}
	}
	if os.Geteuid() == 0 {
		fmt.Fprintln(out, "HINT: root may read and write everything; run this as the user of the server to see whether that one may")
	}
}

// compareMembers asks the other members for their configuration.
func compareMembers(ctx *cli.Context, cfg *config.Config) error {
	out := ctx.App.Writer
	if !cfg.Distributed {
		fmt.Fprintln(out, "This server stands alone: there are no members to ask.")
		return nil
	}
	access, err := readAccess(ctx)
	if err != nil {
		return err
	}
	differs := false
	for i := range cfg.Ensemble.Servers {
		s := &cfg.Ensemble.Servers[i]
		if s.ID == cfg.MyID {
			continue
		}
		address := memberAddress(s, cfg.ClientPort)
		if access.OverTLS && cfg.SecureClientPort > 0 && len(s.Quorum) > 0 { // the line has no port for TLS
			address = net.JoinHostPort(s.Quorum[0].Host, strconv.Itoa(cfg.SecureClientPort))
		}
		name := fmt.Sprintf("server.%d (%s)", s.ID, address)
		answer, err := askWord(ctx.Context, access.Dial, address, "conf")
		conf := parseConf(answer)
		if err == nil && conf["tickTime"] == "" {
			err = fmt.Errorf("%s", cmp.Or(strings.TrimSpace(answer), "no answer"))
		}
		if err != nil {
			differs = true
			fmt.Fprintf(out, "%s cannot be asked: %v\n", name, err)
			continue
		}
		properties, err := askProperties(ctx.Context, cfg, s)
		if err != nil {
			fmt.Fprintf(out, "%s tells at the word conf alone, and most settings are not there: %v\n", name, err)
		}
		same := true
		for _, d := range differences(cfg, conf, properties) {
			same, differs = false, true
			fmt.Fprintf(out, "%s has %s %s, this file %s%s\n", name, d.key, d.there, d.here, d.why)
		}
		if same {
			fmt.Fprintf(out, "%s has the same settings\n", name)
		}
	}
	if differs {
		return failure{code: exitError}
	}
	return nil
}

// difference is a setting that another member has otherwise.
type difference struct{ key, there, here, why string }

// differences compares the settings that members should have in common: those that the word conf tells, and those that are system properties, if these are known.
func differences(cfg *config.Config, conf map[string]string, properties map[string]string) (all []difference) {
	if own := membership(cfg.Ensemble.String()); conf["membership"] != own {
		all = append(all, difference{"membership", conf["membership"], own, ""})
	}
	there := config.FromProperties(properties)
	for _, section := range config.Sections() {
		for i := range section.Keys {
			k := &section.Keys[i]
			if k.Agree == "" {
				continue
			}
			here, why := k.Text(cfg), ": "+k.Agree
			told, inConf := conf[k.Name]
			switch {
			case inConf && told != here:
				all = append(all, difference{k.Name, told, here, why})
			case inConf, properties == nil, k.Where == config.FileOnly, k.Secret() && properties["zookeeper."+k.Name] == config.Masked:
			case !k.Equal(cfg, there):
				all = append(all, difference{k.Name, k.Text(there), here, why})
			}
		}
	}
	return all
}

// askProperties asks the AdminServer of a member, which is expected where this server has its own, for its system properties: all that is not a setting of zoo.cfg alone.
func askProperties(ctx context.Context, cfg *config.Config, s *ensemble.Server) (map[string]string, error) {
	switch {
	case !cfg.AdminEnabled:
		return nil, errors.New("admin.enableServer is false")
	case cfg.AdminForceHTTPS:
		return nil, errors.New("the AdminServers speak HTTPS only")
	case len(s.Quorum) == 0:
		return nil, errors.New("its line has no host")
	}
	base := url.URL{Scheme: "http", Host: net.JoinHostPort(s.Quorum[0].Host, strconv.Itoa(cfg.AdminPort)), Path: cfg.AdminCommandURL}
	var who struct {
		ID *int64 `json:"server_id"`
	}
	if err := askAdmin(ctx, base.JoinPath("configuration").String(), &who); err != nil {
		return nil, err
	}
	if who.ID == nil || *who.ID != s.ID {
		return nil, fmt.Errorf("the AdminServer at %s is that of another server", base.Host)
	}
	var all map[string]any
	if err := askAdmin(ctx, base.JoinPath("system_properties").String(), &all); err != nil {
		return nil, err
	}
	properties := map[string]string{}
	for name, value := range all {
		if text, ok := value.(string); ok {
			properties[name] = text
		}
	}
	return properties, nil
}

// askAdmin decodes what an AdminServer answers.
func askAdmin(ctx context.Context, address string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, wordTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", address, err)
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
