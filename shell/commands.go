package shell

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"quoll/client"
	"quoll/jute"
)

// local is a command that needs no connection.
type local struct {
	usage string
	run   func(s *Shell, words []string) error
}

// command is a command that needs a connection.
type command struct {
	usage string
	grammar
	min        int    // arguments after the name
	listed     bool   // the usage lists the options
	raw        bool   // nothing is parsed
	deprecated string // what to use in place of a further argument
	rewrites   bool   // the deprecated argument was a watch
	run        func(s *Shell, in *invocation) error
}

func flag(name, desc string) option  { return option{name, false, desc} }
func value(name, desc string) option { return option{name, true, desc} }

// The tables are filled by init because commands look each other up.
var (
	locals   map[string]local
	commands map[string]command
)

func init() {
	locals = map[string]local{
		"connect":      {"host:port", (*Shell).runConnect},
		"history":      {"", (*Shell).runHistory},
		"printwatches": {"on|off", (*Shell).runPrintWatches},
		"quit":         {"", (*Shell).runQuit},
		"redo":         {"cmdno", (*Shell).runRedo},
	}
	quota := []string{"num soft quota", "bytes soft quota", "num hard quota", "bytes hard quota"}
	commands = map[string]command{
		"addWatch": {
			usage: "[-m mode] path # optional mode is one of [PERSISTENT, PERSISTENT_RECURSIVE] - default is PERSISTENT_RECURSIVE", min: 1,
			grammar: grammar{options: []option{value("m", "")}}, run: (*Shell).runAddWatch,
		},
		"addauth": {usage: "scheme auth", min: 1, run: (*Shell).runAddAuth},
		"close":   {raw: true, run: (*Shell).runClose},
		"config": {
			usage: "[-c] [-w] [-s]", run: (*Shell).runConfig,
			grammar: grammar{options: []option{flag("s", "stats"), flag("w", "watch"), flag("c", "client connection string")}},
		},
		"create": {
			usage: "[-s] [-e] [-c] [-t ttl] path [data] [acl]", min: 1, run: (*Shell).runCreate,
			grammar: grammar{options: []option{flag("e", "ephemeral"), flag("s", "sequential"), flag("c", "container"), value("t", "ttl")}},
		},
		"delete": {
			usage: "[-v version] path", min: 1, run: (*Shell).runDelete, grammar: grammar{options: []option{value("v", "version")}},
			deprecated: "'delete path [version]' has been deprecated. Please use 'delete [-v version] path' instead.",
		},
		"deleteall": {
			usage: "path [-b batch size]", min: 1, run: (*Shell).runDeleteAll, grammar: grammar{options: []option{value("b", "batch size")}},
		},
		"delquota": {
			usage: "[-n|-b|-N|-B] path", min: 1, run: (*Shell).runDelQuota,
			grammar: grammar{exclusive: true, options: []option{flag("n", quota[0]), flag("b", quota[1]), flag("N", quota[2]), flag("B", quota[3])}},
		},
		"get": {
			usage: "[-s] [-w] [-b] [-x] path", min: 1, listed: true, run: (*Shell).runGet,
			grammar: grammar{options: []option{flag("s", "Print znode stats additionally"), flag("w", "Watch for changes on the znode"),
				flag("b", "Output data in base64 format"), flag("x", "Output data in hexdump format")}},
			deprecated: "'get path [watch]' has been deprecated. Please use 'get [-s] [-w] path' instead.", rewrites: true,
		},
		"getAcl":               {usage: "[-s] path", min: 1, run: (*Shell).runGetACL, grammar: grammar{options: []option{flag("s", "stats")}}},
		"getAllChildrenNumber": {usage: "path", min: 1, run: (*Shell).runAllChildrenNumber},
		"getEphemerals":        {usage: "path", run: (*Shell).runEphemerals},
		"listquota":            {usage: "path", min: 1, run: (*Shell).runListQuota},
		"ls": {
			usage: "[-s] [-w] [-R] path", min: 1, run: (*Shell).runLs,
			grammar:    grammar{options: []option{flag("?", "help"), flag("s", "stat"), flag("w", "watch"), flag("R", "recurse")}},
			deprecated: "'ls path [watch]' has been deprecated. Please use 'ls [-w] path' instead.", rewrites: true,
		},
		"reconfig": {
			usage: "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | " +
				"[-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]",
			grammar: grammar{options: []option{flag("s", "stats"), value("v", "required current config version"),
				value("file", "path of config file to parse for membership"),
				value("members", "comma-separated list of config strings for non-incremental reconfig"),
				value("add", "comma-separated list of config strings for new servers"),
				value("remove", "comma-separated list of server IDs to remove")}},
			run: (*Shell).runReconfig,
		},
		"removewatches": {
			usage: "path [-c|-d|-a] [-l]", min: 1, run: (*Shell).runRemoveWatches,
			grammar: grammar{options: []option{flag("c", "child watcher type"), flag("d", "data watcher type"), flag("p", "persistent watcher type"),
				flag("r", "persistent recursive watcher type"), flag("a", "any watcher type"),
				flag("l", "remove locally when there is no server connection")}},
		},
		"set": {
			usage: "path data [-s] [-v version] [-b]", min: 2, listed: true, run: (*Shell).runSet,
			grammar: grammar{options: []option{flag("s", "Print znode stats additionally"), value("v", "Set with an expected version"),
				flag("b", "Supply data in base64 format")}},
		},
		"setAcl": {
			usage: "[-s] [-v version] [-R] path acl", min: 2, run: (*Shell).runSetACL,
			grammar: grammar{options: []option{flag("s", "stats"), value("v", "version"), flag("R", "recursive")}},
		},
		"setquota": {
			usage: "-n|-b|-N|-B val path", min: 1, run: (*Shell).runSetQuota,
			grammar: grammar{exclusive: true, required: true,
				options: []option{value("n", quota[0]), value("b", quota[1]), value("N", quota[2]), value("B", quota[3])}},
		},
		"stat": {
			usage: "[-w] path", min: 1, run: (*Shell).runStat, grammar: grammar{options: []option{flag("w", "watch")}},
			deprecated: "'stat path [watch]' has been deprecated. Please use 'stat [-w] path' instead.", rewrites: true,
		},
		"sync":    {usage: "path", min: 1, run: (*Shell).runSync},
		"version": {run: (*Shell).runVersion},
		"whoami":  {raw: true, run: (*Shell).runWhoAmI},
	}
}

// synopsis is the usage of one command.
func (c *command) synopsis(name string) string {
	text := name + " " + c.usage
	if c.listed {
		text += "\n" + c.help()
	}
	return text
}

// parse reads the words of a command line. An argument too many, as old versions had them, is noted, and read as -w where it was that.
func (c *command) parse(s *Shell, words []string) (*invocation, error) {
	if c.raw {
		return &invocation{args: words}, nil
	}
	in, err := c.grammar.parse(words)
	if err != nil {
		return nil, err
	}
	if in.has("?") {
		s.print("usage: ls [options] path\n%s", c.help())
	}
	if c.deprecated == "" || len(in.args) < 3 {
		return in, nil
	}
	s.complain(c.deprecated)
	if !c.rewrites {
		return in, nil
	}
	words = slices.Clone(words)
	words[2] = "-w"
	return c.grammar.parse(words)
}

// path checks an argument that must be a path.
func path(s string) error {
	if err := client.ValidatePath(s); err != nil {
		return fail("%v", err)
	}
	return nil
}

// version returns the value of -v, -1 without it.
func (in *invocation) version() (int32, error) {
	text, ok := in.values["v"]
	if !ok {
		return -1, nil
	}
	v, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fail("-v argument must be an int value")
	}
	return int32(v), nil
}

func (s *Shell) runConnect(words []string) error {
	if len(words) > 1 {
		return s.connect(words[1])
	}
	return s.connect(s.host)
}

// historySize is how many lines before its own history shows.
const historySize = 10

func (s *Shell) runHistory([]string) error {
	current := max(len(s.lines)-1, 0)
	for i := max(0, current-historySize); i <= current; i++ {
		line := "null" // of a command that is no line
		if i < len(s.lines) {
			line = s.lines[i]
		}
		s.print("%d - %s\n", i, line)
	}
	return nil
}

func (s *Shell) runPrintWatches(words []string) error {
	if len(words) > 1 {
		s.hideWatches.Store(words[1] != "on")
		return nil
	}
	state := "on"
	if s.hideWatches.Load() {
		state = "off"
	}
	s.print("printwatches is %s\n", state)
	return nil
}

func (s *Shell) runQuit([]string) error {
	s.zk.Close()
	return errQuit
}

func (s *Shell) runRedo(words []string) error {
	if len(words) < 2 {
		return nil
	}
	current := max(len(s.lines)-1, 0)
	i, err := strconv.ParseInt(words[1], 0, 32)
	if err != nil || i < 0 || i >= int64(current) {
		return fail("Command index out of range")
	}
	again := splitLine(s.lines[i])
	if len(again) > 0 && again[0] == "redo" {
		return fail("No redoing redos")
	}
	s.lines[current] = s.lines[i]
	if s.run(again) == errQuit {
		return errQuit
	}
	return nil
}

func (s *Shell) runClose(*invocation) error {
	s.zk.Close()
	return nil
}

func (s *Shell) runAddAuth(in *invocation) error {
	var auth []byte
	if len(in.args) > 2 {
		auth = []byte(in.args[2])
	}
	err := s.zk.AddAuth(s.ctx, in.args[1], auth)
	if errors.Is(err, jute.ErrConnectionLoss) { // it will be sent at the next connection
		return nil
	}
	return explain(err, noPath)
}

func (s *Shell) runAddWatch(in *invocation) error {
	if len(in.args) != 2 {
		return fail("%s", synopsis("addWatch"))
	}
	mode := jute.AddWatchPersistentRecursive
	if name, ok := in.values["m"]; ok {
		switch strings.ToUpper(name) {
		case "PERSISTENT":
			mode = jute.AddWatchPersistent
		case "PERSISTENT_RECURSIVE":
		default:
			return fail("%s", synopsis("addWatch"))
		}
	}
	if err := path(in.args[1]); err != nil {
		return err
	}
	return explain(s.zk.AddWatch(s.ctx, in.args[1], mode), in.args[1])
}

func synopsis(name string) string {
	cmd := commands[name]
	return cmd.synopsis(name)
}

func (s *Shell) runCreate(in *invocation) error {
	e, seq, c, t := in.has("e"), in.has("s"), in.has("c"), in.has("t")
	if c && (e || seq) {
		return fail("-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.")
	}
	var ttl int64
	if t {
		var err error
		if ttl, err = strconv.ParseInt(in.values["t"], 10, 64); err != nil {
			return fail("-t argument must be a long value")
		}
	}
	const maxTTL = 1<<40 - 1
	switch {
	case t && e:
		return fail("TTLs cannot be used with Ephemeral znodes")
	case t && c:
		return fail("TTLs cannot be used with Container znodes")
	case t && (ttl <= 0 || ttl > maxTTL):
		return fail("ttl must be positive and cannot be larger than: %d", maxTTL)
	}
	mode := jute.ModePersistent
	switch {
	case e && seq:
		mode = jute.ModeEphemeralSequential
	case e:
		mode = jute.ModeEphemeral
	case seq && t:
		mode = jute.ModePersistentSequentialWithTTL
	case seq:
		mode = jute.ModePersistentSequential
	case c:
		mode = jute.ModeContainer
	case t:
		mode = jute.ModePersistentWithTTL
	}
	name := in.args[1]
	var data []byte
	if len(in.args) > 2 {
		data = []byte(in.args[2])
	}
	acl := client.OpenACL
	if len(in.args) > 3 {
		acl = s.parseACL(in.args[3])
	}
	checked := name
	if mode.Sequential() { // the name is complete only with its number
		checked += "1"
	}
	if err := path(checked); err != nil {
		return err
	}
	if len(acl) == 0 {
		s.complain(jute.ErrInvalidACL.Error())
		return explain(jute.ErrInvalidACL, noPath)
	}
	var created string
	var err error
	if mode.TTL() {
		created, _, err = s.zk.CreateTTL(s.ctx, name, data, acl, mode, ttl)
	} else {
		created, err = s.zk.Create(s.ctx, name, data, acl, mode)
	}
	switch {
	case errors.Is(err, jute.ErrEphemeralOnLocalSession):
		s.complain("Unable to create ephemeral node on a local session")
	case errors.Is(err, jute.ErrInvalidACL):
		s.complain(fmt.Sprintf("%v for %s", err, name))
	case err == nil:
		s.complain("Created " + created)
	}
	return explain(err, name)
}

func (s *Shell) runDelete(in *invocation) error {
	version, err := in.version()
	if err != nil {
		return err
	}
	if err := path(in.args[1]); err != nil {
		return err
	}
	return explain(s.zk.Delete(s.ctx, in.args[1], version), in.args[1])
}

// A batch of deleteall has at most so many operations by default, and ends before it has so many bytes of paths: a server refuses
// requests above a megabyte.
const (
	defaultBatch = 1000
	batchBytes   = 512 << 10
)

func (s *Shell) runDeleteAll(in *invocation) error {
	batch := defaultBatch
	if text, ok := in.values["b"]; ok {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fail("-b argument must be an int value")
		}
		batch = int(n)
	}
	root := in.args[1]
	if err := path(root); err != nil {
		return err
	}
	// Parents come before their children, so the list is deleted from its end.
	tree := []string{root}
	for i := 0; i < len(tree); i++ {
		children, _, err := s.zk.Children(s.ctx, tree[i], false)
		if err != nil {
			return explain(err, tree[i])
		}
		for _, name := range children {
			tree = append(tree, join(tree[i], name))
		}
	}
	slices.Reverse(tree)
	if batch <= 0 {
		for _, p := range tree {
			if err := s.zk.Delete(s.ctx, p, -1); err != nil {
				return explain(err, p)
			}
		}
		return nil
	}
	var ops []jute.Operation
	size := 0
	for i, p := range tree {
		ops = append(ops, jute.Operation{Op: jute.OpDelete, Path: []byte(p), Version: -1})
		size += len(p)
		if len(ops) < batch && size < batchBytes && i+1 < len(tree) {
			continue
		}
		if _, err := s.zk.Multi(s.ctx, ops...); err != nil {
			s.complain("Failed to delete some node(s) in the subtree!")
			return nil
		}
		ops, size = nil, 0
	}
	return nil
}

func join(parent, name string) string { return strings.TrimSuffix(parent, "/") + "/" + name }

func (s *Shell) runGet(in *invocation) error {
	if err := path(in.args[1]); err != nil {
		return err
	}
	data, stat, err := s.zk.Get(s.ctx, in.args[1], in.has("w"))
	if err != nil {
		return explain(err, in.args[1])
	}
	if data == nil {
		data = []byte("null")
	}
	switch {
	case in.has("x"):
		s.print("%s\n", hexDump(data))
	case in.has("b"):
		s.print("%s\n", base64.StdEncoding.EncodeToString(data))
	default:
		s.print("%s\n", jute.JavaText(data))
	}
	if in.has("s") {
		s.printStat(&stat)
	}
	return nil
}

func (s *Shell) runSet(in *invocation) error {
	data := []byte(in.args[2])
	if in.has("b") {
		var err error
		if data, err = decodeBase64(in.args[2]); err != nil {
			return err
		}
	}
	version, err := in.version()
	if err != nil {
		return err
	}
	if err := path(in.args[1]); err != nil {
		return err
	}
	stat, err := s.zk.Set(s.ctx, in.args[1], data, version)
	if err == nil && in.has("s") {
		s.printStat(&stat)
	}
	return explain(err, in.args[1])
}

func (s *Shell) runStat(in *invocation) error {
	if err := path(in.args[1]); err != nil {
		return err
	}
	stat, err := s.zk.Exists(s.ctx, in.args[1], in.has("w"))
	if err == nil {
		s.printStat(&stat)
	}
	return explain(err, in.args[1])
}

func (s *Shell) runLs(in *invocation) error {
	root, watch := in.args[1], in.has("w")
	if err := path(root); err != nil {
		return err
	}
	if in.has("R") {
		return s.visit(root, watch, func(p string) { s.print("%s\n", p) })
	}
	names, stat, err := s.zk.Children(s.ctx, root, watch)
	if err != nil {
		return explain(err, root)
	}
	sortJava(names)
	s.print("[%s]\n", strings.Join(names, ", "))
	if in.has("s") {
		s.printStat(&stat)
	}
	return nil
}

// visit calls f for root and everything below: the children of a znode, and then what is below each of them.
func (s *Shell) visit(root string, watch bool, f func(path string)) error {
	if _, _, err := s.zk.Get(s.ctx, root, watch); err != nil {
		return explain(err, root)
	}
	f(root)
	for stack := []string{root}; len(stack) > 0; {
		parent := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		names, _, err := s.zk.Children(s.ctx, parent, watch)
		if errors.Is(err, jute.ErrNoNode) { // it went meanwhile
			continue
		}
		if err != nil {
			return explain(err, parent)
		}
		sortJava(names)
		for _, name := range names {
			f(join(parent, name))
		}
		for _, name := range slices.Backward(names) {
			stack = append(stack, join(parent, name))
		}
	}
	return nil
}

func (s *Shell) runGetACL(in *invocation) error {
	if err := path(in.args[1]); err != nil {
		return err
	}
	acl, stat, err := s.zk.GetACL(s.ctx, in.args[1])
	if err != nil {
		return explain(err, in.args[1])
	}
	for _, a := range acl {
		s.print("'%s,'%s\n: %s\n", a.Scheme, a.ID, jute.PermText(a.Perms))
	}
	if in.has("s") {
		s.printStat(&stat)
	}
	return nil
}

func (s *Shell) runSetACL(in *invocation) error {
	acl := s.parseACL(in.args[2])
	version, err := in.version()
	if err != nil {
		return err
	}
	root := in.args[1]
	if err := path(root); err != nil {
		return err
	}
	set := func(p string) (stat jute.Stat, where string, err error) {
		if len(acl) == 0 {
			return jute.Stat{}, noPath, jute.ErrInvalidACL
		}
		stat, err = s.zk.SetACL(s.ctx, p, acl, version)
		return stat, p, err
	}
	if in.has("R") {
		return s.visit(root, false, func(p string) {
			if _, where, err := set(p); err != nil {
				text := err.Error()
				if where != noPath {
					text += " for " + where
				}
				s.print("%s", text)
			}
		})
	}
	stat, where, err := set(root)
	if err == nil && in.has("s") {
		s.printStat(&stat)
	}
	return explain(err, where)
}

func (s *Shell) runAllChildrenNumber(in *invocation) error {
	if err := path(in.args[1]); err != nil {
		return err
	}
	n, err := s.zk.AllChildrenNumber(s.ctx, in.args[1])
	if err == nil {
		s.print("%d\n", n)
	}
	return explain(err, in.args[1])
}

func (s *Shell) runEphemerals(in *invocation) error {
	prefix := "/"
	if len(in.args) > 1 {
		prefix = in.args[1]
	}
	if err := path(prefix); err != nil {
		return err
	}
	paths, err := s.zk.Ephemerals(s.ctx, prefix)
	if err == nil {
		s.print("[%s]\n", strings.Join(paths, ", "))
	}
	return explain(err, noPath)
}

func (s *Shell) runSync(in *invocation) error {
	if err := path(in.args[1]); err != nil {
		return err
	}
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	err := s.zk.Sync(ctx, in.args[1])
	var code jute.Code
	switch {
	case err == nil:
		s.print("Sync is OK\n")
	case errors.As(err, &code):
		s.print("Sync has failed. rc=%d\n", int(code))
	default:
		return err
	}
	return nil
}

func (s *Shell) runRemoveWatches(in *invocation) error {
	watcher := jute.WatcherAny
	switch {
	case in.has("c"):
		watcher = jute.WatcherChildren
	case in.has("d"):
		watcher = jute.WatcherData
	case in.has("p"):
		watcher = jute.WatcherPersistent
	case in.has("r"):
		watcher = jute.WatcherPersistentRecursive
	}
	if err := path(in.args[1]); err != nil {
		return err
	}
	return explain(s.zk.RemoveWatches(s.ctx, in.args[1], watcher, in.has("l")), in.args[1])
}

func (s *Shell) runWhoAmI(*invocation) error {
	identities, err := s.zk.WhoAmI(s.ctx)
	if err != nil {
		return explain(err, noPath)
	}
	s.print("Auth scheme: User\n")
	for _, id := range identities {
		s.print("%s: %s\n", id.AuthScheme, id.User)
	}
	return nil
}

// Version is what the command version says: the version of ZooKeeper that quoll stands in for.
const Version = "3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2, built on 2026-02-11 20:18 UTC"

func (s *Shell) runVersion(in *invocation) error {
	if len(in.args) > 1 {
		return fail("%s", synopsis("version"))
	}
	s.print("ZooKeeper CLI version: %s\n", Version)
	return nil
}
