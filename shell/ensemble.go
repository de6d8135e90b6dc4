package shell

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"quoll/ensemble"
)

func (s *Shell) runConfig(in *invocation) error {
	data, stat, err := s.zk.GetConfig(s.ctx, in.has("w"))
	if err != nil {
		return explain(err, "/zookeeper/config")
	}
	text := "null"
	if data != nil {
		text = string(data)
	}
	if in.has("c") {
		text = clientString(text)
	}
	s.print("%s\n", text)
	if in.has("s") {
		s.printStat(&stat)
	}
	return nil
}

// clientString is a configuration as clients use it: the version, a blank, and the servers' client addresses with commas between
// them, in the order of their ids (Java's is that of a hash table). A server without one leaves its place empty.
func clientString(text string) string {
	version, servers := "", []string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		switch {
		case !ok:
		case key == "version":
			version = value
		case strings.HasPrefix(key, "server."):
			server, err := ensemble.ParseServer(0, value)
			if err != nil {
				continue
			}
			address := ""
			if server.Client != nil {
				address = fmt.Sprintf("%s:%d", server.Client.Host, server.Client.Port)
			}
			servers = append(servers, address)
		}
	}
	return version + " " + strings.Join(servers, ",")
}

func (s *Shell) runReconfig(in *invocation) error {
	whole, parts := in.has("file") || in.has("members"), in.has("add") || in.has("remove")
	if !whole && !parts {
		return fail("%s", synopsis("reconfig"))
	}
	version := int64(-1)
	if text, ok := in.values["v"]; ok {
		var err error
		if version, err = strconv.ParseInt(text, 16, 64); err != nil {
			return fail("-v must be followed by a long (configuration version)")
		}
	}
	if whole && parts {
		return fail("Can't use -file or -members together with -add or -remove (mixing incremental and non-incremental modes is not allowed)")
	}
	if in.has("file") && in.has("members") {
		return fail("Can't use -file and -members together (conflicting non-incremental modes)")
	}
	members := strings.ToLower(in.values["members"])
	if name := in.values["file"]; in.has("file") {
		text, err := os.ReadFile(name)
		if err != nil {
			return fail("Error processing %s: %v", name, err)
		}
		e, err := ensemble.Parse(string(text))
		if err != nil {
			return fail("Error processing %s: %v", name, err)
		}
		members = e.String()
	}
	data, stat, err := s.zk.Reconfig(s.ctx, strings.ToLower(in.values["add"]), strings.ToLower(in.values["remove"]), members, version)
	if err != nil {
		return explain(err, "")
	}
	s.print("Committed new configuration:\n%s\n", data)
	if in.has("s") {
		s.printStat(&stat)
	}
	return nil
}
