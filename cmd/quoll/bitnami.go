package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"mvdan.cc/sh/v3/syntax"
)

// The directories of Bitnami's image.
const (
	bitnamiHome = "/opt/bitnami/zookeeper"
	bitnamiData = "/bitnami/zookeeper/data"
)

// bitnamiCommand is entrypoint.sh of Bitnami's image.
func bitnamiCommand() *cli.Command {
	return &cli.Command{
		Name: "entrypoint.sh", Usage: "the entry point of a container in place of Bitnami's: zoo.cfg and myid from its variables", Hidden: true, SkipFlagParsing: true, HideHelp: true,
		Action: func(ctx *cli.Context) error { return bitnamiEntrypoint(ctx.Args().Slice()) },
	}
}

// bitnamiRunCommand is run.sh of Bitnami's image, which the entry point becomes.
func bitnamiRunCommand() *cli.Command {
	return &cli.Command{
		Name: "run.sh", Usage: "runs the server of a container in place of Bitnami's", Hidden: true, SkipFlagParsing: true, HideHelp: true,
		Action: func(ctx *cli.Context) error {
			return replace(bitnamiHome+"/bin/zkServer.sh", append([]string{bitnamiHome + "/bin/zkServer.sh", "start-foreground"}, ctx.Args().Slice()...), os.Environ())
		},
	}
}

// bitnamiEntrypoint writes what run.sh needs, if that is among the arguments, and becomes the program that they name.
func bitnamiEntrypoint(args []string) error {
	if slices.ContainsFunc(args, func(a string) bool { return strings.HasSuffix(a, "/run.sh") }) {
		if err := bitnamiSetup(); err != nil {
			return err
		}
	}
	return becomeProgram(args)
}

func bitnamiSetup() error {
	b, err := newBitnami(os.Environ(), os.ReadFile)
	if err != nil {
		return failure{exitInvocation, err}
	}
	conf := bitnamiHome + "/conf"
	dirs := []string{conf, bitnamiHome + "/logs", bitnamiData}
	if dir := b.value("ZOO_DATA_LOG_DIR"); dir != "" {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o775); err != nil {
			return err
		}
	}
	if os.Getuid() == 0 {
		if err := become("zookeeper", dirs); err != nil {
			return err
		}
	}
	// One that is there is the user's, with all that belongs to it.
	if _, err := os.Stat(filepath.Join(conf, "zoo.cfg")); errors.Is(err, fs.ErrNotExist) {
		for _, text := range b.remarks {
			say(os.Stderr, "quoll: %s", text)
		}
		jaas := filepath.Join(conf, "zoo_jaas.conf")
		flags := b.value("JVMFLAGS") + " -Dzookeeper.electionPortBindRetry=0 -Dzookeeper.fips-mode=" + strconv.FormatBool(b.yes("ZOO_FIPS_MODE"))
		if b.jaas != nil {
			if err := os.WriteFile(jaas, b.jaas, 0o400); err != nil {
				return err
			}
			flags += " -Djava.security.auth.login.config=" + jaas
		}
		quoted, err := syntax.Quote(flags, syntax.LangBash)
		if err != nil {
			return failure{exitInvocation, fmt.Errorf("JVMFLAGS: %w", err)}
		}
		if err := os.WriteFile(filepath.Join(conf, "java.env"), []byte("export JVMFLAGS="+quoted+"\n"), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(conf, "zoo.cfg"), b.cfg(), 0o600); err != nil { // passwords of stores may be in it
			return err
		}
	} else if err != nil {
		return err
	}
	entries, err := os.ReadDir(bitnamiData)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != "lost+found" && e.Name() != ".snapshot" }) {
		return nil
	}
	return os.WriteFile(filepath.Join(bitnamiData, "myid"), []byte(b.value("ZOO_SERVER_ID")+"\n"), 0o644)
}

// bitnamiVariable is a variable of the image.
type bitnamiVariable struct {
	name, usual string
	key         string // of zoo.cfg, whose value it is
	flag        bool   // yes or no there, true or false in zoo.cfg
	unused      bool   // it has no effect, and says so if it is set
}

// bitnamiVariables are all variables, those with a key in the order of zoo.cfg. Each may be given by a file, which its name with _FILE names.
var bitnamiVariables = []bitnamiVariable{
	{name: "ZOO_TICK_TIME", usual: "2000", key: "tickTime"},
	{name: "ZOO_INIT_LIMIT", usual: "10", key: "initLimit"},
	{name: "ZOO_SYNC_LIMIT", usual: "5", key: "syncLimit"},
	{name: "ZOO_PRE_ALLOC_SIZE", usual: "65536", key: "preAllocSize"},
	{name: "ZOO_SNAPCOUNT", usual: "100000", key: "snapCount"},
	{name: "ZOO_DATA_LOG_DIR", key: "dataLogDir"},
	{name: "ZOO_PORT_NUMBER", usual: "2181", key: "clientPort"},
	{name: "ZOO_MAX_CNXNS", usual: "0", key: "maxCnxns"},
	{name: "ZOO_MAX_CLIENT_CNXNS", usual: "60", key: "maxClientCnxns"},
	{name: "ZOO_RECONFIG_ENABLED", usual: "no", key: "reconfigEnabled", flag: true},
	{name: "ZOO_LISTEN_ALLIPS_ENABLED", usual: "no", key: "quorumListenOnAllIPs", flag: true},
	{name: "ZOO_AUTOPURGE_INTERVAL", usual: "0", key: "autopurge.purgeInterval"},
	{name: "ZOO_AUTOPURGE_RETAIN_COUNT", usual: "3", key: "autopurge.snapRetainCount"},
	{name: "ZOO_4LW_COMMANDS_WHITELIST", usual: "srvr, mntr", key: "4lw.commands.whitelist"},
	{name: "ZOO_MAX_SESSION_TIMEOUT", usual: "40000", key: "maxSessionTimeout"},
	{name: "ZOO_ADMIN_SERVER_ADDRESS", usual: "127.0.0.1", key: "admin.serverAddress"},
	{name: "ZOO_ADMIN_SERVER_PORT_NUMBER", usual: "8080", key: "admin.serverPort"},
	{name: "ZOO_ENABLE_ADMIN_SERVER", usual: "no", key: "admin.enableServer", flag: true},
	{name: "ZOO_PEER_TYPE", key: "peerType"},
	{name: "ZOO_SERVER_ID", usual: "1"},
	{name: "ZOO_SERVERS"},
	{name: "ZOO_ENABLE_PROMETHEUS_METRICS", usual: "no"},
	{name: "ZOO_PROMETHEUS_METRICS_PORT_NUMBER", usual: "7000"},
	{name: "ZOO_FIPS_MODE", usual: "yes"},
	{name: "ZOO_TLS_CLIENT_ENABLE", usual: "no"},
	{name: "ZOO_TLS_PORT_NUMBER", usual: "3181"},
	{name: "ZOO_TLS_CLIENT_AUTH", usual: "need"},
	{name: "ZOO_TLS_CLIENT_KEYSTORE_FILE"},
	{name: "ZOO_TLS_CLIENT_KEYSTORE_TYPE"},
	{name: "ZOO_TLS_CLIENT_KEYSTORE_PASSWORD"},
	{name: "ZOO_TLS_CLIENT_TRUSTSTORE_FILE"},
	{name: "ZOO_TLS_CLIENT_TRUSTSTORE_TYPE"},
	{name: "ZOO_TLS_CLIENT_TRUSTSTORE_PASSWORD"},
	{name: "ZOO_TLS_QUORUM_ENABLE", usual: "no"},
	{name: "ZOO_TLS_QUORUM_CLIENT_AUTH", usual: "need"},
	{name: "ZOO_TLS_QUORUM_KEYSTORE_FILE"},
	{name: "ZOO_TLS_QUORUM_KEYSTORE_TYPE"},
	{name: "ZOO_TLS_QUORUM_KEYSTORE_PASSWORD"},
	{name: "ZOO_TLS_QUORUM_TRUSTSTORE_FILE"},
	{name: "ZOO_TLS_QUORUM_TRUSTSTORE_TYPE"},
	{name: "ZOO_TLS_QUORUM_TRUSTSTORE_PASSWORD"},
	{name: "JVMFLAGS"},
	{name: "ZOO_ENABLE_AUTH", usual: "no"},
	{name: "ALLOW_ANONYMOUS_LOGIN", usual: "no"},
	{name: "ALLOW_EMPTY_PASSWORD", usual: "no"}, // the same in newer images
	{name: "ZOO_CLIENT_USER"},
	{name: "ZOO_CLIENT_PASSWORD"},
	{name: "ZOO_SERVER_USERS"},
	{name: "ZOO_SERVER_PASSWORDS"},
	{name: "ZOO_ENABLE_QUORUM_AUTH", usual: "no"},
	{name: "ZOO_QUORUM_LEARNER_USER"},
	{name: "ZOO_QUORUM_LEARNER_PASSWORD"},
	{name: "ZOO_QUORUM_SERVER_USERS"},
	{name: "ZOO_QUORUM_SERVER_PASSWORDS"},
	{name: "ZOO_HEAP_SIZE", unused: true},
	{name: "ZOO_LOG_LEVEL", usual: "INFO"},
	{name: "ZOO_HC_TIMEOUT", unused: true},
}

// bitnami is what the variables say.
type bitnami struct {
	values   map[string]string
	settings [][2]string // of zoo.cfg
	jaas     []byte      // nil if there is no authentication
	remarks  []string    // what has no effect
	problems []error
}

// newBitnami reads the variables and judges them, with an error for each that is wrong.
func newBitnami(environ []string, readFile func(string) ([]byte, error)) (*bitnami, error) {
	b := &bitnami{values: map[string]string{}}
	env := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	for _, v := range bitnamiVariables {
		value := env[v.name]
		if file := env[v.name+"_FILE"]; file != "" {
			text, err := readFile(file)
			if err != nil {
				b.fail("%s_FILE: %v", v.name, err)
			}
			value = strings.TrimRight(string(text), "\n")
		}
		if strings.ContainsAny(value, "\r\n") {
			b.fail("%s: more than one line", v.name)
		}
		if value == "" {
			value = v.usual
		}
		b.values[v.name] = value
		if v.unused && value != v.usual {
			b.remarks = append(b.remarks, v.name+" has no effect")
		}
	}
	b.judge()
	b.configure(env)
	return b, errors.Join(b.problems...)
}

func (b *bitnami) fail(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(format, args...))
}

func (b *bitnami) value(name string) string { return b.values[name] }

func (b *bitnami) yes(name string) bool {
	return slices.Contains([]string{"1", "yes", "true"}, strings.ToLower(b.values[name]))
}

// list splits a list as the image does: at commas, semicolons and spaces.
func (b *bitnami) list(name string) []string {
	return strings.FieldsFunc(b.values[name], func(r rune) bool { return strings.ContainsRune(",; \t", r) })
}

// judge finds what contradicts itself.
func (b *bitnami) judge() {
	auth, quorum := b.yes("ZOO_ENABLE_AUTH"), b.yes("ZOO_ENABLE_QUORUM_AUTH")
	if !auth && !b.yes("ALLOW_ANONYMOUS_LOGIN") && !b.yes("ALLOW_EMPTY_PASSWORD") {
		b.fail("anybody could use the server: set ZOO_ENABLE_AUTH=yes and the users, or ALLOW_ANONYMOUS_LOGIN=yes if that is meant")
	}
	if (auth || quorum) && b.yes("ZOO_FIPS_MODE") {
		b.fail("ZOO_ENABLE_AUTH and ZOO_ENABLE_QUORUM_AUTH are DIGEST-MD5, which FIPS does not allow: set ZOO_FIPS_MODE=no")
	}
	if auth && len(b.list("ZOO_SERVER_USERS")) == 0 {
		b.fail("ZOO_ENABLE_AUTH without users: set ZOO_SERVER_USERS and ZOO_SERVER_PASSWORDS")
	}
	if quorum {
		for _, name := range []string{"ZOO_QUORUM_LEARNER_USER", "ZOO_QUORUM_LEARNER_PASSWORD", "ZOO_QUORUM_SERVER_USERS", "ZOO_QUORUM_SERVER_PASSWORDS"} {
			if b.value(name) == "" {
				b.fail("ZOO_ENABLE_QUORUM_AUTH needs %s", name)
			}
		}
	}
	for _, name := range []string{"ZOO_TLS_CLIENT_AUTH", "ZOO_TLS_QUORUM_CLIENT_AUTH"} {
		if !slices.Contains([]string{"none", "want", "need"}, b.value(name)) {
			b.fail("%s=%s: not none, want or need", name, b.value(name))
		}
	}
	for _, v := range bitnamiVariables {
		if v.flag && !b.yes(v.name) && !slices.Contains([]string{"0", "no", "false"}, strings.ToLower(b.value(v.name))) {
			b.fail("%s=%s: not yes or no", v.name, b.value(v.name))
		}
	}
}

// configure makes the settings. Where ZooKeeper has a say of its own, the server judges them.
func (b *bitnami) configure(env map[string]string) {
	tls := b.yes("ZOO_TLS_CLIENT_ENABLE")
	b.set("dataDir", bitnamiData)
	for _, v := range bitnamiVariables {
		value := b.value(v.name)
		if v.flag {
			value = strconv.FormatBool(b.yes(v.name))
		}
		if v.key != "" && value != "" && (v.key != "clientPort" || !tls) {
			b.set(v.key, value)
		}
	}
	if level := strings.ToLower(b.value("ZOO_LOG_LEVEL")); level != "info" {
		b.set("log.level", level)
	}
	b.servers()
	if tls {
		b.set("client.secure", "true")
		b.set("secureClientPort", b.value("ZOO_TLS_PORT_NUMBER"))
		b.stores("ZOO_TLS_CLIENT", "ZOO_TLS_CLIENT_AUTH", "ssl.")
	}
	if b.yes("ZOO_TLS_QUORUM_ENABLE") {
		b.set("sslQuorum", "true")
		b.stores("ZOO_TLS_QUORUM", "ZOO_TLS_QUORUM_CLIENT_AUTH", "ssl.quorum.")
	}
	if tls || b.yes("ZOO_TLS_QUORUM_ENABLE") {
		b.set("serverCnxnFactory", "org.apache.zookeeper.server.NettyServerCnxnFactory")
	}
	if b.yes("ZOO_ENABLE_AUTH") {
		b.set("authProvider.1", "org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
		b.set("sessionRequireClientSASLAuth", "true")
		b.section("Client", [][2]string{{"username", b.value("ZOO_CLIENT_USER")}, {"password", b.value("ZOO_CLIENT_PASSWORD")}})
		b.section("Server", b.users("ZOO_SERVER_USERS", "ZOO_SERVER_PASSWORDS"))
	}
	if b.yes("ZOO_ENABLE_QUORUM_AUTH") {
		for _, key := range []string{"quorum.auth.enableSasl", "quorum.auth.learnerRequireSasl", "quorum.auth.serverRequireSasl"} {
			b.set(key, "true")
		}
		b.set("quorum.auth.learner.saslLoginContext", "QuorumLearner")
		b.set("quorum.auth.server.saslLoginContext", "QuorumServer")
		b.section("QuorumLearner", [][2]string{{"username", b.value("ZOO_QUORUM_LEARNER_USER")}, {"password", b.value("ZOO_QUORUM_LEARNER_PASSWORD")}})
		b.section("QuorumServer", b.users("ZOO_QUORUM_SERVER_USERS", "ZOO_QUORUM_SERVER_PASSWORDS"))
	}
	if b.yes("ZOO_ENABLE_PROMETHEUS_METRICS") {
		b.set("metricsProvider.className", "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider")
		b.set("metricsProvider.httpPort", b.value("ZOO_PROMETHEUS_METRICS_PORT_NUMBER"))
		b.set("metricsProvider.exportJvmInfo", "true")
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if key, ok := strings.CutPrefix(name, "ZOO_CFG_"); ok {
			if strings.ContainsAny(env[name], "\r\n") {
				b.fail("%s: more than one line", name)
			}
			b.set(strings.ReplaceAll(key, "_", "."), env[name])
		}
	}
}

// bitnamiServer is a server of ZOO_SERVERS: host:port:port[:role], and ::id behind it if the ids are not 1, 2, 3...
var bitnamiServer = regexp.MustCompile(`^(\S+:\d+:\d+(?::observer|:participant)?)(?:::(\d+))?$`)

// servers makes the lines of the members. One server alone is none, as in the image.
func (b *bitnami) servers() {
	list := b.list("ZOO_SERVERS")
	numbered := strings.Contains(b.value("ZOO_SERVERS"), "::")
	for i, server := range list {
		parts := bitnamiServer.FindStringSubmatch(server)
		if parts == nil || (parts[2] != "") != numbered {
			b.fail("ZOO_SERVERS: %s is not of the form host:port:port[:role], or all with ::id behind it", server)
			continue
		}
		id := strconv.Itoa(i + 1)
		if numbered {
			id = parts[2]
		}
		if len(list) > 1 {
			b.set("server."+id, parts[1]+";"+b.value("ZOO_PORT_NUMBER"))
		}
	}
}

// stores sets a key store and a trust store.
func (b *bitnami) stores(variable, auth, prefix string) {
	b.set(prefix+"clientAuth", b.value(auth))
	for _, store := range [][2]string{{"KEYSTORE", "keyStore"}, {"TRUSTSTORE", "trustStore"}} {
		name := variable + "_" + store[0]
		if b.value(name+"_FILE") == "" {
			b.fail("%s_ENABLE needs %s_FILE", variable, name)
		}
		for _, part := range [][2]string{{"_FILE", ".location"}, {"_TYPE", ".type"}, {"_PASSWORD", ".password"}} {
			if value := b.value(name + part[0]); value != "" {
				b.set(prefix+store[1]+part[1], value)
			}
		}
	}
}

// users pairs two lists for a JAAS file.
func (b *bitnami) users(names, passwords string) (options [][2]string) {
	n, p := b.list(names), b.list(passwords)
	if len(n) != len(p) {
		b.fail("%s has %d names and %s %d passwords", names, len(n), passwords, len(p))
		return nil
	}
	for i := range n {
		options = append(options, [2]string{"user_" + n[i], p[i]})
	}
	return options
}

// section adds a section to the JAAS file.
func (b *bitnami) section(name string, options [][2]string) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s {\n    org.apache.zookeeper.server.auth.DigestLoginModule required", name)
	for _, o := range options {
		if strings.ContainsAny(o[0], "\"\\ ;={}") || strings.ContainsAny(o[1], "\"\\") {
			b.fail("a name or a password for the section %s of the JAAS file has a quotation mark or a backslash", name)
			return
		}
		fmt.Fprintf(&out, "\n    %s=\"%s\"", o[0], o[1])
	}
	out.WriteString(";\n};\n")
	b.jaas = append(b.jaas, out.Bytes()...)
}

// set gives a key of zoo.cfg a value, in place of another one.
func (b *bitnami) set(key, value string) {
	if i := slices.IndexFunc(b.settings, func(s [2]string) bool { return s[0] == key }); i >= 0 {
		b.settings[i][1] = value
		return
	}
	b.settings = append(b.settings, [2]string{key, value})
}

// cfg is zoo.cfg.
func (b *bitnami) cfg() []byte {
	var out bytes.Buffer
	for _, s := range b.settings {
		fmt.Fprintf(&out, "%s=%s\n", s[0], s[1])
	}
	return out.Bytes()
}
