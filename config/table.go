package config

import (
	"slices"
	"strings"
)

// What quoll lacks, in the words of [Key.Lacks]. Keys with the same text share one line at start.
const (
	lacksForwarded      = "take the address of a client from a header that anybody can write (CVE-2024-51504)"
	lacksHTTP           = "speak another version of HTTP than 1.1 at the AdminServer"
	lacksAuditClass     = "load Java classes that write the audit log"
	lacksMetricsTLS     = "serve metrics over HTTPS, and nor does ZooKeeper 3.9"
	lacksProvider       = "have authentication providers other than digest, ensemble, ip, sasl and x509"
	lacksRevocation     = "check whether certificates are revoked"
	lacksReverseDNS     = "look up the names of clients"
	lacksTLSClass       = "load Java classes for TLS"
	lacksTLSSetting     = "know that TLS setting"
	lacksOracle         = "ask an oracle for the quorum of two servers"
	lacksOldTTL         = "emulate the TTL nodes of release 3.5.3"
	lacksKrb5Properties = "take realm and KDC from properties: name them in a krb5.conf"
	lacksBareObserver   = "run an observer without log and snapshots: it keeps them, and needs the disk for it"
	lacksElectionDelay  = "have an observer wait before it looks for a leader: what it sends the voters meanwhile is a message to each; observer.reconnectDelayMs spreads the connections"
	lacksObserverQueue  = "keep packets on a follower for observers: it passes them on from the leader, at whose pace each observer reads"
	lacksFlushDelay     = "wait for more transactions before it flushes: a batch is what has come while the last one was written"
)

// The metrics providers of ZooKeeper.
const (
	DefaultMetricsProvider    = "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"
	NullMetricsProvider       = "org.apache.zookeeper.metrics.impl.NullMetricsProvider"
	PrometheusMetricsProvider = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
)

// What there can be of the console, see admin.console.
const (
	ConsoleOff  = "off"
	ConsoleRead = "read"
	ConsoleEdit = "edit"
)

const (
	authPackage       = "org.apache.zookeeper.server.auth."
	ipAuthClass       = authPackage + "IPAuthenticationProvider"
	digestAuthClass   = authPackage + "DigestAuthenticationProvider"
	x509AuthClass     = authPackage + "X509AuthenticationProvider"
	ensembleAuthClass = authPackage + "EnsembleAuthenticationProvider"
	saslAuthClass     = authPackage + "SASLAuthenticationProvider"
	nioFactoryClass   = "org.apache.zookeeper.server.NIOServerCnxnFactory"
	auditLoggerClass  = "org.apache.zookeeper.audit.Slf4jAuditLogger"
	nettyFactoryName  = "org.apache.zookeeper.server.NettyServerCnxnFactory"
)

func always(string) bool { return true }

var sections = []Section{
	{"Directories and basics", "", []Key{
		{Name: "dataDir", Where: FileOnly, Kind: String, DefaultNote: "required in a file; `./quoll-data` without one", Doc: "Directory of snapshots, epoch files and myid.",
			field: func(c *Config) any { return &c.DataDir }},
		{Name: "dataLogDir", Where: FileOnly, Kind: String, DefaultNote: "dataDir", Doc: "Directory of transaction logs.",
			field: func(c *Config) any { return &c.DataLogDir }},
		{Name: "tickTime", Where: FileOnly, Kind: Int, Unit: "ms", Default: "3000", DefaultNote: "3000; 2000 without a file", Agree: "initLimit, syncLimit and session timeouts are counted in it", Doc: "Base unit of time; 0 is refused.",
			field: func(c *Config) any { return &c.TickTime }},
		{Name: "clientPort", Where: FileOnly, Kind: Int, Unit: "port", DefaultNote: "none; 2181 without a file", Doc: "Plain client port; the client part of this server's own server.N line may give it instead.",
			field: func(c *Config) any { return &c.ClientPort }},
		{Name: "clientPortAddress", Where: FileOnly, Kind: String, DefaultNote: "all addresses", Doc: "Address to bind for clients; an error without clientPort.",
			field: func(c *Config) any { return &c.ClientPortAddress }},
		{Name: "secureClientPort", Where: FileOnly, Kind: Int, Unit: "port", DefaultNote: "none", Doc: "TLS client port; it needs ssl.keyStore.location.",
			field: func(c *Config) any { return &c.SecureClientPort }},
		{Name: "secureClientPortAddress", Where: FileOnly, Kind: String, DefaultNote: "all addresses", Doc: "Address to bind for TLS clients; an error without secureClientPort.",
			field: func(c *Config) any { return &c.SecureClientPortAddress }},
		{Name: "clientPortListenBacklog", Where: FileOnly, Kind: Int, Default: "-1", Doc: "Listen backlog of the client port; -1 leaves it to the operating system.",
			field: func(c *Config) any { return &c.ClientPortListenBacklog }},
		{Name: "maxClientCnxns", Where: FileOnly, Kind: Int, Default: "60", Agree: "a client that moves would be turned away", Doc: "Connections per client address, 0 for no limit; what is above is closed at once.",
			field: func(c *Config) any { return &c.MaxClientCnxns }},
		{Name: "minSessionTimeout", Where: FileOnly, Kind: Int, Unit: "ms", Default: "-1", DefaultNote: "2 ticks", Agree: "a client that moves would get another timeout", Doc: "Shortest session timeout a client may negotiate.",
			field: func(c *Config) any { return &c.MinSessionTimeout }},
		{Name: "maxSessionTimeout", Where: FileOnly, Kind: Int, Unit: "ms", Default: "-1", DefaultNote: "20 ticks", Agree: "a client that moves would get another timeout", Doc: "Longest session timeout a client may negotiate; less than the shortest is refused.",
			field: func(c *Config) any { return &c.MaxSessionTimeout }},
		{Name: "autopurge.snapRetainCount", Where: FileOnly, Kind: Int, Default: "3", Doc: "Snapshots kept by the purge; less than 3 is raised to 3.",
			field: func(c *Config) any { return &c.AutopurgeSnapRetainCount }},
		{Name: "autopurge.purgeInterval", Where: FileOnly, Kind: Int, Unit: "hours", Default: "0", Doc: "Time between purges of old snapshots and logs; 0 is off.",
			field: func(c *Config) any { return &c.AutopurgePurgeInterval }},
	}},

	{"Ensemble", "A server is a member of an ensemble if there is more than one voter, or standaloneEnabled=false. One server line, as in container images, is a standalone server.", []Key{
		{Name: "server.N", Where: FileOnly, Doc: "A member: `host:quorumPort:electionPort[:participant|observer][;[clientHost:]clientPort]`, several addresses joined by `|`."},
		{Name: "group.N", Where: FileOnly, Doc: "A group of a hierarchical quorum: server ids joined by `:`."},
		{Name: "weight.N", Where: FileOnly, Doc: "The weight of a server in its group; 1 when absent."},
		{Name: "version", Where: FileOnly, Doc: "Version of the membership, hexadecimal; an error inside a dynamic file, whose name carries it."},
		{Name: "dynamicConfigFile", Where: FileOnly, Doc: "File with the server, group and weight lines, which are then errors in zoo.cfg.",
			field: func(c *Config) any { return &c.DynamicConfigFile }},
		{Name: "standaloneEnabled", Where: FileOnly, Kind: Bool, Default: "true", Agree: "a member without it stands alone", Doc: "A single server line starts a standalone server.",
			field: func(c *Config) any { return &c.StandaloneEnabled }},
		{Name: "reconfigEnabled", Where: FileOnly, Kind: Bool, Default: "false", Agree: "who leads allows it, and who follows has to keep it", Doc: "Allow the reconfig operation.",
			field: func(c *Config) any { return &c.ReconfigEnabled }},
		{Name: "initLimit", Where: FileOnly, Kind: Int, Unit: "ticks", DefaultNote: "required in ensembles", Agree: "leader and learner wait for each other", Doc: "Time for a learner to connect to the leader and synchronise.",
			field: func(c *Config) any { return &c.InitLimit }},
		{Name: "syncLimit", Where: FileOnly, Kind: Int, Unit: "ticks", DefaultNote: "required in ensembles", Agree: "leader and learner wait for each other", Doc: "Time a learner may lag behind the leader.",
			field: func(c *Config) any { return &c.SyncLimit }},
		{Name: "connectToLearnerMasterLimit", Where: FileOnly, Kind: Int, Unit: "ticks", Default: "0", DefaultNote: "initLimit", Agree: "leader and learner wait for each other", Doc: "Time for a learner to reach the leader after the election.",
			field: func(c *Config) any { return &c.ConnectToLearnerMasterLimit }},
		{Name: "electionAlg", Where: FileOnly, Kind: Int, Default: "3", Status: Accepted, Doc: "Election algorithm; any value but 3 is refused.",
			field: func(c *Config) any { return &c.electionAlg }},
		{Name: "peerType", Where: FileOnly, Kind: String, Default: "participant", Status: Accepted, Doc: "Role of this server, `participant` or `observer`; the server lines win over it."},
		{Name: "quorumListenOnAllIPs", Where: FileOnly, Kind: Bool, Default: "false", Doc: "Bind the quorum and election ports on all addresses.",
			field: func(c *Config) any { return &c.QuorumListenOnAllIPs }},
		{Name: "observerMasterPort", Where: FileOnly, Kind: Int, Default: "0", Agree: "an observer looks for it on every follower", Doc: "Port on which followers serve observers; 0 is off. A follower passes the connections on to the leader.",
			field: func(c *Config) any { return &c.ObserverMasterPort }},
		{Name: "localSessionsEnabled", Where: FileOnly, Kind: Bool, Default: "false", Agree: "a session would be local or global after the server that made it", Doc: "Sessions known only to the server of the client (ensembles).",
			field: func(c *Config) any { return &c.LocalSessionsEnabled }},
		{Name: "localSessionsUpgradingEnabled", Where: FileOnly, Kind: Bool, Default: "false", Agree: "whether a local session may have ephemeral nodes would depend on the server", Doc: "Make a local session global when it creates an ephemeral node.",
			field: func(c *Config) any { return &c.LocalSessionsUpgradingEnabled }},
		{Name: "syncEnabled", Where: FileOnly, Kind: Bool, Default: "true", Status: Warns, Lacks: lacksBareObserver, Doc: "Observers write logs and snapshots."},
		{Name: "observer.syncEnabled", Kind: Flag, Default: "true", DefaultNote: "syncEnabled", Status: Warns, Lacks: lacksBareObserver, Doc: "Wins over syncEnabled."},
		{Name: "oraclePath", Where: FileOnly, Kind: String, Status: Refuses, Lacks: lacksOracle, asks: always, Doc: "File of the oracle that decides for ensembles of two."},
		{Name: "multiAddress.enabled", Kind: Bool, Default: "false", Agree: "servers with it send several addresses, which the others do not read", Doc: "Allow several addresses per server line.",
			field: func(c *Config) any { return &c.MultiAddressEnabled }},
		{Name: "multiAddress.reachabilityCheckEnabled", Kind: Bool, Default: "true", Status: Accepted, Doc: "Look for the reachable one of several addresses; quoll dials all at once and takes the first that answers."},
		{Name: "multiAddress.reachabilityCheckTimeoutMs", Kind: Int, Unit: "ms", Default: "1000", Status: Accepted, Doc: "Timeout of that check."},
		{Name: "cnxTimeout", Kind: Int, Unit: "ms", Default: "5000", Doc: "Connect timeout of the election.",
			field: func(c *Config) any { return &c.CnxTimeout }},
		{Name: "quorumCnxnTimeoutMs", Kind: LenientInt, Unit: "ms", Default: "-1", DefaultNote: "syncLimit ticks", Doc: "Read timeout of election connections.",
			field: func(c *Config) any { return &c.QuorumCnxnTimeout }},
		{Name: "electionPortBindRetry", Kind: LenientInt, Default: "3", Doc: "Attempts to bind the election port; 0 is for ever.",
			field: func(c *Config) any { return &c.ElectionPortBindRetry }},
		{Name: "fastleader.minNotificationInterval", Kind: LenientInt, Unit: "ms", Default: "200", Doc: "Shortest pause between election rounds.",
			field: func(c *Config) any { return &c.MinNotificationInterval }},
		{Name: "fastleader.maxNotificationInterval", Kind: LenientInt, Unit: "ms", Default: "60000", Doc: "Longest pause between election rounds.",
			field: func(c *Config) any { return &c.MaxNotificationInterval }},
		{Name: "leaderServes", Kind: Word, Word: "no", Default: "yes", Agree: "clients would lose their server after some elections and not after others", Doc: "`no`: the leader of an ensemble takes no clients.",
			field: func(c *Config) any { return &c.LeaderServes }},
		{Name: "leader.maxTimeToWaitForEpoch", Kind: LenientInt, Unit: "ms", Default: "-1", DefaultNote: "initLimit ticks", Doc: "Longest wait of a new leader for a quorum of epochs.",
			field: func(c *Config) any { return &c.LeaderMaxTimeToWaitForEpoch }},
		{Name: "leader.maxConcurrentSnapSyncs", Kind: LenientInt, Default: "10", Doc: "Snapshots that a leader sends at a time.",
			field: func(c *Config) any { return &c.LeaderMaxConcurrentSnapSyncs }},
		{Name: "leader.maxConcurrentDiffSyncs", Kind: LenientInt, Default: "100", Doc: "Differences that a leader sends at a time.",
			field: func(c *Config) any { return &c.LeaderMaxConcurrentDiffSyncs }},
		{Name: "leader.ackLoggingFrequency", Kind: LenientInt, Default: "1000", Doc: "Zxids to one whose acknowledgements are timed (`ack_latency`); 0 or less is none.",
			field: func(c *Config) any { return &c.LeaderAckLoggingFrequency }},
		{Name: "leader.closeSocketAsync", Kind: Flag, Default: "false", Status: Accepted, Doc: "Close learner sockets in a thread of their own."},
		{Name: "learner.closeSocketAsync", Kind: Flag, Default: "false", Status: Accepted, Doc: "Close the leader's socket in a thread of its own."},
		{Name: "learner.asyncSending", Kind: Flag, Default: "false", Status: Accepted, Doc: "Send to the leader in a thread of its own."},
		{Name: "leader.nodelay", Where: PropertyOnly, Kind: Word, Word: "true", Default: "true", Status: Accepted, Doc: "TCP_NODELAY on the leader's connections."},
		{Name: "follower.nodelay", Where: PropertyOnly, Kind: Word, Word: "true", Default: "true", Status: Accepted, Doc: "TCP_NODELAY on a learner's connection."},
		{Name: "leaderConnectDelayDuringRetryMs", Kind: LenientInt, Unit: "ms", Default: "100", Doc: "Pause of a learner between attempts to reach the leader.",
			field: func(c *Config) any { return &c.LeaderConnectDelayDuringRetry }},
		{Name: "forceSnapshotSync", Kind: Flag, Default: "false", Doc: "Always synchronise learners with a snapshot.",
			field: func(c *Config) any { return &c.ForceSnapshotSync }},
		{Name: "observer.reconnectDelayMs", Kind: LenientLong, Unit: "ms", Default: "0", Doc: "An observer that has lost its leader waits up to so long, at random, before it connects again; 0 is off.",
			field: func(c *Config) any { return &c.ObserverReconnectDelay }},
		{Name: "observer.election.DelayMs", Kind: LenientLong, Unit: "ms", Default: "200", Status: Warns, Lacks: lacksElectionDelay, Doc: "Pause of an observer before it looks for a leader."},
		{Name: "observerMaster.sizeLimit", Kind: LenientInt, Unit: "bytes", Default: "33554432", Status: Warns, Lacks: lacksObserverQueue, Doc: "Recent packets that a follower keeps for observers."},
		{Name: "tcpKeepAlive", Kind: Flag, Default: "false", Doc: "SO_KEEPALIVE on election connections.",
			field: func(c *Config) any { return &c.TCPKeepAlive }},
		{Name: "commitLogCount", Kind: LenientDecimal, Default: "500", Doc: "Recent proposals kept in memory to synchronise learners; at least 500.",
			field: func(c *Config) any { return &c.CommitLogCount }},
		{Name: "snapshotSizeFactor", Kind: LenientDouble, Default: "0.33", Doc: "Synchronise from the log on disk while it is smaller than this share of the snapshot; negative is off, above 1 the default.",
			field: func(c *Config) any { return &c.SnapshotSizeFactor }},
		{Name: "db.autocreate", Kind: Flag, Default: "true", Doc: "A server with an empty database may vote.",
			field: func(c *Config) any { return &c.DBAutocreate }},
		{Name: "readonlymode.enabled", Where: PropertyOnly, Kind: Flag, Default: "false", Doc: "Serve read-only clients while there is no quorum (ensembles), and allow the four-letter word isro.",
			field: func(c *Config) any { return &c.ReadOnlyModeEnabled }},
		{Name: "enableEagerACLCheck", Kind: Flag, Default: "false", Doc: "A member refuses a write that the ACLs in its own tree do not allow before the leader gets it; the leader checks the others as always.",
			field: func(c *Config) any { return &c.EnableEagerACLCheck }},
	}},

	{"Storage and transactions", "", []Key{
		{Name: "snapCount", Kind: LenientInt, Default: "100000", DefaultNote: "none", Doc: "Transactions between snapshots, randomised; at least 2. Without it and snapSizeLimitInKb one is written when the log since the last one is as large as that, 64 MiB at least.",
			field: func(c *Config) any { return &c.SnapCount }},
		{Name: "snapSizeLimitInKb", Kind: LenientLong, Unit: "KiB", Default: "4194304", DefaultNote: "none", Doc: "Size of log between snapshots; 0 or less is no limit (0 crashes Java).",
			field: func(c *Config) any { return &c.SnapSizeLimitKiB }},
		{Name: "txnLogSizeLimitInKb", Kind: LenientLong, Unit: "KiB", Default: "-1", Doc: "Start a new log file at this size; 0 or less is no limit.",
			field: func(c *Config) any { return &c.TxnLogSizeLimitKiB }},
		{Name: "preAllocSize", Kind: LenientDecimalLong, Unit: "KiB", Default: "65536", Doc: "Step in which log files grow; 0 or less is no preallocation.",
			field: func(c *Config) any { return &c.PreAllocSizeKiB }},
		{Name: "forceSync", Kind: Word, Word: "no", Default: "yes", Agree: "a quorum of members that have a write counts as a write on disk", Doc: "`no`: acknowledge writes that are not durable yet.",
			field: func(c *Config) any { return &c.ForceSync }},
		{Name: "fsync.warningthresholdms", Alias: "fsync.warningthresholdms", Kind: LenientLong, Unit: "ms", Default: "1000", Doc: "Warn about a slower sync of the log.",
			field: func(c *Config) any { return &c.FsyncWarningThreshold }},
		{Name: "snapshot.compression.method", Kind: String, DefaultNote: "none", Doc: "Compression of snapshots: `gz`, `snappy` or nothing.",
			field: func(c *Config) any { return &c.SnapshotCompression }},
		{Name: "snapshot.trust.empty", Kind: Flag, Default: "false", Doc: "Accept transaction logs without a snapshot.",
			field: func(c *Config) any { return &c.SnapshotTrustEmpty }},
		{Name: "serializeLastProcessedZxid.enabled", Kind: Flag, Default: "true", Doc: "Write the last processed zxid at the end of snapshots.",
			field: func(c *Config) any { return &c.SerializeLastProcessedZxid }},
		{Name: "digest.enabled", Kind: Flag, Default: "true", Agree: "a member without it is compared with none", Doc: "Compute, store and compare digests of the tree.",
			field: func(c *Config) any { return &c.DigestEnabled }},
		{Name: "closeSessionTxn.enabled", Kind: Flag, Default: "true", Agree: "who leads does it", Doc: "Write the paths of deleted ephemeral nodes into closeSession transactions.",
			field: func(c *Config) any { return &c.CloseSessionTxnEnabled }},
		{Name: "datadir.autocreate", Kind: Flag, Default: "true", Doc: "Create the directories when they are missing.",
			field: func(c *Config) any { return &c.DataDirAutocreate }},
		{Name: "extendedTypesEnabled", Kind: Flag, Default: "false", Agree: "a member without it cannot read what another has taken", Doc: "Allow nodes with a time to live.",
			field: func(c *Config) any { return &c.ExtendedTypesEnabled }},
		{Name: "emulate353TTLNodes", Kind: Flag, Default: "false", Status: Refuses, Lacks: lacksOldTTL, Doc: "Read TTL nodes in the form of release 3.5.3."},
		{Name: "znode.container.checkIntervalMs", Where: PropertyOnly, Kind: LenientInt, Unit: "ms", Default: "60000", Agree: "who leads does it", Doc: "Time between scans for empty containers and expired TTL nodes.",
			field: func(c *Config) any { return &c.ContainerCheckInterval }},
		{Name: "znode.container.maxPerMinute", Where: PropertyOnly, Kind: LenientInt, Default: "10000", Agree: "who leads does it", Doc: "Most deletions per minute of these scans.",
			field: func(c *Config) any { return &c.ContainerMaxPerMinute }},
		{Name: "znode.container.maxNeverUsedIntervalMs", Where: PropertyOnly, Kind: LenientLong, Unit: "ms", Default: "0", Agree: "who leads does it", Doc: "Delete containers that never had a child after this time; 0 keeps them.",
			field: func(c *Config) any { return &c.ContainerMaxNeverUsedInterval }},
		{Name: "enforceQuota", Kind: Flag, Default: "false", Agree: "who leads does it", Doc: "Hard quotas refuse writes.",
			field: func(c *Config) any { return &c.EnforceQuota }},
		{Name: "jute.maxbuffer", Where: PropertyOnly, Kind: LenientInt, Unit: "bytes", Default: "1048575", Agree: "a write that one member takes must not be too large for another", Doc: "Largest request, reply and record.",
			field: func(c *Config) any { return &c.JuteMaxBuffer }},
		{Name: "jute.maxbuffer.extrasize", Kind: LenientInt, Unit: "bytes", Default: "1048575", DefaultNote: "jute.maxbuffer", Agree: "a write that one member takes must not be too large for another", Doc: "Slack when records are read back; at least 1024.",
			field: func(c *Config) any { return &c.JuteMaxBufferExtraSize }},
		{Name: "maxResponseCacheSize", Kind: LenientInt, Default: "400", Status: Accepted, Doc: "Entries of Java's cache of serialized nodes."},
		{Name: "maxGetChildrenResponseCacheSize", Kind: LenientInt, Default: "400", Doc: "Znodes whose long lists of children are kept as replies have them; 0: none.",
			field: func(c *Config) any { return &c.MaxGetChildrenResponseCacheSize }},
		{Name: "intBufferStartingSizeBytes", Kind: LenientInt, Unit: "bytes", Default: "1024", Status: Accepted, Doc: "First size of Java's serialization buffers."},
		{Name: "test.allowDiscontinuousProposals", Kind: Flag, Default: "false", Status: Accepted, Doc: "For tests of ZooKeeper."},
		{Name: "testingonly.initialZxid", Kind: String, Status: Accepted, Doc: "For tests of ZooKeeper."},
	}},

	{"Requests", "", []Key{
		{Name: "globalOutstandingLimit", Kind: LenientInt, Default: "1000", Doc: "Writes in flight above which connections are not read; in an ensemble of more than two voters each has its share of it.",
			field: func(c *Config) any { return &c.GlobalOutstandingLimit }},
		{Name: "maxBatchSize", Kind: LenientInt, Default: "1000", Doc: "Transactions per flush; 0 is no limit.",
			field: func(c *Config) any { return &c.MaxBatchSize }},
		{Name: "flushDelay", Kind: LenientLong, Unit: "ms", Default: "0", Status: Warns, Lacks: lacksFlushDelay, Doc: "How long a batch of transactions waits for more before it is flushed."},
		{Name: "maxWriteQueuePollTime", Kind: LenientLong, Unit: "ms", DefaultNote: "flushDelay / 3", Status: Warns, Lacks: lacksFlushDelay, asks: func(v string) bool { return v != "0" }, Doc: "Flush a waiting batch when no write arrives in this time."},
		{Name: "request_throttle_max_requests", Kind: LenientInt, Default: "0", Doc: "Outstanding requests above which requests are stalled; 0 is off.",
			field: func(c *Config) any { return &c.RequestThrottleMaxRequests }},
		{Name: "request_throttle_stall_time", Kind: LenientInt, Unit: "ms", Default: "100", Doc: "Longest stall per step.",
			field: func(c *Config) any { return &c.RequestThrottleStallTime }},
		{Name: "request_throttle_drop_stale", Kind: Flag, Default: "true", Doc: "Drop stale requests while stalling.",
			field: func(c *Config) any { return &c.RequestThrottleDropStale }},
		{Name: "request_stale_connection_check", Kind: Flag, Default: "true", Doc: "A request of a closed connection is stale.",
			field: func(c *Config) any { return &c.RequestStaleConnectionCheck }},
		{Name: "request_stale_latency_check", Kind: Flag, Default: "false", Doc: "A request older than its session timeout is stale.",
			field: func(c *Config) any { return &c.RequestStaleLatencyCheck }},
		{Name: "request_throttler.shutdownTimeout", Kind: LenientInt, Unit: "ms", Default: "10000", Status: Accepted, Doc: "Java's wait for the throttling thread at shutdown."},
		{Name: "throttled_op_wait_time", Kind: LenientInt, Unit: "ms", Default: "0", Doc: "Answer THROTTLEDOP to a request that waited longer in the throttle; 0 is off.",
			field: func(c *Config) any { return &c.ThrottledOpWaitTime }},
		{Name: "largeRequestThreshold", Kind: LenientInt, Unit: "bytes", Default: "-1", Doc: "Size above which a request counts as large; -1 is off.",
			field: func(c *Config) any { return &c.LargeRequestThreshold }},
		{Name: "largeRequestMaxBytes", Kind: LenientInt, Unit: "bytes", Default: "104857600", Doc: "Sum of large requests in flight above which a connection with another one is closed.",
			field: func(c *Config) any { return &c.LargeRequestMaxBytes }},
		{Name: "commitProcessor.numWorkerThreads", Kind: LenientInt, DefaultNote: "cores", Status: Accepted, Doc: "Java's threads for reads."},
		{Name: "commitProcessor.maxReadBatchSize", Kind: LenientInt, Default: "-1", Status: Accepted, Doc: "Java's fairness between reads and commits."},
		{Name: "commitProcessor.maxCommitBatchSize", Kind: LenientInt, Default: "1", Status: Accepted, Doc: "Java's fairness between reads and commits."},
		{Name: "commitProcessor.shutdownTimeout", Kind: LenientLong, Unit: "ms", Default: "5000", Status: Accepted, Doc: "Java's wait for worker threads at shutdown."},
		{Name: "forward_learner_requests_to_commit_processor_disabled", Kind: Flag, Default: "false", Status: Accepted, Doc: "Detail of Java's request pipeline."},
		{Name: "follower.skipLearnerRequestToNextProcessor", Kind: Flag, Default: "false", Status: Accepted, Doc: "Detail of Java's request pipeline."},
		{Name: "skipACL", Kind: Word, Word: "yes", Default: "no", Agree: "writes are checked by who leads, reads by the server of the client", Doc: "`yes`: no ACL is checked.",
			field: func(c *Config) any { return &c.SkipACL }},
	}},

	{"Connections", "", []Key{
		{Name: "maxCnxns", Kind: LenientInt, Default: "0", Doc: "Client connections in total; 0 is no limit.",
			field: func(c *Config) any { return &c.MaxCnxns }},
		{Name: "connection_throttle_tokens", Kind: LenientInt, Default: "0", Doc: "Size of the token bucket for new sessions; 0 is off.",
			field: func(c *Config) any { return &c.ConnectionThrottle.Tokens }},
		{Name: "connection_throttle_fill_time", Kind: LenientInt, Unit: "ms", Default: "1", Doc: "Time after which tokens return.",
			field: func(c *Config) any { return &c.ConnectionThrottle.FillTime }},
		{Name: "connection_throttle_fill_count", Kind: LenientInt, Default: "1", Doc: "Tokens that return after each fill time.",
			field: func(c *Config) any { return &c.ConnectionThrottle.FillCount }},
		{Name: "connection_throttle_freeze_time", Kind: LenientInt, Unit: "ms", Default: "-1", Doc: "Least time between changes of the probability to drop a new session; -1 is off.",
			field: func(c *Config) any { return &c.ConnectionThrottle.FreezeTime }},
		{Name: "connection_throttle_drop_increase", Kind: Double, Default: "0.02", Doc: "Step up of that probability.",
			field: func(c *Config) any { return &c.ConnectionThrottle.DropIncrease }},
		{Name: "connection_throttle_drop_decrease", Kind: Double, Default: "0.002", Doc: "Step down of that probability.",
			field: func(c *Config) any { return &c.ConnectionThrottle.DropDecrease }},
		{Name: "connection_throttle_decrease_ratio", Kind: Double, Default: "0", Doc: "Share of free tokens above which the probability goes down.",
			field: func(c *Config) any { return &c.ConnectionThrottle.DecreaseRatio }},
		{Name: "connection_throttle_weight_enabled", Kind: Flag, Default: "false", Doc: "Sessions cost tokens by their kind.",
			field: func(c *Config) any { return &c.ConnectionThrottle.WeightEnabled }},
		{Name: "connection_throttle_global_session_weight", Kind: LenientInt, Default: "3", Doc: "Tokens of a new session.",
			field: func(c *Config) any { return &c.ConnectionThrottle.GlobalWeight }},
		{Name: "connection_throttle_renew_session_weight", Kind: LenientInt, Default: "2", Doc: "Tokens of a renewed session.",
			field: func(c *Config) any { return &c.ConnectionThrottle.RenewWeight }},
		{Name: "connection_throttle_local_session_weight", Kind: LenientInt, Default: "1", Doc: "Tokens of a new local session.",
			field: func(c *Config) any { return &c.ConnectionThrottle.LocalWeight }},
		{Name: "clientTcpKeepAlive", Kind: Flag, Default: "false", Doc: "SO_KEEPALIVE on client connections.",
			field: func(c *Config) any { return &c.ClientTCPKeepAlive }},
		{Name: "nio.sessionlessCnxnTimeout", Kind: LenientInt, Unit: "ms", Default: "10000", Doc: "Close connections that do not complete the handshake.",
			field: func(c *Config) any { return &c.SessionlessCnxnTimeout }},
		{Name: "4lw.commands.whitelist", Kind: List, Default: "srvr", Doc: "Allowed four-letter words, `*` for all; srvr is always allowed.",
			field: func(c *Config) any { return &c.FourLetterWhitelist }},
		{Name: "nio.numSelectorThreads", Kind: LenientInt, DefaultNote: "√(cores/2)", Status: Accepted, Doc: "Java's selector threads."},
		{Name: "nio.numWorkerThreads", Kind: LenientInt, DefaultNote: "2 × cores", Status: Accepted, Doc: "Java's worker threads."},
		{Name: "nio.directBufferBytes", Kind: LenientInt, Unit: "bytes", Default: "65536", Status: Accepted, Doc: "Java's output buffers."},
		{Name: "nio.shutdownTimeout", Kind: LenientLong, Unit: "ms", Default: "5000", Status: Accepted, Doc: "Java's wait for worker threads at shutdown."},
		{Name: "serverCnxnFactory", Kind: String, Default: nioFactoryClass, Status: Refuses, Lacks: "load connection factories", Doc: "Class of Java's network layer; the NIO and the Netty one mean the same here.",
			asks: func(v string) bool { return v != nioFactoryClass && v != nettyFactoryName }},
		{Name: "netty.advancedFlowControl.enabled", Kind: Flag, Default: "false", Status: Accepted, Doc: "Detail of Java's Netty layer."},
		{Name: "netty.server.outstandingHandshake.limit", Kind: LenientInt, Default: "-1", Doc: "TLS handshakes in flight; 0 or less is 2048. Beyond it quoll closes the oldest, ZooKeeper the newest.",
			field: func(c *Config) any { return &c.OutstandingHandshakeLimit }},
		{Name: "netty.server.earlyDropSecureConnectionHandshakes", Kind: Flag, Default: "false", Status: Accepted, Doc: "Drop TLS handshakes while the server is not running."},
		{Name: "client.portUnification", Kind: Flag, Default: "false", Doc: "The client port accepts TLS too.",
			field: func(c *Config) any { return &c.ClientPortUnification }},
		{Name: "client.certReload", Kind: Flag, Default: "false", Doc: "Read key and trust store of the clients' ports again when their files change; connections go on.",
			field: func(c *Config) any { return &c.ClientCertReload }},
		{Name: "messageTracker.Enabled", Kind: Flag, Default: "false", Status: Accepted, Doc: "Java's dump of learner packets."},
		{Name: "messageTracker.BufferSize", Kind: LenientInt, Default: "10", Status: Accepted, Doc: "Packets in that dump."},
		{Name: "watchManagerName", Kind: String, Status: Accepted, Doc: "Class of Java's watch storage."},
		{Name: "watcherCleanThreadsNum", Kind: LenientInt, Default: "2", Status: Accepted, Doc: "Detail of Java's watch storage."},
		{Name: "watcherCleanThreshold", Kind: LenientInt, Default: "1000", Status: Accepted, Doc: "Detail of Java's watch storage."},
		{Name: "watcherCleanIntervalInSeconds", Kind: LenientInt, Default: "600", Status: Accepted, Doc: "Detail of Java's watch storage."},
		{Name: "maxInProcessingDeadWatchers", Kind: LenientInt, Default: "-1", Status: Accepted, Doc: "Detail of Java's watch storage."},
		{Name: "bitHashCacheSize", Kind: LenientInt, Default: "10", Status: Accepted, Doc: "Detail of Java's watch storage."},
		{Name: "pathStats.*", Kind: String, Status: Accepted, Doc: "Java's statistics of request paths in the log."},
	}},

	{"Authentication", "", []Key{
		{Name: "DigestAuthenticationProvider.superDigest", Kind: String, Agree: "a client may be connected to any member", Doc: "Identity that may do everything, as `super:<base64 of the digest>`.",
			field: func(c *Config) any { return &c.SuperDigest }},
		{Name: "DigestAuthenticationProvider.enabled", Kind: Flag, Default: "true", Agree: "a client may be connected to any member", Doc: "Offer the scheme digest.",
			field: func(c *Config) any { return &c.DigestAuthEnabled }},
		{Name: "DigestAuthenticationProvider.digestAlg", Kind: String, Default: "SHA1", Agree: "ACLs hold what one member has hashed, and another compares it", Doc: "Hash of the scheme digest: SHA1, SHA-256, SHA3-256 and so on; an unknown one is an error.",
			field: func(c *Config) any { return &c.DigestAlg }},
		{Name: "authProvider.N", Kind: String, Status: Refuses, Lacks: lacksProvider, Agree: "a client may be connected to any member", Doc: "Class of a further authentication provider.",
			field: func(c *Config) any { return &c.AuthProviders },
			asks: func(v string) bool {
				return v != ipAuthClass && v != digestAuthClass && v != x509AuthClass && v != saslAuthClass && v != ensembleAuthClass
			}},
		{Name: "enforce.auth.enabled", Kind: Flag, Default: "false", Agree: "a client may be connected to any member", Doc: "Refuse the requests of clients that did not authenticate with one of the schemes below.",
			field: func(c *Config) any { return &c.EnforceAuthEnabled }},
		{Name: "enforce.auth.schemes", Kind: List, Agree: "a client may be connected to any member", Doc: "Schemes that satisfy it: digest, ip, x509 where clients are taken with TLS, and sasl with its authProvider; any other is an error while enforce.auth.enabled is true.",
			field: func(c *Config) any { return &c.EnforceAuthSchemes }},
		{Name: "sessionRequireClientSASLAuth", Kind: Flag, Default: "false", Agree: "a client may be connected to any member", Doc: "Refuse the requests of clients that did not authenticate with SASL, whatever enforce.auth says; it needs the authProvider of sasl.",
			field: func(c *Config) any { return &c.SASL.Required }},
		{Name: "allowSaslFailedClients", Kind: Flag, Default: "false", Agree: "a client may be connected to any member", Doc: "Keep connections whose SASL authentication failed, where none is required.",
			field: func(c *Config) any { return &c.SASL.AllowFailed }},
		{Name: "java.security.auth.login.config", Where: PropertyOnly, Kind: String, DefaultNote: "`.java.login.config` in the home directory, if it is there", Doc: "JAAS file with the section of the server: users for DIGEST-MD5, or a keytab for GSSAPI.",
			field: func(c *Config) any { return &c.SASL.LoginConfig }},
		{Name: "sasl.serverconfig", Kind: String, Default: "Server", Doc: "Section of the JAAS file; without it there is no SASL.",
			field: func(c *Config) any { return &c.SASL.Section }},
		{Name: "SASLAuthenticationProvider.superPassword", Kind: String, Doc: "Password of the SASL user super, in place of the one in the JAAS file, which must have the user.",
			field: func(c *Config) any { return &c.SASL.SuperPassword }},
		{Name: "superUser", Kind: String, Agree: "a client may be connected to any member", Doc: "SASL user that may do everything, as its ACL id is spelled.",
			field: func(c *Config) any { return &c.SASL.SuperUsers }},
		{Name: "superUser.N", Kind: String, Doc: "Further SASL users that may do everything.",
			field: func(c *Config) any { return &c.SASL.SuperUsers }},
		{Name: "letAnySaslUserDoX", Kind: String, Agree: "reads are checked by the server of the client, writes by who leads", Doc: "ACL id that every SASL user matches.",
			field: func(c *Config) any { return &c.SASL.LetAnyUserDo }},
		{Name: "kerberos.removeHostFromPrincipal", Kind: Word, Word: "true", Default: "false", Agree: "ACLs hold the names that it makes", Doc: "Leave the host out of the ACL ids of Kerberos principals.",
			field: func(c *Config) any { return &c.SASL.RemoveHost }},
		{Name: "kerberos.removeRealmFromPrincipal", Kind: Word, Word: "true", Default: "false", Agree: "ACLs hold the names that it makes", Doc: "Leave the realm out of the ACL ids of Kerberos principals.",
			field: func(c *Config) any { return &c.SASL.RemoveRealm }},
		{Name: "security.auth_to_local", Kind: String, Default: "DEFAULT", Agree: "ACLs hold the names that it makes", Doc: "Rules from Kerberos principals to users; one that cannot be read is an error.",
			field: func(c *Config) any { return &c.SASL.AuthToLocal }},
		{Name: "requireKerberosConfig", Kind: Word, Word: "true", Default: "false", Doc: "Do not start without a default realm from the configuration of Kerberos.",
			field: func(c *Config) any { return &c.SASL.RequireKerberos }},
		{Name: "java.security.krb5.conf", Where: PropertyOnly, Kind: String, DefaultNote: "the variable KRB5_CONFIG, or `/etc/krb5.conf`", Doc: "Configuration of Kerberos.",
			field: func(c *Config) any { return &c.SASL.KerberosFile }},
		{Name: "java.security.krb5.realm", Where: PropertyOnly, Kind: String, Status: Refuses, Lacks: lacksKrb5Properties, Doc: "Default realm in place of that of the configuration of Kerberos."},
		{Name: "java.security.krb5.kdc", Where: PropertyOnly, Kind: String, Status: Refuses, Lacks: lacksKrb5Properties, Doc: "KDC in place of that of the configuration of Kerberos."},
		{Name: "kerberos.*", Kind: String, Status: Accepted, Doc: "Renewal and host names of Kerberos tickets that a client has got; a server has a keytab, which is read at start."},
		{Name: "kinit", Kind: String, Status: Accepted, Doc: "Program that renews the tickets of a cache, which a server has no use for."},
		{Name: "X509AuthenticationProvider.superUser", Kind: String, Agree: "a client may be connected to any member", Doc: "Subject of the certificate that may do everything, as the scheme x509 spells it.",
			field: func(c *Config) any { return &c.X509SuperUser }},
		{Name: "ensembleAuthName", Kind: List, Agree: "a client may be connected to any member", Doc: "Names of this ensemble: with the provider of the scheme ensemble a client that gives another one is closed.",
			field: func(c *Config) any { return &c.EnsembleAuthNames }},
		{Name: "IPAuthenticationProvider.usexforwardedfor", Kind: Flag, Default: "false", Status: Refuses, Lacks: lacksForwarded, Doc: "Take the client's address from a header (AdminServer)."},
		{Name: "quorum.auth.enableSasl", Where: FileOnly, Kind: Bool, Default: "false", Agree: "servers authenticate to each other, or not at all", Doc: "SASL between servers; the JAAS file must have both sections.",
			field: func(c *Config) any { return &c.QuorumSASL.Enabled }},
		{Name: "quorum.auth.learnerRequireSasl", Where: FileOnly, Kind: Bool, Default: "false", Agree: "servers authenticate to each other, or not at all", Doc: "This server authenticates itself to those that it connects to; with DIGEST-MD5 it needs fips-mode=false.",
			field: func(c *Config) any { return &c.QuorumSASL.LearnerRequires }},
		{Name: "quorum.auth.serverRequireSasl", Where: FileOnly, Kind: Bool, Default: "false", Agree: "servers authenticate to each other, or not at all", Doc: "Servers that connect must authenticate themselves; it needs learnerRequireSasl.",
			field: func(c *Config) any { return &c.QuorumSASL.ServerRequires }},
		{Name: "quorum.auth.learner.saslLoginContext", Where: FileOnly, Kind: String, Default: "QuorumLearner", Doc: "Section of the JAAS file for who connects.",
			field: func(c *Config) any { return &c.QuorumSASL.LearnerSection }},
		{Name: "quorum.auth.server.saslLoginContext", Where: FileOnly, Kind: String, Default: "QuorumServer", Doc: "Section of the JAAS file for who is connected to.",
			field: func(c *Config) any { return &c.QuorumSASL.ServerSection }},
		{Name: "quorum.auth.kerberos.servicePrincipal", Where: FileOnly, Kind: String, Default: "zkquorum/localhost", Doc: "Kerberos principal of the servers that this one connects to; zkquorum/_HOST has each one's host.",
			field: func(c *Config) any { return &c.QuorumSASL.Principal }},
		{Name: "quorum.cnxn.threads.size", Where: FileOnly, Kind: Int, Default: "20", Status: Accepted, Doc: "Java's threads for connections between servers with SASL."},
	}},

	{"TLS", "", slices.Concat([]Key{
		{Name: "sslQuorum", Where: FileOnly, Kind: Bool, Default: "false", Agree: "servers speak it to each other, or not at all", Doc: "TLS between servers, on the election and the quorum port; it needs ssl.quorum.keyStore.location and ssl.quorum.trustStore.location.",
			field: func(c *Config) any { return &c.SSLQuorum }},
		{Name: "portUnification", Where: FileOnly, Kind: Bool, Default: "false", Agree: "while it is changed, all members take both", Doc: "Both ports accept plain connections and TLS, whatever sslQuorum says, which then says how this server connects to others.",
			field: func(c *Config) any { return &c.PortUnification }},
		{Name: "sslQuorumReloadCertFiles", Where: FileOnly, Kind: Bool, Default: "false", Doc: "Read the stores of ssl.quorum again when their files change, for the AdminServer too; connections go on.",
			field: func(c *Config) any { return &c.QuorumCertReload }},
		{Name: "ssl.authProvider", Kind: String, Default: "x509", Status: Refuses, Lacks: lacksProvider, Doc: "Scheme that gets the client's certificate."},
		{Name: "ssl.sslProvider", Kind: String, Default: "JDK", Status: Accepted, Doc: "TLS library of Java's Netty."},
		{Name: "fips-mode", Kind: Flag, Default: "true", Agree: "it says what servers ask of each other", Doc: "`true`: between servers no certificate is compared with a host, whatever ssl.quorum.hostnameVerification says, and no server uses DIGEST-MD5 to authenticate itself. With clients it changes nothing.",
			field: func(c *Config) any { return &c.FIPSMode }},
	},
		tlsKeys("ssl.", "false", func(c *Config) *TLS { return &c.ClientTLS }),
		tlsKeys("ssl.quorum.", "true", func(c *Config) *TLS { return &c.QuorumTLS }),
		[]Key{
			{Name: "ssl.handshakeDetectionTimeoutMillis", Kind: LenientInt, Unit: "ms", Default: "5000", Status: Accepted, Doc: "The wait for the first bytes of a client ends with nio.sessionlessCnxnTimeout."},
			{Name: "ssl.quorum.handshakeDetectionTimeoutMillis", Kind: LenientInt, Unit: "ms", Default: "5000",
				Doc:   "How long another server may take for its first bytes, by which TLS is told from plain text; 0 or less is the default.",
				field: func(c *Config) any { return &c.HandshakeDetectionTimeout }},
			{Name: "ssl.*", Kind: String, Status: Refuses, Lacks: lacksTLSSetting, asks: always, Doc: "Any other TLS setting, those of later releases among them."},
		},
	)},

	{"AdminServer", "", []Key{
		{Name: "admin.enableServer", Kind: Word, Word: "false", Default: "true", Doc: "`false`: no AdminServer.",
			field: func(c *Config) any { return &c.AdminEnabled }},
		{Name: "admin.serverPort", Kind: LenientInt, Default: "8080", Doc: "Port of the AdminServer.",
			field: func(c *Config) any { return &c.AdminPort }},
		{Name: "admin.serverAddress", Kind: String, Default: "0.0.0.0", Doc: "Address of the AdminServer.",
			field: func(c *Config) any { return &c.AdminAddress }},
		{Name: "admin.commandURL", Kind: String, Default: "/commands", Doc: "Path of the commands.",
			field: func(c *Config) any { return &c.AdminCommandURL }},
		{Name: "admin.idleTimeout", Kind: LenientInt, Unit: "ms", Default: "30000", Doc: "Close idle connections.",
			field: func(c *Config) any { return &c.AdminIdleTimeout }},
		{Name: "admin.portUnification", Kind: Flag, Default: "false", Doc: "HTTP and HTTPS on one port, with the stores of ssl.quorum.",
			field: func(c *Config) any { return &c.AdminPortUnification }},
		{Name: "admin.forceHttps", Kind: Flag, Default: "false", Doc: "Only HTTPS, with the stores of ssl.quorum.",
			field: func(c *Config) any { return &c.AdminForceHTTPS }},
		{Name: "admin.needClientAuth", Kind: Flag, Default: "false", Doc: "HTTPS clients need certificates.",
			field: func(c *Config) any { return &c.AdminNeedClientAuth }},
		{Name: "admin.httpVersion", Kind: LenientInt, Default: "11", Status: Warns, Lacks: lacksHTTP, Doc: "HTTP version of the AdminServer."},
		{Name: "admin.snapshot.enabled", Kind: Flag, Default: "true", Doc: "Allow the command snapshot.",
			field: func(c *Config) any { return &c.AdminSnapshotEnabled }},
		{Name: "admin.restore.enabled", Kind: Flag, Default: "true", Doc: "Allow the command restore.",
			field: func(c *Config) any { return &c.AdminRestoreEnabled }},
		{Name: "admin.console", Kind: String, Default: ConsoleRead, DefaultNote: "read; off with admin.snapshot.enabled=false", Choices: []string{ConsoleOff, ConsoleRead, ConsoleEdit},
			Doc:   "The [console](console.md) at /console/ of the AdminServer's port: none, one that shows, or one that creates, changes and deletes znodes too, as far as ACLs let who asks. It is quoll's own key.",
			field: func(c *Config) any { return &c.AdminConsole }},
		{Name: "admin.rateLimiterIntervalInMS", Kind: Int, Unit: "ms", Default: "300000", Doc: "Least time between two restores; between two snapshots it is a thousandth of that, as in Java.",
			field: func(c *Config) any { return &c.AdminRateLimiterInterval }},
	}},

	{"Metrics, audit and the rest", "", []Key{
		{Name: "metricsProvider.className", Where: FileOnly, Kind: String, Default: DefaultMetricsProvider, Choices: []string{DefaultMetricsProvider, NullMetricsProvider, PrometheusMetricsProvider},
			Doc:   "One of the three metrics providers of ZooKeeper; any other is an error.",
			field: func(c *Config) any { return &c.MetricsProvider }},
		{Name: "metricsProvider.httpHost", Where: FileOnly, Kind: String, Default: "0.0.0.0", Doc: "Address of the Prometheus endpoint.",
			field: func(c *Config) any { return &c.MetricsHTTPHost }},
		{Name: "metricsProvider.httpPort", Where: FileOnly, Kind: LenientInt, Default: "7000", Doc: "Port of the Prometheus endpoint.",
			field: func(c *Config) any { return &c.MetricsHTTPPort }},
		{Name: "metricsProvider.exportJvmInfo", Where: FileOnly, Kind: Flag, Default: "true", Doc: "Add metrics of the process and of the Go runtime.",
			field: func(c *Config) any { return &c.MetricsExportJVMInfo }},
		{Name: "metricsProvider.httpsPort", Where: FileOnly, Kind: String, Status: Refuses, Lacks: lacksMetricsTLS, asks: always, Doc: "Port of the endpoint with TLS, of later releases."},
		{Name: "metricsProvider.ssl.*", Where: FileOnly, Kind: String, Status: Refuses, Lacks: lacksMetricsTLS, asks: always, Doc: "TLS of the endpoint, of later releases."},
		{Name: "metricsProvider.*", Where: FileOnly, Kind: String, Status: Accepted, Doc: "Other settings of the provider (threads and queues of Java's)."},
		{Name: "audit.enable", Kind: Flag, Default: "false", Doc: "Write the audit log: every change with its user.",
			field: func(c *Config) any { return &c.AuditEnabled }},
		{Name: "audit.file", Kind: String, DefaultNote: "standard output", Doc: "File of the audit log, which ZooKeeper's logback.xml names for Java; it is quoll's own key. When it is renamed or removed a new one is made.",
			field: func(c *Config) any { return &c.AuditFile }},
		{Name: "audit.impl.class", Kind: String, Default: auditLoggerClass, Status: Refuses, Lacks: lacksAuditClass, asks: func(v string) bool { return v != auditLoggerClass },
			Doc: "Class of another audit logger; only with audit.enable."},
		{Name: "jvm.pause.monitor", Where: FileOnly, Kind: Bool, Default: "false", Status: Accepted, Doc: "Java's detector of pauses."},
		{Name: "jvm.pause.warn-threshold.ms", Where: FileOnly, Kind: Long, Unit: "ms", Default: "10000", Status: Accepted, Doc: "Pause that is worth a warning."},
		{Name: "jvm.pause.info-threshold.ms", Where: FileOnly, Kind: Long, Unit: "ms", Default: "1000", Status: Accepted, Doc: "Pause that is worth a line."},
		{Name: "jvm.pause.sleep.time.ms", Where: FileOnly, Kind: Long, Unit: "ms", Default: "500", Status: Accepted, Doc: "Time between two looks."},
		{Name: "jmx.*", Kind: String, Status: Accepted, Doc: "Java's JMX beans of the logger."},
		{Name: "controllerPort", Kind: String, Status: Accepted, Doc: "Test controller of ZooKeeper."},
		{Name: "sasl.client", Kind: String, Status: Accepted, Doc: "For Java clients."},
		{Name: "sasl.client.*", Kind: String, Status: Accepted, Doc: "For Java clients."},
		{Name: "sasl.clientconfig", Kind: String, Status: Accepted, Doc: "For Java clients."},
		{Name: "clientCnxnSocket", Kind: String, Status: Accepted, Doc: "For Java clients."},
		{Name: "client.secure", Kind: String, Status: Accepted, Doc: "For Java clients."},
		{Name: "request.timeout", Kind: String, Status: Accepted, Doc: "For Java clients."},
		{Name: "zookeeper.server.principal", Where: PropertyOnly, Kind: String, Status: Accepted, Doc: "For Java clients."},
		{Name: "zookeeper.server.realm", Where: PropertyOnly, Kind: String, Status: Accepted, Doc: "For Java clients."},
		{Name: "disableAutoWatchReset", Kind: String, Status: Accepted, Doc: "For Java clients."},
	}},
}

func isTrue(v string) bool { return strings.EqualFold(v, "true") }

// tlsKeys are the settings that exist twice, for clients and for servers. Of says where the values go; those who connect are compared with hosts by default only among servers.
func tlsKeys(prefix, ofWhoConnects string, of func(*Config) *TLS) []Key {
	field := func(part func(*TLS) any) func(*Config) any {
		return func(c *Config) any { return part(of(c)) }
	}
	keys := []Key{
		{Name: "protocol", DefaultNote: "TLSv1.3", Doc: "Version of the protocol, TLSv1.2 or TLSv1.3; the older ones have no effect, as with today's Java.",
			field: field(func(t *TLS) any { return &t.Protocol })},
		{Name: "enabledProtocols", Kind: List, DefaultNote: "protocol", Doc: "Versions of the protocol.",
			field: field(func(t *TLS) any { return &t.EnabledProtocols })},
		{Name: "ciphersuites", Kind: List, DefaultNote: "ZooKeeper's", Doc: "Cipher suites, by their Java names. Those of TLS 1.3 are offered together or not at all.",
			field: field(func(t *TLS) any { return &t.CipherSuites })},
	}
	for _, which := range []struct {
		name, doc string
		file      func(*TLS) *StoreFile
	}{
		{"keyStore", "File of the key and its certificates.", func(t *TLS) *StoreFile { return &t.KeyStore }},
		{"trustStore", "File of the trusted certificates. Without it no certificate is trusted.", func(t *TLS) *StoreFile { return &t.TrustStore }},
	} {
		keys = append(keys,
			Key{Name: which.name + ".location", Doc: which.doc, field: field(func(t *TLS) any { return &which.file(t).Location })},
			Key{Name: which.name + ".password", Doc: "Password of that file.", field: field(func(t *TLS) any { return &which.file(t).Password })},
			Key{Name: which.name + ".passwordPath", Doc: "File with that password, which wins over it.", field: field(func(t *TLS) any { return &which.file(t).PasswordPath })},
			Key{Name: which.name + ".type", DefaultNote: "by content", Doc: "JKS, PEM or PKCS12; the content of the file decides between JKS and PKCS12.", field: field(func(t *TLS) any { return &which.file(t).Type })},
		)
	}
	keys = append(keys,
		Key{Name: "hostnameVerification", Kind: Flag, Default: "true", Doc: "Compare the certificate with the name of the host.", field: field(func(t *TLS) any { return &t.HostnameVerification })},
		Key{Name: "clientHostnameVerification", Kind: Flag, Default: ofWhoConnects, Doc: "The same for the connecting side, only with hostnameVerification: its address stands for it, or for a server any host of the member list.",
			field: field(func(t *TLS) any { return &t.ClientHostnameVerification })},
		Key{Name: "allowReverseDnsLookup", Kind: Flag, Default: ofWhoConnects, Status: Warns, Lacks: lacksReverseDNS, asks: isTrue, Doc: "Look up names of addresses for it."},
		Key{Name: "crl", Kind: Flag, Default: "false", Status: Refuses, Lacks: lacksRevocation, Doc: "Check revocation lists."},
		Key{Name: "ocsp", Kind: Flag, Default: "false", Status: Refuses, Lacks: lacksRevocation, Doc: "Ask for revocation."},
		Key{Name: "clientAuth", DefaultNote: "need", Doc: "Certificates of the connecting side: need, want, none.", field: field(func(t *TLS) any { return &t.ClientAuth })},
		Key{Name: "context.supplier.class", Status: Refuses, Lacks: lacksTLSClass, asks: always, Doc: "Java class that makes the TLS context."},
	)
	for i := range keys {
		keys[i].Name = prefix + keys[i].Name
	}
	return keys
}
