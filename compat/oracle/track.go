package oracle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	zk "quoll/client"
	"quoll/compat/observe"
	"quoll/compat/peer"
	"quoll/compat/script"
	"quoll/inspect"
	"quoll/jute"
	"quoll/tree"
)

// flavour is the settings of a round's servers.
type flavour struct {
	name          string
	config, flags []string
	// serial is where ZooKeeper checks a write against what happens to be applied: no writes are pipelined there.
	serial bool
	// single is where requests may be too large: nothing is pipelined there, since it is a matter of chance how many answers get out before
	// the end of the connection.
	single bool
	binary string // the quoll to test; empty is that of this tree
}

var flavours = []flavour{
	{name: "defaults"},
	{name: "extended types", config: []string{"extendedTypesEnabled=true"}},
	{name: "quotas enforced", config: []string{"enforceQuota=true"}, serial: true},
	{name: "ACLs not checked", flags: []string{"-Dzookeeper.skipACL=yes"}},
	{name: "small frames", flags: []string{"-Djute.maxbuffer=2000"}, single: true},
	{name: "reconfig, extended types", config: []string{"reconfigEnabled=true", "extendedTypesEnabled=true"}},
	{name: "no digests", flags: []string{"-Dzookeeper.digest.enabled=false"}},
	{name: "no lists of ephemerals", flags: []string{"-Dzookeeper.closeSessionTxn.enabled=false"}},
}

// superUser has the digest that all flavours know.
const superUser = "super:secret"

// options are those of any server of a round. Only expire lets a session end, and nothing removes containers.
func (f *flavour) options(dir string) peer.Options {
	return peer.Options{
		Dir: dir, Binary: f.binary,
		Config: append([]string{
			"tickTime=100", "maxSessionTimeout=3600000", "maxClientCnxns=0", "4lw.commands.whitelist=srvr,mntr",
		}, f.config...),
		Flags: append([]string{
			"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dznode.container.checkIntervalMs=1000000000",
			"-Dzookeeper.DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4=",
		}, f.flags...),
	}
}

// track is a data directory with the server that works on it.
type track struct {
	flavour *flavour
	dir     string
	kind    peer.Kind
	mixed   bool         // both kinds have written here
	server  *peer.Server // nil while it is stopped
	player  *script.Player
}

// start starts the server, and a player if there is none.
func (t *track) start() (err error) {
	if t.server, err = t.kind.Start(t.flavour.options(t.dir)); err != nil {
		return err
	}
	if t.player == nil {
		t.player, err = script.NewPlayer(t.server.Addr())
		return err
	}
	t.player.Move(t.server.Addr())
	return nil
}

// sound checks that a ZooKeeper on files that quoll alone wrote finds the digest of each transaction right. Its own it gets wrong itself, for some creates
// (section 4.4 of docs/spec/client-protocol.md).
func (t *track) sound() (map[string]string, error) {
	if t.mixed || t.kind.Name != "java" {
		return nil, nil
	}
	t.mixed = true
	answer, err := t.server.FourLetter("mntr")
	// With a quota that cannot be read ZooKeeper's answer ends before the line.
	if _, count, ok := strings.Cut(answer, "zk_digest_mismatches_count\t"); ok && !strings.HasPrefix(count, "0\n") {
		err = fmt.Errorf("digests of quoll's transactions are wrong:\n%s", answer)
	}
	return nil, err
}

// stop ends the server, at once if killed is set.
func (t *track) stop(killed bool) error {
	if t.server == nil {
		return nil
	}
	var err error
	if !killed {
		err = t.server.Stop()
	}
	err = errors.Join(err, t.server.Close())
	t.server = nil
	return err
}

// step does a step, or what takes its place if the server is ZooKeeper.
func (t *track) step(s *script.Step) ([]string, error) {
	if t.kind.Name == "java" {
		s = forJava(s)
	}
	answer, err := t.player.Step(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.kind.Name, err)
	}
	return answer, nil
}

// shows is all that the super user can read, a line for each znode.
func (t *track) shows() (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := zk.Connect(ctx, t.server.Addr(), zk.Options{Timeout: 10 * time.Minute})
	if err != nil {
		return nil, err
	}
	defer c.Abandon()
	if err := c.AddAuth(ctx, "digest", []byte(superUser)); err != nil {
		return nil, err
	}
	all, err := observe.Tree(c, []string{"/"}, "")
	if err != nil {
		return nil, err
	}
	lines := make(map[string]string, len(all))
	for path, z := range all {
		t.player.SortACL(z.ACL)
		z.Stat = t.player.Stat(z.Stat)
		lines[path] = fmt.Sprintf("data %.60q null %t %+v %v", z.Data, z.Data == nil, z.Stat, z.ACL)
	}
	return lines, c.Close()
}

// holds is what the files of a stopped server say: its sessions, and the digest of its tree with normalised stats.
func (t *track) holds() (map[string]string, error) {
	dir := filepath.Join(t.dir, "version-2")
	state, err := inspect.LoadState(dir, dir, inspect.Options{})
	if err != nil {
		return nil, err
	}
	facts := map[string]string{"last zxid": fmt.Sprint(state.LastZxid()), "znodes": fmt.Sprint(state.Len())}
	state.EachSession(func(id int64, timeout int32) {
		facts[fmt.Sprintf("session %#x", t.player.Session(id))] = fmt.Sprint(timeout)
	})
	var digest uint64
	var d tree.Digester
	err = state.Each(func(n *tree.Node) error {
		if !tree.Digested(n.Path()) {
			return nil
		}
		s := n.Persisted()
		shown := t.player.Stat(jute.Stat{Czxid: s.Czxid, Mzxid: s.Mzxid, Pzxid: s.Pzxid, Ctime: s.Ctime, Mtime: s.Mtime, EphemeralOwner: s.EphemeralOwner})
		s.Czxid, s.Mzxid, s.Pzxid, s.Ctime, s.Mtime, s.EphemeralOwner = shown.Czxid, shown.Mzxid, shown.Pzxid, shown.Ctime, shown.Mtime, shown.EphemeralOwner
		digest += uint64(d.Node(n.CRC(), &s))
		return nil
	})
	facts["digest"] = fmt.Sprintf("%#x", digest)
	return facts, err
}

// close ends the server and forgets the directory.
func (t *track) close() error {
	if t.player != nil {
		t.player.Close()
	}
	return errors.Join(t.stop(true), os.RemoveAll(t.dir))
}

// unlike lists where two maps differ.
func unlike(java, quoll map[string]string) (list []string) {
	all := maps.Clone(java)
	maps.Copy(all, quoll)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		j, inJava := java[key]
		q, inQuoll := quoll[key]
		if j != q || inJava != inQuoll {
			list = append(list, fmt.Sprintf("%q\n\tjava  %s\n\tquoll %s", key, j, q))
		}
	}
	return list
}
