package admin

// difference is something in which quoll is meant to differ, or may. Place is a regular expression for role, question and path within the answer, with blanks in between.
type difference struct {
	place, kind, reason string
	// may is set for what is only different at times: a row without it that nothing needs is an error.
	may bool
	// metric is set for what TestMetrics needs.
	metric bool
}

const (
	ofTheRun    = "of the time, or of this run"
	reflection  = "Java's order is that of reflection, and another one in the next virtual machine"
	noVM        = "there is no virtual machine"
	stackTrace  = "Java answers with a stack trace"
	noRestore   = "a member that is restored alone would be another state machine than the others; quoll restore does it"
	members     = "(leader|follower|observer)"
	stats       = `(server_stats|srvr|stats|stat)`
	environment = `(environment|env|envi)`
	properties  = `(system_properties|sysp)`
	monitor     = `(monitor|mntr)`
)

// differences is the table of all of them.
var differences = []difference{
	// HTTP.
	{place: ` Server$`, kind: "no header", reason: "no name and version of a program is told to everybody"},
	{place: ` /commands/? Content-Type$`, kind: "more header", reason: "the type of the list is said, lest a browser guess"},
	{place: ` /commands/? Link$`, kind: "more header", reason: "to the console; the list itself is Java's"},
	{place: `^\S+ GET /(commandsx)?$`, kind: "body", reason: "a page of Jetty's"},
	{place: `^\S+ GET /(commandsx)? Cache-Control$`, kind: "no header", reason: "a page of Jetty's"},
	{place: `^\S+ GET /(commandsx)? X-Content-Type-Options$`, kind: "more header", reason: "a page of Go's"},
	{place: `POST /commands/(ruok|snapshot\?7.*)$|GET /commands/restore\?3 .*$`, kind: "status", reason: stackTrace},
	{place: `POST /commands/(ruok|snapshot\?7.*)$|GET /commands/restore\?3 .*$`, kind: "body", reason: stackTrace},
	{place: `(POST /commands/(ruok|snapshot\?7.*)|GET /commands/restore\?3 .*) Allow$`, kind: "more header", reason: stackTrace},
	{place: `(POST /commands/(ruok|snapshot\?7.*)|GET /commands/restore\?3 .*) Cache-Control$`, kind: "no header", reason: stackTrace},
	{place: `^looking GET /commands/` + monitor + `$`, kind: "status", reason: stackTrace},
	{place: `^looking GET /commands/` + monitor + `$`, kind: "body", reason: stackTrace},
	{place: `^looking GET /commands/` + monitor + ` Cache-Control$`, kind: "no header", reason: stackTrace},

	{place: `^\S+ (GET /(commandsx)?|(PUT|TRACE) .*|POST /commands/(ruok|snapshot\?7.*)|GET /commands/restore\?3 .*|GET /commands/` + monitor + `) Date$`, kind: "more header", reason: "Java has none with an error"},
	{place: `^\S+ (PUT|OPTIONS|TRACE) .* Content-Length$`, kind: "more header", reason: "Java has none for an answer that is empty"},
	{place: `^(` + members + ` POST /commands/restore\?[45]|read-only POST /commands/restore\?)`, kind: "status", reason: noRestore},
	{place: `^(` + members + ` POST /commands/restore\?[45]|read-only POST /commands/restore\?)`, kind: "type", reason: noRestore},

	// Of the program and its machine.
	{place: ` /commands/` + environment + ` (java\.(version|vendor|home|class\.path|library\.path)|host\.name|os\.memory\.(free|max|total)|zookeeper\.version)$`, kind: "value", reason: "of the program: " + noVM},
	{place: ` /commands/` + stats + ` version$`, kind: "value", reason: "each names its own commit and date of build"},
	{place: ` /commands/` + properties + ` (file|java|jdk|jetty|line|native|os|path|sun|user|awt)\.`, kind: "no key", reason: noVM},
	{place: ` /commands/` + properties + ` zookeeper\.jmx\.`, kind: "no key", reason: noVM, may: true},
	{place: `^standalone GET /commands/(initial_configuration|icfg) initial_configuration$`, kind: "value", reason: "secrets are masked"},
	{place: ` /commands/` + properties + ` zookeeper\.ssl\.keyStore\.password$`, kind: "value", reason: "secrets are masked"},
	{place: ` /commands/` + stats + ` server_stats$`, kind: "order", reason: reflection, may: true},
	{place: ` /commands/` + monitor + `$`, kind: "order", reason: "Java's order is that of a hash table"},
	{place: ` /commands/` + monitor + ` `, kind: "value", reason: "package compat compares them, after each word"},
	{place: ` /commands/dump (session_id_to_ephemeral_paths|expiry_time_to_session_ids)$`, kind: "order", reason: "Java's order is that of a hash table", may: true},
	{place: ` /commands/(watches|wchc|watches_by_path|wchp) `, kind: "order", reason: "Java's order is that of a hash table", may: true},

	// Of the run.
	{place: ` /commands/(connections|cons|stats|stat) (secure_)?connections \[\] (remote_socket_address|established|last_response_time|last_latency|min_latency|avg_latency|max_latency)$`, kind: "value", reason: ofTheRun},
	{place: ` /commands/(connections|cons|stats|stat) connections \[\] packets_(sent|received)$`, kind: "value", reason: "pings are sent when it is time", may: true},
	{place: ` /commands/(connections|cons|stats|stat) connections \[\] interest_ops$`, kind: "value", reason: "an answer is being written at that moment", may: true},
	{place: ` /commands/dump expiry_time_to_session_ids \d+$`, kind: "no key", reason: ofTheRun},
	{place: ` /commands/dump expiry_time_to_session_ids \d+$`, kind: "more key", reason: ofTheRun},
	{place: ` /commands/(connections|cons) connections \[\] last_operation$| (client_response|client_response_stats) last_buffer_size$`, kind: "value", reason: "a slow run has pings", may: true},
	{place: ` /commands/` + properties + ` zookeeper\.server\.\d$`, kind: "value", reason: ofTheRun},
	{place: ` /commands/hash digests \[\] digest$`, kind: "value", reason: "znodes have times"},
	{place: ` /commands/` + stats + ` server_stats (packets_(sent|received)|(min|avg|max)_latency|uptime)$`, kind: "value", reason: ofTheRun},
	{place: ` /commands/` + stats + ` server_stats (data|log)_dir_size$| /commands/dirs (data|log)dir_size$`, kind: "value", reason: "files end in different places"},
	{place: ` /commands/(last_snapshot|lsnp) timestamp$`, kind: "value", reason: ofTheRun},
	{place: members + ` GET /commands/(last_snapshot|lsnp) zxid$`, kind: "value", reason: "quoll writes a snapshot when it is worth it"},
	{place: `^leader GET /commands/(observers|obsr) observers \[\] (remote_socket_address|established|packets_(sent|received))$`, kind: "value", reason: ofTheRun},
	{place: `^leader GET /commands/obsr observers \[\] last_zxid$`, kind: "value", reason: "asked behind a reset: it is that of a ping, or none yet", may: true},
	{place: `^leader GET /commands/(observers|obsr) observers \[\] queued_packets_size$`, kind: "value", reason: "Java takes more off than it adds"},

	// Metrics. A labelled one before its first value is not there either, where Java has its HELP and TYPE; what HELP says is not compared.
	{place: ` GET /metrics jvm_`, kind: "no sample", reason: noVM, metric: true},
	{place: ` (mntr|monitor) (zk_)?(jvm|process)_`, kind: "no sample", reason: "of the process, and only at the endpoint", metric: true},
	{place: ` GET /metrics (go|process)_`, kind: "more sample", reason: "of the process and the Go runtime", metric: true},
	{place: ` GET /metrics quoll_`, kind: "more sample", reason: "quoll's own", metric: true},
	{place: `^looking monitor (command|error)$`, kind: "more sample", reason: stackTrace, metric: true},
}
