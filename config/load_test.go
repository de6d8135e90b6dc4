package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// world is a directory with a zoo.cfg and what belongs to it. In all texts $ stands for the directory.
type world struct {
	cfg   string            // zoo.cfg; "dataDir=$/data" is put in front unless it has one
	files map[string]string // further files by their path in the directory
	flags string            // JVMFLAGS
	set   []string
	args  []string // instead of zoo.cfg
}

// load runs Load in a new directory. Warnings and errors come back with $ for it, one a line.
func (w world) load(t *testing.T) (cfg *Config, warnings, problems string) {
	t.Helper()
	dir := t.TempDir()
	expand := strings.NewReplacer("$", dir).Replace
	src := Sources{Env: func(name string) string {
		if name == "JVMFLAGS" {
			return expand(w.flags)
		}
		return ""
	}}
	for _, s := range w.set {
		src.Set = append(src.Set, expand(s))
	}
	for _, a := range w.args {
		src.Args = append(src.Args, expand(a))
	}
	if w.args == nil {
		src.File = filepath.Join(dir, "zoo.cfg")
		text := w.cfg
		if !strings.Contains(text, "dataDir") {
			text = "dataDir=$/data\n" + text
		}
		w.files = merge(w.files, "zoo.cfg", text)
	}
	for name, text := range w.files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(expand(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, ws, err := Load(src)
	var lines []string
	for _, w := range ws {
		lines = append(lines, w.String())
	}
	shrink := strings.NewReplacer(dir, "$").Replace
	if err != nil {
		problems = shrink(err.Error())
	}
	return c, shrink(strings.Join(lines, "\n")), problems
}

func merge(m map[string]string, key, value string) map[string]string {
	all := map[string]string{key: value}
	for k, v := range m {
		all[k] = v
	}
	return all
}

// TestLoad checks one value or several per case; "" in warnings means that there must be none.
func TestLoad(t *testing.T) {
	show := func(format string, values func(*Config) []any) func(*Config) string {
		return func(c *Config) string { return fmt.Sprintf(format, values(c)...) }
	}
	sessions := show("%v %v %v", func(c *Config) []any { return []any{c.TickTime, c.MinSessionTimeout, c.MaxSessionTimeout} })
	client := show("%s id=%d distributed=%v", func(c *Config) []any { return []any{c.ClientAddr(), c.MyID, c.Distributed} })
	for _, test := range []struct {
		name     string
		world    world
		get      func(*Config) string
		want     string
		warnings string
	}{
		{"sessions follow the tick", world{cfg: "clientPort=1\ntickTime=2000"}, sessions, "2s 4s 40s", ""},
		{"sessions of their own", world{cfg: "clientPort=1\nminSessionTimeout=1\nmaxSessionTimeout=1"}, sessions, "3s 1ms 1ms", ""},
		{"-1 is not set", world{cfg: "clientPort=1\nminSessionTimeout=-1\nmaxSessionTimeout=-1"}, sessions, "3s 6s 1m0s", ""},
		{"no overflow", world{cfg: "clientPort=1\ntickTime=2147483647"}, sessions, "596h31m23.647s 596h31m23.647s 596h31m23.647s", ""},
		{"the last duplicate wins", world{cfg: "clientPort=1\ntickTime=1\ntickTime=2"}, sessions, "2ms 4ms 40ms",
			"$/zoo.cfg:4: tickTime: set twice, this line wins over line 3"},
		{"data directories", world{cfg: "clientPort=1\ndataDir=/a\n"}, show("%s %s", func(c *Config) []any { return []any{c.DataDir, c.DataLogDir} }), "/a /a", ""},
		{"relative paths", world{cfg: "clientPort=1\ndataDir=a\ndataLogDir=./b\n"}, show("%s %s", func(c *Config) []any { return []any{c.DataDir, c.DataLogDir} }), "a ./b",
			"$/zoo.cfg:2: dataDir: a is relative; put ./ in front to say that this is meant"},

		{"a number that does not parse", world{cfg: "clientPort=1\nsnapCount=abc", flags: "-Dzookeeper.snapCount=7"}, show("%d %v", func(c *Config) []any { return []any{c.SnapCount, c.IsSet("snapCount")} }), "100000 false",
			`$/zoo.cfg:3: snapCount: "abc" is not a number; the default none is used`},
		{"hexadecimal and octal", world{cfg: "clientPort=1\nsnapCount=0x10\nmaxCnxns=010\nglobalOutstandingLimit=#f"}, show("%d %d %d", func(c *Config) []any { return []any{c.SnapCount, c.MaxCnxns, c.GlobalOutstandingLimit} }), "16 8 15", ""},
		{"only decimal", world{cfg: "clientPort=1\npreAllocSize=0x10\ncommitLogCount=1000"}, show("%d %d", func(c *Config) []any { return []any{c.PreAllocSizeKiB, c.CommitLogCount} }), "65536 1000",
			`$/zoo.cfg:3: preAllocSize: "0x10" is not a number; the default 65536 is used`},
		{"out of the range of an int", world{cfg: "clientPort=1\nsnapCount=4294967296"}, show("%d", func(c *Config) []any { return []any{c.SnapCount} }), "100000",
			`$/zoo.cfg:3: snapCount: "4294967296" is not a number; the default none is used`},
		{"zoo.cfg wins over -D", world{cfg: "clientPort=1\nsnapCount=5", flags: "-Dzookeeper.snapCount=7 -Dzookeeper.maxCnxns=8"}, show("%d %d", func(c *Config) []any { return []any{c.SnapCount, c.MaxCnxns} }), "5 8", ""},
		{"--set wins over both", world{cfg: "clientPort=1\nsnapCount=5", flags: "-Dzookeeper.snapCount=7", set: []string{"snapCount=9", "zookeeper.maxCnxns=3", "jute.maxbuffer=4096", "clientPort = 2"}},
			show("%d %d %d %d", func(c *Config) []any { return []any{c.SnapCount, c.MaxCnxns, c.JuteMaxBuffer, c.ClientPort} }), "9 3 4096 2", ""},
		{"parser keys are no properties", world{cfg: "clientPort=1", flags: "-Dzookeeper.tickTime=7"}, sessions, "3s 6s 1m0s",
			"JVMFLAGS: zookeeper.tickTime: has no effect as a system property; set tickTime in zoo.cfg"},
		{"-D with and without prefix", world{cfg: "clientPort=1", flags: "-Dfsync.warningthresholdms=5"}, show("%v", func(c *Config) []any { return []any{c.FsyncWarningThreshold} }), "5ms", ""},
		{"-D with prefix wins", world{cfg: "clientPort=1", flags: "-Dzookeeper.fsync.warningthresholdms=6 -Dfsync.warningthresholdms=5"}, show("%v", func(c *Config) []any { return []any{c.FsyncWarningThreshold} }), "6ms", ""},
		{"jute.maxbuffer in zoo.cfg", world{cfg: "clientPort=1\njute.maxbuffer=4096"}, show("%d %s", func(c *Config) []any { return []any{c.JuteMaxBuffer, c.Properties["zookeeper.jute.maxbuffer"]} }), "1048575 4096",
			"$/zoo.cfg:3: jute.maxbuffer: has no effect in zoo.cfg; it works only as -Djute.maxbuffer"},
		{"extra size follows jute.maxbuffer", world{cfg: "clientPort=1", flags: "-Djute.maxbuffer=4096"}, show("%d %d", func(c *Config) []any { return []any{c.JuteMaxBuffer, c.JuteMaxBufferExtraSize} }), "4096 4096", ""},
		{"extra size is at least 1024", world{cfg: "clientPort=1\njute.maxbuffer.extrasize=5"}, show("%d", func(c *Config) []any { return []any{c.JuteMaxBufferExtraSize} }), "1024", ""},
		{"headings of the documentation", world{cfg: "clientPort=1\nrequestThrottleLimit=5\nzookeeper.snapCount=5\nsnapcount=5"}, show("%d %d", func(c *Config) []any { return []any{c.RequestThrottleMaxRequests, c.SnapCount} }), "0 100000",
			"$/zoo.cfg:3: requestThrottleLimit: has no effect in zoo.cfg; the working key is request_throttle_max_requests\n" +
				"$/zoo.cfg:4: zookeeper.snapCount: has no effect in zoo.cfg; leave out the prefix: snapCount\n" +
				"$/zoo.cfg:5: snapcount: has no effect in zoo.cfg; the key is spelled snapCount"},
		{"unknown keys", world{cfg: "clientPort=1\nfoo=bar", flags: "-Dx=y -Dzookeeper.foo=lost"}, show("%v", func(c *Config) []any { return []any{c.Properties} }), "map[x:y zookeeper.foo:bar]", ""},
		{"words", world{cfg: "clientPort=1\nskipACL=true\nforceSync=false\nleaderServes=NO"}, show("%v %v %v", func(c *Config) []any { return []any{c.SkipACL, c.ForceSync, c.LeaderServes} }), "false true true", ""},
		{"the right words", world{cfg: "clientPort=1\nskipACL=yes\nforceSync=no\nleaderServes=no"}, show("%v %v %v", func(c *Config) []any { return []any{c.SkipACL, c.ForceSync, c.LeaderServes} }), "true false false", ""},
		{"flags", world{cfg: "clientPort=1\ndigest.enabled=yes\nenforceQuota=TRUE"}, show("%v %v", func(c *Config) []any { return []any{c.DigestEnabled, c.EnforceQuota} }), "false true", ""},
		{"four-letter words", world{cfg: "clientPort=1\n4lw.commands.whitelist= ruok , mntr,,"}, show("%v", func(c *Config) []any { return []any{c.FourLetterWhitelist} }), "[ruok mntr srvr]", ""},
		{"isro in read-only mode", world{cfg: "clientPort=1", flags: "-Dreadonlymode.enabled=true"}, show("%v", func(c *Config) []any { return []any{c.FourLetterWhitelist} }), "[srvr isro]", ""},
		{"purge", world{cfg: "clientPort=1\nautopurge.snapRetainCount=1\nautopurge.purgeInterval=24"}, show("%d %v", func(c *Config) []any { return []any{c.AutopurgeSnapRetainCount, c.AutopurgePurgeInterval} }), "3 24h0m0s",
			"$/zoo.cfg:3: autopurge.snapRetainCount: 1 is too few, 3 is used"},
		{"the level of the log", world{cfg: "clientPort=1", flags: "-Dzookeeper.log.level=WARN"}, show("%v", func(c *Config) []any { return []any{c.LogLevel} }), "WARN", ""},
		{"flush delay", world{cfg: "clientPort=1\nflushDelay=10\nmaxWriteQueuePollTime=3\nobserver.election.DelayMs=200"}, show("%v", func(c *Config) []any { return []any{c.MaxBatchSize} }), "1000",
			"flushDelay ($/zoo.cfg:3), maxWriteQueuePollTime ($/zoo.cfg:4): no effect, quoll does not wait for a time that is set before it flushes: a batch is what has come while the last one was written, and what clients that were just answered ask again at once"},
		{"an observer without a log", world{cfg: "clientPort=1\nsyncEnabled=true", flags: "-Dzookeeper.observer.syncEnabled=no"}, show("%v", func(c *Config) []any { return []any{c.Distributed} }), "false",
			"JVMFLAGS: zookeeper.observer.syncEnabled: no effect, quoll does not run an observer without log and snapshots: it keeps them, and needs the disk for it"},
		{"throttle weights", world{cfg: "clientPort=1\nconnection_throttle_local_session_weight=4\nconnection_throttle_renew_session_weight=0"}, show("%+v", func(c *Config) []any {
			return []any{[]int{c.ConnectionThrottle.GlobalWeight, c.ConnectionThrottle.RenewWeight, c.ConnectionThrottle.LocalWeight}}
		}), "[4 4 4]",
			"$/zoo.cfg:4: connection_throttle_renew_session_weight: 0 is not positive; 2 is used\n" +
				"$/zoo.cfg: connection_throttle_global_session_weight: 3 is less than the weight of a local session, 4, which is used\n" +
				"$/zoo.cfg:4: connection_throttle_renew_session_weight: 2 is less than the weight of a local session, 4, which is used"},

		{"no client port", world{cfg: "tickTime=2000"}, client, " id=-1 distributed=false", "$/zoo.cfg: no client port: neither clientPort nor a client part on the line of this server"},
		{"the official image", world{cfg: "dataLogDir=/datalog\ntickTime=2000\ninitLimit=5\nsyncLimit=2\nautopurge.snapRetainCount=3\nautopurge.purgeInterval=0\nmaxClientCnxns=60\nstandaloneEnabled=true\nadmin.enableServer=true\nserver.1=localhost:2888:3888;2181", files: map[string]string{"data/myid": "1\n"}},
			client, "0.0.0.0:2181 id=1 distributed=false",
			"$/zoo.cfg: only one server line, the server runs standalone"},
		{"client part needs myid", world{cfg: "clientPort=7\nserver.1=localhost:2888:3888;2181"}, client, ":7 id=-1 distributed=false", "$/zoo.cfg: only one server line, the server runs standalone"},
		{"same port, own address", world{cfg: "clientPort=7\nserver.1=h:1:2;127.0.0.1:7", files: map[string]string{"data/myid": "1"}}, client, "127.0.0.1:7 id=1 distributed=false", "$/zoo.cfg: only one server line, the server runs standalone"},
		{"name and address", world{cfg: "clientPort=7\nclientPortAddress=localhost\nserver.1=h:1:2;127.0.0.1:7", files: map[string]string{"data/myid": "1"}}, client, "127.0.0.1:7 id=1 distributed=false",
			"$/zoo.cfg: only one server line, the server runs standalone\n" +
				"$/zoo.cfg:2: clientPort: client address localhost:7 is not written like 127.0.0.1:7 on the line of server.1, which wins"},
		{"three servers", world{cfg: "initLimit=5\nsyncLimit=2\nserver.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2;4\nserver.4=d:1:2:observer", files: map[string]string{"data/myid": "3"}},
			client, "0.0.0.0:4 id=3 distributed=true", ""},
		{"two servers", world{cfg: "initLimit=5\nsyncLimit=2\nserver.1=a:1:2;3\nserver.2=b:1:2;3", files: map[string]string{"data/myid": "2"}}, client, "0.0.0.0:3 id=2 distributed=true",
			"$/zoo.cfg: an ensemble of 2 tolerates no failure; three servers tolerate one"},
		{"one server, no standalone", world{cfg: "initLimit=5\nsyncLimit=2\nstandaloneEnabled=false\nserver.1=a:1:2;3", files: map[string]string{"data/myid": "1"}}, client, "0.0.0.0:3 id=1 distributed=true",
			"$/zoo.cfg: an ensemble of 1 tolerates no failure; three servers tolerate one"},
		{"role of the server lines", world{cfg: "initLimit=5\nsyncLimit=2\npeerType=observer\nserver.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2;3", files: map[string]string{"data/myid": "1"}},
			func(c *Config) string { return c.PeerType.String() }, "participant",
			"$/zoo.cfg:4: peerType: observer by peerType, but participant by the server lines, which win"},
		{"dynamic file", world{cfg: "initLimit=5\nsyncLimit=2\nreconfigEnabled=true\nversion=7\ndynamicConfigFile=$/zoo.cfg.dynamic.1A",
			files: map[string]string{"data/myid": "2", "zoo.cfg.dynamic.1A": "server.1=a:1:2;3\nserver.2=b:1:2;4\nserver.3=c:1:2;5", "zoo.cfg.dynamic.next": "server.1=a:1:2;3\nserver.2=b:1:2;4\nversion=2b"}},
			func(c *Config) string { return client(c) + " " + c.Ensemble.String() + " | " + c.LastSeen.String() },
			"0.0.0.0:4 id=2 distributed=true server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:participant;0.0.0.0:4\nserver.3=c:1:2:participant;0.0.0.0:5\nversion=1a | server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:participant;0.0.0.0:4\nversion=2b", ""},
		{"a proposal that is committed by now", world{cfg: "initLimit=5\nsyncLimit=2\nreconfigEnabled=true\ndynamicConfigFile=$/zoo.cfg.dynamic.2b",
			files: map[string]string{"data/myid": "2", "zoo.cfg.dynamic.2b": "server.1=a:1:2;3\nserver.2=b:1:2;4\nserver.3=c:1:2;5", "zoo.cfg.dynamic.next": "server.1=a:1:2;3\nserver.2=b:1:2;4\nversion=2b"}},
			func(c *Config) string { return fmt.Sprint(c.LastSeen) }, "<nil>", ""},
		{"a proposal without reconfigEnabled", world{cfg: "initLimit=5\nsyncLimit=2\ndynamicConfigFile=$/zoo.cfg.dynamic.1A",
			files: map[string]string{"data/myid": "2", "zoo.cfg.dynamic.1A": "server.1=a:1:2;3\nserver.2=b:1:2;4\nserver.3=c:1:2;5", "zoo.cfg.dynamic.next": "server.1=a:1:2;3\nserver.2=b:1:2;4\nversion=2b"}},
			func(c *Config) string { return fmt.Sprint(c.LastSeen) }, "<nil>", ""},
		{"members of a reconfig by --set", world{cfg: "initLimit=5\nsyncLimit=2\nreconfigEnabled=true\nserver.1=a:1:2;3\nserver.2=a:1:2;4\nserver.3=b:1:2;4", set: []string{"server.2=c:1:2;3"}, files: map[string]string{"data/myid": "1"}},
			client, "0.0.0.0:3 id=1 distributed=true", "$/zoo.cfg: the members are set outside of the configuration files, so a reconfig is not remembered over a restart"},
		{"several addresses", world{cfg: "clientPort=1\nmultiAddress.enabled=true\nserver.1=a:1:2|b:1:2"}, func(c *Config) string { return c.Ensemble.Servers[0].String() }, "a:1:2|b:1:2:participant", "$/zoo.cfg: only one server line, the server runs standalone"},
		{"servers by --set", world{cfg: "clientPort=1\nserver.1=a:1:2", set: []string{"server.1=c:1:2"}}, func(c *Config) string { return c.Ensemble.Servers[0].String() }, "c:1:2:participant", "$/zoo.cfg: only one server line, the server runs standalone"},

		{"two arguments", world{args: []string{"2182", "/d"}}, show("%d %s %v %d %v", func(c *Config) []any {
			return []any{c.ClientPort, c.DataDir, c.TickTime, c.MaxClientCnxns, c.MaxSessionTimeout}
		}), "2182 /d 3s 0 1m0s", ""},
		{"four arguments and -D", world{args: []string{"-Dzookeeper.snapCount=8", "2182", "/d", "1000", "9"}, flags: "-Dzookeeper.snapCount=7"}, show("%d %v %d %d", func(c *Config) []any {
			return []any{c.ClientPort, c.TickTime, c.MaxClientCnxns, c.SnapCount}
		}), "2182 1s 9 8", ""},
		{"nothing", world{args: []string{}}, show("%d %s %v %d", func(c *Config) []any { return []any{c.ClientPort, c.DataDir, c.TickTime, c.MaxClientCnxns} }), "2181 ./quoll-data 2s 60", ""},
		{"one argument is the file", world{args: []string{"$/zoo.cfg"}, files: map[string]string{"zoo.cfg": "dataDir=/d\nclientPort=5"}}, client, ":5 id=-1 distributed=false", ""},

		{"enforced digest", world{cfg: "clientPort=1\nenforce.auth.enabled=true\nenforce.auth.schemes=digest, ip"}, show("%v %v", func(c *Config) []any { return []any{c.EnforceAuthEnabled, c.EnforceAuthSchemes} }), "true [digest ip]", ""},
		{"schemes without enforcement", world{cfg: "clientPort=1\nenforce.auth.schemes=sasl"}, show("%v", func(c *Config) []any { return []any{c.EnforceAuthEnabled} }), "false", ""},
		{"SASL", world{cfg: "clientPort=1\nauthProvider.sasl=" + saslAuthClass + "\nsuperUser=a,b\nsuperUser.x=c\nsessionRequireClientSASLAuth=TRUE\nkerberos.removeHostFromPrincipal=true\nkerberos.removeRealmFromPrincipal=TRUE", flags: "-Djava.security.auth.login.config=/j -Dzookeeper.superUser.2=lost"},
			show("%+v %v", func(c *Config) []any { return []any{c.SASL, c.OffersSASL()} }),
			"{LoginConfig:/j Section:Server Required:true AllowFailed:false SuperPassword: SuperUsers:[a,b lost c] LetAnyUserDo: RemoveHost:true RemoveRealm:false AuthToLocal:DEFAULT RequireKerberos:false KerberosFile:} true", ""},
		{"an explicit digest provider wins", world{cfg: "clientPort=1\nDigestAuthenticationProvider.enabled=false\nauthProvider.1=" + digestAuthClass + "\nauthProvider.ip=" + ipAuthClass},
			show("%v %d", func(c *Config) []any { return []any{c.DigestAuthEnabled, len(c.AuthProviders)} }), "true 2", ""},
		{"revocation", world{cfg: "clientPort=1\nssl.crl=true\nssl.quorum.ocsp=TRUE"}, show("%v %v %v %v", func(c *Config) []any {
			return []any{c.ClientTLS.CRL, c.ClientTLS.OCSP, c.QuorumTLS.CRL, c.QuorumTLS.OCSP}
		}), "true false false true", ""},
		{"protection that is off", world{cfg: "clientPort=1\nsslQuorum=false\nssl.ocsp=false\nssl.clientAuth=none\nsessionRequireClientSASLAuth=no\nclient.portUnification=false\nserverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"},
			client, ":1 id=-1 distributed=false", ""},
		{"AdminServer keys", world{cfg: "clientPort=1\nadmin.serverPort=9090\nadmin.commandURL=/c"}, show("%d", func(c *Config) []any { return []any{c.AdminPort} }), "9090",
			""},
		{"AdminServer off", world{cfg: "clientPort=1\nadmin.enableServer=false\nadmin.serverPort=9090"}, show("%v", func(c *Config) []any { return []any{c.AdminEnabled} }), "false", ""},
		{"Prometheus", world{cfg: "clientPort=1\nmetricsProvider.className=" + PrometheusMetricsProvider + "\nmetricsProvider.httpPort=7001\nmetricsProvider.maxQueueSize=5"},
			show("%s %d", func(c *Config) []any { return []any{c.MetricsHTTPHost, c.MetricsHTTPPort} }), "0.0.0.0 7001",
			""},
		{"snapshot compression", world{cfg: "clientPort=1\nsnapshot.compression.method=GZ"}, func(c *Config) string { return c.SnapshotCompression }, "gz", ""},
		{"unknown compression", world{cfg: "clientPort=1\nsnapshot.compression.method=zip"}, func(c *Config) string { return c.SnapshotCompression }, "",
			`$/zoo.cfg:3: snapshot.compression.method: "zip" is neither gz nor snappy; snapshots are not compressed`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, warnings, problems := test.world.load(t)
			if problems != "" {
				t.Fatalf("error: %s", problems)
			}
			if got := test.get(c); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if warnings != test.warnings {
				t.Errorf("warnings\n%s\nwant\n%s", warnings, test.warnings)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	const tail = "; remove the key, or run Apache ZooKeeper where it is needed"
	for _, test := range []struct {
		world world
		want  string
	}{
		{world{args: []string{"$/none.cfg"}}, "$/none.cfg: no such file or directory"},
		{world{args: []string{"$"}}, "$: is a directory"},
		{world{args: []string{"1", "2", "3", "4", "5"}}, "5 arguments; there can be a configuration file, or clientPort dataDir [tickTime [maxClientCnxns]]"},
		{world{args: []string{"x", "/d"}}, `argument 1: clientPort: "x" is not a number`},
		{world{cfg: "a=\\u1"}, `$/zoo.cfg:2: a: \u1 is not \u and four hexadecimal digits`},
		{world{cfg: "dataDir="}, "$/zoo.cfg:1: dataDir: not set"},
		{world{cfg: "#dataDir"}, "$/zoo.cfg: dataDir: not set"},
		{world{cfg: "tickTime=0"}, "$/zoo.cfg:2: tickTime: must be positive"},
		{world{cfg: "tickTime=2000 # ms"}, `$/zoo.cfg:2: tickTime: "2000 # ms" is not a number`},
		{world{cfg: "initLimit=0x5"}, `$/zoo.cfg:2: initLimit: "0x5" is not a number`},
		{world{cfg: "clientPort=65536"}, "$/zoo.cfg:2: clientPort: 65536 is not a port"},
		{world{cfg: "clientPort="}, `$/zoo.cfg:2: clientPort: "" is not a number`},
		{world{cfg: "clientPort=a\nsyncLimit=b"}, "$/zoo.cfg:2: clientPort: \"a\" is not a number\n$/zoo.cfg:3: syncLimit: \"b\" is not a number"},
		{world{cfg: "clientPortAddress=127.0.0.1"}, "$/zoo.cfg:2: clientPortAddress: set without clientPort"},
		{world{cfg: "minSessionTimeout=5\nmaxSessionTimeout=4"}, "$/zoo.cfg:2: minSessionTimeout: 5 ms is more than maxSessionTimeout, 4 ms"},
		{world{cfg: "maxSessionTimeout=4"}, "$/zoo.cfg: minSessionTimeout: 6000 ms is more than maxSessionTimeout, 4 ms"},
		{world{cfg: "log.level=loud"}, `$/zoo.cfg:2: log.level: "loud" is neither debug nor info nor warn nor error`},
		{world{cfg: "electionAlg=0"}, "$/zoo.cfg:2: electionAlg: only 3 is supported"},
		{world{cfg: "localSessionsEnabled=yes"}, `$/zoo.cfg:2: localSessionsEnabled: "yes" is neither true nor false`},
		{world{cfg: "reconfigEnabled="}, `$/zoo.cfg:2: reconfigEnabled: "" is neither true nor false`},
		{world{cfg: "peerType=leader"}, `$/zoo.cfg:2: peerType: "leader" is neither participant nor observer`},
		{world{cfg: "metricsProvider.className=x.Y"}, `$/zoo.cfg:2: metricsProvider.className: "x.Y" is none of ` + DefaultMetricsProvider + ", " + NullMetricsProvider + ", " + PrometheusMetricsProvider},
		{world{cfg: "connection_throttle_drop_increase=x"}, `$/zoo.cfg:2: connection_throttle_drop_increase: "x" is not a number`},
		{world{cfg: "DigestAuthenticationProvider.digestAlg=MD6"}, `$/zoo.cfg:2: DigestAuthenticationProvider.digestAlg: the hash "MD6" is not known`},
		{world{flags: "-Djute.maxbuffer=0"}, "JVMFLAGS: jute.maxbuffer: must be positive"},
		{world{set: []string{"snapcont=5"}}, "--set: snapcont: unknown key"},
		{world{set: []string{"maxConcurrentSnapSyncs=5"}}, "--set: maxConcurrentSnapSyncs: unknown key; the working key is leader.maxConcurrentSnapSyncs"},
		{world{set: []string{"snapCount"}}, "--set snapCount: not of the form key=value"},

		{world{cfg: "server.1=h:1"}, `$/zoo.cfg:2: server.1: "h:1" is not of the form host:port:port[:role]`},
		{world{cfg: "server.1=a:1:2|b:1:2"}, "$/zoo.cfg:2: server.1: several addresses for one server need multiAddress.enabled=true"},
		{world{cfg: "server.1=h:1:2:observer"}, "$/zoo.cfg: observers need an ensemble of at least two participants"},
		{world{cfg: "server.1=h:1:2\nserver.2=h:1:2:observer"}, "$/zoo.cfg: observers need an ensemble of at least two participants"},
		{world{cfg: "standaloneEnabled=false"}, "$/zoo.cfg:2: standaloneEnabled: false needs at least one server line of a participant"},
		{world{cfg: "server.1=h:1:2\nserver.2=h:1:3"}, "$/zoo.cfg: initLimit: not set, but an ensemble needs it\n$/zoo.cfg: syncLimit: not set, but an ensemble needs it\n$/data/myid: the file is missing, but an ensemble needs it"},
		{world{cfg: "initLimit=1\nsyncLimit=1\nserver.1=h:1:2\nserver.2=h:1:3", files: map[string]string{"data/myid": "3"}}, "$/data/myid: server id 3 has no server line"},
		{world{cfg: "initLimit=1\nsyncLimit=1\nextendedTypesEnabled=true\nserver.255=h:1:2\nserver.2=h:1:3", files: map[string]string{"data/myid": "255"}}, "$/data/myid: server id 255 is more than 254, which extendedTypesEnabled does not allow"},
		{world{files: map[string]string{"data/myid": "1 "}}, `$/data/myid:1: "1 " is not a server id`},
		{world{files: map[string]string{"data/myid": ""}}, `$/data/myid:1: "" is not a server id`},
		{world{cfg: "clientPort=7\nserver.1=h:1:2;8", files: map[string]string{"data/myid": "1"}}, "$/zoo.cfg:2: clientPort: client address :7 differs from 0.0.0.0:8 on the line of server.1"},
		{world{cfg: "clientPort=7\nclientPortAddress=127.0.0.1\nserver.1=h:1:2;7", files: map[string]string{"data/myid": "1"}}, "$/zoo.cfg:2: clientPort: client address 127.0.0.1:7 differs from 0.0.0.0:7 on the line of server.1"},
		{world{cfg: "dynamicConfigFile=$/dyn\nserver.1=h:1:2\nweights=1", files: map[string]string{"dyn": "server.1=h:1:2"}},
			"$/zoo.cfg:3: server.1: must be in the dynamic configuration file $/dyn, not beside dynamicConfigFile\n$/zoo.cfg:4: weights: must be in the dynamic configuration file $/dyn, not beside dynamicConfigFile"},
		{world{cfg: "dynamicConfigFile=$/dyn"}, "$/dyn: no such file or directory"},
		{world{cfg: "dynamicConfigFile=$/dyn", files: map[string]string{"dyn": "server.1=h:1:2\nversion=5"}}, "$/dyn:2: version: not allowed in a dynamic configuration file; the version is the end of the file's name"},
		{world{cfg: "dynamicConfigFile=$/dyn", files: map[string]string{"dyn": "server.1=h:1:2\ntickTime=5"}}, "$/dyn:2: tickTime: unknown key, only server, group and weight lines are allowed here"},

		{world{cfg: "audit.enable=true\naudit.impl.class=x.Y"}, "$/zoo.cfg:3: audit.impl.class: quoll does not load Java classes that write the audit log" + tail},
		{world{cfg: "ssl.authProvider=own"}, "$/zoo.cfg:2: ssl.authProvider: quoll does not have authentication providers other than digest, ensemble, ip, sasl and x509" + tail},
		{world{cfg: "ssl.context.supplier.class=a.B"}, "$/zoo.cfg:2: ssl.context.supplier.class: quoll does not load Java classes for TLS" + tail},
		{world{cfg: "secureClientPortAddress=127.0.0.1"}, "$/zoo.cfg:2: secureClientPortAddress: set without secureClientPort"},
		{world{cfg: "IPAuthenticationProvider.usexforwardedfor=true"}, "$/zoo.cfg:2: IPAuthenticationProvider.usexforwardedfor: quoll does not take the address of a client from a header that anybody can write (CVE-2024-51504)" + tail},
		{world{cfg: "metricsProvider.httpsPort=7001"}, "$/zoo.cfg:2: metricsProvider.httpsPort: quoll does not serve metrics over HTTPS, and nor does ZooKeeper 3.9" + tail},
		{world{cfg: "ssl.somethingNew=x"}, "$/zoo.cfg:2: ssl.somethingNew: quoll does not know that TLS setting" + tail},
		{world{cfg: "sessionRequireClientSASLAuth=true", flags: "-Djava.security.auth.login.config=/j"}, "$/zoo.cfg:2: sessionRequireClientSASLAuth: true, but the scheme sasl needs authProvider.1=" + saslAuthClass},
		{world{cfg: "authProvider.1=org.apache.zookeeper.server.auth.KeyAuthenticationProvider"}, "$/zoo.cfg:2: authProvider.1: quoll does not have authentication providers other than digest, ensemble, ip, sasl and x509" + tail},
		{world{flags: "-Dzookeeper.authProvider.x=a.B"}, "JVMFLAGS: zookeeper.authProvider.x: quoll does not have authentication providers other than digest, ensemble, ip, sasl and x509" + tail},
		{world{cfg: "quorum.auth.serverRequireSasl=true\nquorum.auth.learnerRequireSasl=true"},
			"$/zoo.cfg:2: quorum.auth.serverRequireSasl: true without quorum.auth.enableSasl\n$/zoo.cfg:3: quorum.auth.learnerRequireSasl: true without quorum.auth.enableSasl"},
		{world{cfg: "quorum.auth.enableSasl=true\nquorum.auth.serverRequireSasl=true"}, "$/zoo.cfg:3: quorum.auth.serverRequireSasl: true without quorum.auth.learnerRequireSasl"},
		{world{cfg: "oraclePath=/o"}, "$/zoo.cfg:2: oraclePath: quoll does not ask an oracle for the quorum of two servers" + tail},
		{world{cfg: "emulate353TTLNodes=true"}, "$/zoo.cfg:2: emulate353TTLNodes: quoll does not emulate the TTL nodes of release 3.5.3" + tail},
		{world{cfg: "enforce.auth.enabled=true"}, "$/zoo.cfg:2: enforce.auth.enabled: true, but enforce.auth.schemes names no scheme"},
		{world{cfg: "enforce.auth.enabled=true\nenforce.auth.schemes=digest,sasl"}, "$/zoo.cfg:3: enforce.auth.schemes: the scheme sasl needs authProvider.1=" + saslAuthClass},
		{world{cfg: "enforce.auth.enabled=true\nenforce.auth.schemes=ensemble"}, `$/zoo.cfg:3: enforce.auth.schemes: quoll does not have the scheme "ensemble"; it has digest, ip, sasl and x509`},
		{world{cfg: "enforce.auth.enabled=true\nenforce.auth.schemes=x509"}, "$/zoo.cfg:3: enforce.auth.schemes: the scheme x509 needs secureClientPort or client.portUnification"},
		{world{cfg: "enforce.auth.enabled=true\nenforce.auth.schemes=digest\nDigestAuthenticationProvider.enabled=false"}, "$/zoo.cfg:3: enforce.auth.schemes: the scheme digest is switched off by DigestAuthenticationProvider.enabled"},
	} {
		t.Run(test.want, func(t *testing.T) {
			_, _, problems := test.world.load(t)
			if problems != test.want {
				t.Errorf("%q, set %q, args %q, flags %q\n got %s\nwant %s", test.world.cfg, test.world.set, test.world.args, test.world.flags, problems, test.want)
			}
		})
	}
}

// TestOrigin: where a setting came from can be asked for.
func TestOrigin(t *testing.T) {
	c, _, problems := world{cfg: "clientPort=1\nmaxCnxns=5", flags: "-Dzookeeper.snapCount=5"}.load(t)
	if problems != "" {
		t.Fatal(problems)
	}
	for key, want := range map[string]string{"maxCnxns": "zoo.cfg:3", "snapCount": "JVMFLAGS", "tickTime": ""} {
		o, ok := c.Origin(key)
		if got := filepath.Base(o.String()); ok != (want != "") || ok && got != want {
			t.Errorf("%s comes from %s, %v; want %q", key, got, ok, want)
		}
	}
	if c.File == "" || !strings.HasSuffix(c.Text, "maxCnxns=5") {
		t.Errorf("file %q, text %q", c.File, c.Text)
	}
}

func TestScale(t *testing.T) {
	for _, n := range []int64{1 << 62, -1 << 62} {
		if d := scale(n, time.Hour); (d > 0) != (n > 0) {
			t.Errorf("%d hours are %v", n, d)
		}
	}
}
