package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"quoll/client"
	"quoll/ensemble"
	"quoll/jute"
	"quoll/shell"
)

func joinCommand() *cli.Command {
	return &cli.Command{
		Name:      "join",
		Usage:     "make a running server a member of an ensemble, quoll or Apache ZooKeeper",
		ArgsUsage: "server.N=host:port:port[:role];[host:]port",
		Description: `The new server must be running with a zoo.cfg that has the lines of the present members and its own. It first becomes an observer; a
participant it becomes when it has caught up, so that the ensemble is never waiting for it. The servers need reconfigEnabled=true, and whoever asks write
permission for /zookeeper/config, which the superuser has. Asked again after an error, it goes on where it was. For TLS and SASL the client's
properties name stores and a JAAS file, those of zkCli.sh: -D settings in CLIENT_JVMFLAGS, or a file.

Exit codes: 0 the server is a member, 1 it is not, 2 wrong arguments.

Examples:
   quoll join --server one:2181 --auth digest:super:secret 'server.4=four:2888:3888;2181'
   QUOLL_AUTH=digest:super:secret quoll join --server one:2181 'server.5=five:2888:3888:observer;2181'
   quoll join --client-configuration client.properties --server one:2281 'server.4=four:2888:3888;2181'`,
		Flags: append(memberFlags(), &cli.StringFlag{Name: "at", Usage: "`host:port` at which the new server is asked how far it is; by default where its line has clients, and with TLS, which its line has no port for, its host at the port of --server"}),
		Action: func(ctx *cli.Context) error {
			if ctx.Args().Len() != 1 {
				return failure{exitInvocation, errors.New("the line of one server is needed: server.N=host:port:port[:role];[host:]port")}
			}
			want, err := parseMember(ctx.Args().First())
			if err != nil {
				return failure{exitInvocation, fmt.Errorf("%s is not of the form server.N=host:port:port[:role];[host:]port: %w", ctx.Args().First(), err)}
			}
			return withMembers(ctx, func(run context.Context, m *members, overTLS bool) error {
				return m.join(run, want, whereToLook(want, ctx.String("at"), ctx.String("server"), overTLS))
			})
		},
	}
}

func leaveCommand() *cli.Command {
	return &cli.Command{
		Name:      "leave",
		Usage:     "remove a server from an ensemble, quoll or Apache ZooKeeper",
		ArgsUsage: "[N]",
		Description: `Removes server N, running or not. If it leads, another server takes over. A running server goes on without a vote until it is stopped.
The servers need reconfigEnabled=true, and whoever asks write permission for /zookeeper/config, which the superuser has. For TLS and SASL the client's
properties name stores and a JAAS file, those of zkCli.sh: -D settings in CLIENT_JVMFLAGS, or a file.

Exit codes: 0 the server is no member, 1 it still is, 2 wrong arguments.

Examples:
   quoll leave --server one:2181 --auth digest:super:secret 4
   quoll leave --server one:2181 --auth digest:super:secret --above 3`,
		Flags: append(memberFlags(), &cli.Int64Flag{Name: "above", Usage: "remove every server whose id is larger than `N`, one after the other"}),
		Action: func(ctx *cli.Context) error {
			next := func(c *ensemble.Config) move { return nextLeaveAbove(c, ctx.Int64("above")) }
			if !ctx.IsSet("above") {
				sid, err := strconv.ParseInt(ctx.Args().First(), 10, 64)
				if ctx.Args().Len() != 1 || err != nil {
					return failure{exitInvocation, errors.New("the id of one server is needed")}
				}
				next = func(c *ensemble.Config) move { return nextLeave(c, sid) }
			} else if ctx.Args().Present() {
				return failure{exitInvocation, errors.New("--above or the id of one server, not both")}
			}
			return withMembers(ctx, func(run context.Context, m *members, _ bool) error {
				return m.change(run, func(c *ensemble.Config) (move, error) { return next(c), nil })
			})
		},
	}
}

func memberFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "server", Value: "localhost:2181", Usage: "`host:port,...` of servers of the ensemble"},
		&cli.StringFlag{Name: "auth", EnvVars: []string{"QUOLL_AUTH"}, Usage: "`scheme:data` to authenticate with; others can see it on the command line, but not in the environment"},
		&cli.DurationFlag{Name: "timeout", Value: 5 * time.Minute, Usage: "how long it may take in all"},
		clientFlag(),
	}
}

// parseMember parses a server line with its key.
func parseMember(line string) (*ensemble.Server, error) {
	key, value, _ := strings.Cut(line, "=")
	number, ok := strings.CutPrefix(key, "server.")
	if !ok {
		return nil, errors.New("it does not begin with server")
	}
	sid, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is not a server id", number)
	}
	s, err := ensemble.ParseServer(sid, value)
	if err == nil && s.Client == nil {
		err = errors.New("it has no client port")
	}
	return s, err
}

// move is what to do next on the way to a membership.
type move struct {
	// done says that there is nothing to do, wait that the new server must be looked at again; else there is a reconfig.
	done, wait bool
	// joining and leaving are the lists of the reconfig, and version is that of the config that it changes.
	joining, leaving string
	version          int64
	// why says it for the operator.
	why string
}

// nextJoin is the next move that makes want a member of c. seen is the new server as it was a moment ago, and target the zxid that it has caught up with. It depends on
// nothing else, so that a join that was interrupted, or met another reconfig, goes on.
//
// A new voter comes in two steps, since a voter that is behind counts for the size of a quorum and not for the quorum. Where there is but one voter, the two of
// the new config must both be in step: the new server comes in one step then, after it has followed without being a member.
func nextJoin(c *ensemble.Config, want *ensemble.Server, seen sighting, target int64) (move, error) {
	line := func(role ensemble.Role) string {
		s := *want
		s.Role = role
		return fmt.Sprintf("server.%d=%v", s.ID, &s)
	}
	reconfig := func(role ensemble.Role) move {
		return move{joining: line(role), version: c.Version, why: fmt.Sprintf("server %d becomes %s %v", want.ID, map[ensemble.Role]string{ensemble.Participant: "a", ensemble.Observer: "an"}[role], role)}
	}
	caughtUp := seen.mode != "" && seen.zxid >= target
	wait := move{wait: true, why: fmt.Sprintf("server %d does not serve yet", want.ID)}
	if seen.mode != "" {
		wait.why = fmt.Sprintf("server %d is %s at zxid 0x%x and has to come to 0x%x", want.ID, seen.mode, seen.zxid, target)
	}
	own := c.Server(want.ID)
	if own != nil {
		same := *want
		same.Role = own.Role
		if !own.Equal(&same) {
			return move{}, fmt.Errorf("there is a server %d already, at %v; it has to leave first", want.ID, own)
		}
	}
	switch {
	case own == nil && want.Role == ensemble.Participant && len(c.Voters()) == 1:
		if caughtUp {
			return reconfig(ensemble.Participant), nil
		}
		return wait, nil
	case own == nil:
		return reconfig(ensemble.Observer), nil
	case own.Role != want.Role:
		if caughtUp || want.Role == ensemble.Observer {
			return reconfig(want.Role), nil
		}
		return wait, nil
	case !caughtUp, (seen.mode == "observer") != (want.Role == ensemble.Observer):
		return wait, nil
	}
	return move{done: true, why: fmt.Sprintf("server %d is a member: %s", want.ID, seen.mode)}, nil
}

// nextLeave is the next move that makes a server no member of c.
func nextLeave(c *ensemble.Config, sid int64) move {
	if c.Server(sid) == nil {
		return move{done: true, why: fmt.Sprintf("server %d is no member", sid)}
	}
	return move{leaving: strconv.FormatInt(sid, 10), version: c.Version, why: fmt.Sprintf("server %d leaves", sid)}
}

// nextLeaveAbove is the next move on the way to a config without ids above a limit, of which the largest goes first.
func nextLeaveAbove(c *ensemble.Config, limit int64) move {
	if n := len(c.Servers); n > 0 && c.Servers[n-1].ID > limit {
		return nextLeave(c, c.Servers[n-1].ID)
	}
	return move{done: true, why: fmt.Sprintf("no server above %d is a member", limit)}
}

// members changes the members of an ensemble.
type members struct {
	zk    *client.Client
	look  func(ctx context.Context, address string) sighting
	pause time.Duration // before something is tried or looked at again
	out   io.Writer
	said  string
}

// withMembers connects to the ensemble and changes it.
func withMembers(ctx *cli.Context, change func(run context.Context, m *members, overTLS bool) error) error {
	run, cancel := context.WithTimeout(ctx.Context, ctx.Duration("timeout"))
	defer cancel()
	run, stop := untilStopped(run)
	defer stop()
	access, err := readAccess(ctx)
	if err != nil {
		return err
	}
	begin, without, err := access.SASL()
	if err != nil {
		return failure{exitInvocation, err}
	}
	if without != nil { // JVMFLAGS may be those of a server
		say(os.Stderr, "quoll: no authentication with SASL: %v", without)
	}
	zk, err := client.Connect(run, ctx.String("server"), client.Options{Dial: access.Dial, SASL: begin})
	if err != nil {
		return err
	}
	defer zk.Close()
	if auth := ctx.String("auth"); auth != "" {
		scheme, data, ok := strings.Cut(auth, ":")
		if !ok {
			return failure{exitInvocation, errors.New("--auth is not of the form scheme:data")}
		}
		if err := zk.AddAuth(run, scheme, []byte(data)); err != nil {
			return err
		}
	}
	look := func(run context.Context, address string) sighting { return look(run, access.Dial, address) }
	return change(run, &members{zk: zk, look: look, pause: 200 * time.Millisecond, out: ctx.App.Writer}, access.OverTLS)
}

// whereToLook is the address at which a new server is asked: what the operator says, else where its line has clients. With TLS the line has no port that is known to
// take it, but servers of an ensemble mostly have the same ports.
func whereToLook(want *ensemble.Server, said, servers string, overTLS bool) string {
	if said != "" {
		return said
	}
	address := *want.Client
	if address.Wildcard() || overTLS {
		address.Host = want.Quorum[0].Host
	}
	if overTLS {
		first, _, _ := strings.Cut(servers, ",")
		_, text, _ := net.SplitHostPort(first)
		if port, err := strconv.Atoi(text); err == nil {
			address.Port = port
		}
	}
	return address.String()
}

// join makes want a member, which is asked at address.
func (m *members) join(ctx context.Context, want *ensemble.Server, address string) error {
	target := int64(0) // the newest transaction when the present step began
	return m.change(ctx, func(c *ensemble.Config) (move, error) {
		if target == 0 {
			target = max(c.Version, m.zk.LastZxid())
		}
		next, err := nextJoin(c, want, m.look(ctx, address), target)
		if !next.wait {
			target = 0
		}
		return next, err
	})
}

// change makes moves until one is the last. It reads the config before each, so what others change meanwhile, and answers that were lost, do no harm.
func (m *members) change(ctx context.Context, next func(*ensemble.Config) (move, error)) error {
	for {
		err := m.step(ctx, next)
		var again repeat
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &again):
			return err
		}
		if again.why != m.said {
			m.said = again.why
			fmt.Fprintln(m.out, again.why)
		}
		timer := time.NewTimer(m.pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w", again.why, context.Cause(ctx))
		}
	}
}

// repeat says that there is more to do.
type repeat struct{ why string }

func (r repeat) Error() string { return r.why }

// step makes one move. Its error is a repeat if there is another.
func (m *members) step(ctx context.Context, next func(*ensemble.Config) (move, error)) error {
	text, _, err := m.zk.GetConfig(ctx, false)
	if lost(err) {
		return repeat{"waiting for a connection"}
	}
	if err != nil {
		return err
	}
	c, err := ensemble.Parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", client.ConfigPath, err)
	}
	if len(c.Servers) == 0 {
		return fmt.Errorf("%s names no servers: this server stands alone", client.ConfigPath)
	}
	mv, err := next(c)
	switch {
	case err != nil:
		return err
	case mv.wait:
		return repeat{mv.why}
	case mv.done:
		fmt.Fprintln(m.out, mv.why)
		return nil
	}
	fmt.Fprintln(m.out, mv.why)
	m.said = mv.why
	_, _, err = m.zk.Reconfig(ctx, mv.joining, mv.leaving, "", mv.version)
	var code jute.Code
	errors.As(err, &code)
	switch {
	case err == nil, lost(err):
		return repeat{mv.why}
	case code == jute.ErrBadVersion, code == jute.ErrReconfigInProgress:
		return repeat{"another reconfig is under way"}
	case code == jute.ErrNewConfigNoQuorum:
		return fmt.Errorf("%w: too few participants of the new config are in step with the leader; start those that are down and try again", err)
	case code == jute.ErrReconfigDisabled:
		return fmt.Errorf("%w: the servers need reconfigEnabled=true in zoo.cfg", err)
	case code == jute.ErrNoAuth:
		return fmt.Errorf("%w: only the superuser and who has write permission for %s may do this; see --auth", err, client.ConfigPath)
	case code == jute.ErrBadArguments:
		return fmt.Errorf("%w: the server's log says why; an ensemble cannot be left with fewer than two participants, unless standaloneEnabled=false, and one with groups only be changed as a whole", err)
	}
	return err
}

// lost reports whether an error says that the connection broke, so that it is not known what happened.
func lost(err error) bool { return errors.Is(err, jute.ErrConnectionLoss) }

// look asks a server what it is (four-letter word srvr). Whatever goes wrong, it does not serve.
func look(ctx context.Context, dial shell.Dial, address string) sighting {
	text, err := askWord(ctx, dial, address, "srvr")
	if err != nil {
		return sighting{}
	}
	seen := parseSrvr(text)
	if seen.mode == "read-only" || seen.mode == "standalone" {
		seen.mode = "" // it is in no ensemble
	}
	return seen
}
