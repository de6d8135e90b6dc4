package ensemble

import (
	"strings"

	"quoll/compat/peer"
)

// Kind is the program of a member: Quoll, or the version of an Apache ZooKeeper that scripts/peers brings.
type Kind string

const (
	Quoll Kind = "quoll"
	Java  Kind = "3.9.5"
)

// Old are the versions before the one that quoll takes the place of.
var Old = []Kind{"3.4.14", "3.5.10", "3.6.4", "3.8.4"}

// command is the command line of a server and what is added to its environment. The error wraps peer.ErrMissing if the server
// is not on this machine.
func (k Kind) command(cfg string, flags []string) (args, env []string, err error) {
	if k == Quoll {
		bin, err := peer.Binary()
		return []string{bin, "server", cfg}, []string{"SERVER_JVMFLAGS=" + strings.Join(flags, " ")}, err
	}
	name := "zookeeper"
	if k != Java {
		name = "zookeeper-old/" + string(k)
	}
	classpath, err := peer.Classpath(name)
	// Some members share few cores: one collector thread is enough. Without log4j, 3.4 must not look for its beans.
	args = append([]string{"java", "-Xmx192m", "-XX:+UseSerialGC", "-Dzookeeper.jmx.log4j.disable=true"}, flags...)
	return append(args, "-cp", classpath, "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg), nil, err
}
