// Package config reads the configuration of a server: zoo.cfg, the dynamic configuration file beside it, the -D settings that
// deployments keep in SERVER_JVMFLAGS and JVMFLAGS, and overrides of the command line.
//
//	cfg, warnings, err := config.Load(config.Sources{File: "zoo.cfg", Env: os.Getenv})
//	for _, w := range warnings {
//		log.Warn(w.String())
//	}
//
// Every key that ZooKeeper knows is one row of one table (see [Sections]): its name in zoo.cfg, its Java system property, how Java parses
// it, its default, and what quoll does with it. The rules are Java's, surprising ones included: zoo.cfg is a Java properties file, a key that
// the parser does not know becomes the system property zookeeper.<key>, a number that does not parse silently leaves the default. Where Java is
// silent about a setting that cannot have been meant, quoll does the same as Java and adds a [Warning]. What would be unsafe to ignore,
// because it asks for protection that quoll does not offer, is an error.
//
// A later source wins: default, -D, zoo.cfg, [Sources.Set]. The package only reads: it opens zoo.cfg, the dynamic files and myid, and prints nothing.
//
// Mirrors the Java classes QuorumPeerConfig and ServerConfig, and the static initialisers that read system properties.
package config

import (
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"quoll/ensemble"
	"sync"
)

// Config is the whole configuration of one server, checked and with every default in place. It is read-only once loaded.
//
// Times are durations although Java counts milliseconds (or ticks, or hours, which is said at the field); a negative duration means "off" where
// the field says so.
type Config struct {
	// File is the path of zoo.cfg as it was given; empty without a file.
	File string
	// Text is the content of File as it was read.
	Text string
	// MyID is the server id of the file myid in DataDir, -1 when there is none.
	MyID int64
	// Distributed is true when the server is to run as a member of an ensemble: more than one voter, or standaloneEnabled=false.
	Distributed bool
	// Ensemble is the committed membership: server.N, group.N and weight.N of zoo.cfg or of DynamicConfigFile. It may hold one server although Distributed is false.
	Ensemble ensemble.Config
	// LastSeen is the membership of <zoo.cfg>.dynamic.next, proposed but not committed when the server stopped; nil when there is none.
	LastSeen *ensemble.Config
	// DynamicConfigFile is the path of the file with the membership; empty when zoo.cfg has it.
	DynamicConfigFile string
	// Properties holds what the table does not know, under the name of the Java system property: foo of zoo.cfg is zookeeper.foo here, -Dfoo is foo.
	Properties map[string]string

	// Directories.

	// DataDir is the directory of snapshots, epoch files and myid.
	DataDir string
	// DataLogDir is the directory of transaction logs; equal to DataDir when not set.
	DataLogDir string
	// DataDirAutocreate allows to create the directories when they are missing.
	DataDirAutocreate bool
	// DBAutocreate lets a server with an empty database vote.
	DBAutocreate bool

	// Clients.

	// TickTime is the base unit of time; positive.
	TickTime time.Duration
	// ClientPort is the plain client port, 0 for a free one, -1 for none.
	ClientPort int
	// ClientPortAddress is the host or address to bind, empty for all.
	ClientPortAddress string
	// ClientPortListenBacklog is the listen backlog, -1 for that of the operating system.
	ClientPortListenBacklog int
	// SecureClientPort is the TLS client port, -1 for none.
	SecureClientPort int
	// SecureClientPortAddress is the host or address to bind for TLS, empty for all.
	SecureClientPortAddress string
	// ClientPortUnification lets the client port take TLS too.
	ClientPortUnification bool
	// ClientTLS are the settings of TLS with clients.
	ClientTLS TLS
	// ClientCertReload reads the stores of ClientTLS again when their files change.
	ClientCertReload bool
	// FIPSMode leaves certificates between servers uncompared with hosts, and DIGEST-MD5 unused by who connects to a server.
	FIPSMode bool
	// OutstandingHandshakeLimit is the number of TLS handshakes in flight, 0 or less for the default.
	OutstandingHandshakeLimit int
	// MaxClientCnxns limits connections per client address; 0 or less is no limit.
	MaxClientCnxns int
	// MaxCnxns limits connections in total; 0 or less is no limit.
	MaxCnxns int
	// MinSessionTimeout and MaxSessionTimeout bound what a client may negotiate.
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// SessionlessCnxnTimeout closes connections that never complete the handshake.
	SessionlessCnxnTimeout time.Duration
	// ClientTCPKeepAlive sets SO_KEEPALIVE on client connections.
	ClientTCPKeepAlive bool
	// FourLetterWhitelist names the allowed four-letter words; "*" is all. The word srvr is always in it, isro when ReadOnlyModeEnabled.
	FourLetterWhitelist []string
	// ReadOnlyModeEnabled serves read-only clients while there is no quorum.
	ReadOnlyModeEnabled bool
	// LocalSessionsEnabled and LocalSessionsUpgradingEnabled switch local sessions on.
	LocalSessionsEnabled, LocalSessionsUpgradingEnabled bool
	// ReconfigEnabled allows the reconfig operation.
	ReconfigEnabled bool

	// Storage.

	// SnapCount is the number of transactions between snapshots, at least 2; the real number is randomised between half of it and all of it.
	SnapCount int
	// SnapSizeLimitKiB is the size of log between snapshots in KiB; 0 or less is no limit.
	SnapSizeLimitKiB int64
	// TxnLogSizeLimitKiB rolls the log at this size in KiB; 0 or less is no limit.
	TxnLogSizeLimitKiB int64
	// PreAllocSizeKiB is the step in which log files grow, in KiB; 0 or less is no preallocation.
	PreAllocSizeKiB int64
	// ForceSync makes every batch of transactions durable before it is acknowledged.
	ForceSync bool
	// FsyncWarningThreshold warns about a slower sync.
	FsyncWarningThreshold time.Duration
	// SnapshotCompression is "" (none), "gz" or "snappy".
	SnapshotCompression string
	// SnapshotTrustEmpty accepts transaction logs without a snapshot.
	SnapshotTrustEmpty bool
	// SerializeLastProcessedZxid writes the zxid block at the end of snapshots.
	SerializeLastProcessedZxid bool
	// DigestEnabled computes, stores and compares digests of the tree.
	DigestEnabled bool
	// CloseSessionTxnEnabled writes the paths of the deleted ephemerals into closeSession transactions.
	CloseSessionTxnEnabled bool
	// CommitLogCount is the number of recent proposals kept in memory to synchronise learners, at least 500.
	CommitLogCount int
	// SnapshotSizeFactor synchronises a learner from the log on disk while the log is smaller than this share of the snapshot; negative is off.
	SnapshotSizeFactor float64
	// AutopurgeSnapRetainCount is the number of snapshots kept by the purge, at least 3.
	AutopurgeSnapRetainCount int
	// AutopurgePurgeInterval is the time between purges (hours in zoo.cfg); 0 or less is off.
	AutopurgePurgeInterval time.Duration

	// Data model.

	// ExtendedTypesEnabled allows nodes with a time to live.
	ExtendedTypesEnabled bool
	// ContainerCheckInterval is the time between scans for empty containers and expired TTL nodes.
	ContainerCheckInterval time.Duration
	// ContainerMaxPerMinute limits the deletions of these scans.
	ContainerMaxPerMinute int
	// ContainerMaxNeverUsedInterval deletes containers that never had a child after this time; 0 keeps them.
	ContainerMaxNeverUsedInterval time.Duration
	// EnforceQuota makes hard quotas refuse writes.
	EnforceQuota bool
	// JuteMaxBuffer is the largest request, reply and record, in bytes.
	JuteMaxBuffer int
	// JuteMaxBufferExtraSize is the slack in bytes that is allowed when records are read back, at least 1024.
	JuteMaxBufferExtraSize int

	// Request pipeline.

	// MaxGetChildrenResponseCacheSize is the number of znodes whose lists of children are kept encoded.
	MaxGetChildrenResponseCacheSize int
	// GlobalOutstandingLimit is the number of requests in flight above which connections are not read.
	GlobalOutstandingLimit int
	// MaxBatchSize is the number of transactions per flush; 0 or less is no limit.
	MaxBatchSize int
	// RequestThrottleMaxRequests is the number of outstanding requests above which requests are stalled; 0 or less is off.
	RequestThrottleMaxRequests int
	// RequestThrottleStallTime is the longest stall per step.
	RequestThrottleStallTime time.Duration
	// RequestThrottleDropStale drops stale requests while stalling.
	RequestThrottleDropStale bool
	// RequestStaleConnectionCheck makes a request stale when its connection is closed.
	RequestStaleConnectionCheck bool
	// RequestStaleLatencyCheck makes a request stale when it is older than the session timeout.
	RequestStaleLatencyCheck bool
	// ThrottledOpWaitTime answers a request with THROTTLEDOP when it waited longer in the throttle; 0 or less is off.
	ThrottledOpWaitTime time.Duration
	// SlowRequestThreshold is how long a request takes that has a line in the log; 0 or less is none.
	SlowRequestThreshold time.Duration
	// TracingEnabled sends traces of requests to an OpenTelemetry collector.
	TracingEnabled bool
	// LargeRequestThreshold is the size in bytes above which a request counts as large; 0 or less is off.
	LargeRequestThreshold int
	// LargeRequestMaxBytes limits the sum of large requests in flight, in bytes.
	LargeRequestMaxBytes int
	// EnableEagerACLCheck checks ACLs on the server that receives a write, before it is forwarded to the leader.
	EnableEagerACLCheck bool
	// ConnectionThrottle limits new sessions.
	ConnectionThrottle ConnectionThrottle

	// Authentication.

	// SkipACL switches ACL checks off.
	SkipACL bool
	// SuperDigest is the digest identity (super:<base64>) that may do everything; empty for none.
	SuperDigest string
	// DigestAuthEnabled offers the scheme digest.
	DigestAuthEnabled bool
	// DigestAlg is the Java name of the hash of the scheme digest; [DigestHash] knows it.
	DigestAlg string
	// X509SuperUser is the identity of the scheme x509 that may do everything; empty for none.
	X509SuperUser string
	// EnsembleAuthNames are the names of this ensemble for the scheme ensemble; nil takes every name.
	EnsembleAuthNames []string
	// AuthProviders are the class names of the authProvider.N keys, in the order of their keys.
	AuthProviders []string
	// EnforceAuthEnabled refuses requests of clients that did not authenticate with one of EnforceAuthSchemes.
	EnforceAuthEnabled bool
	// EnforceAuthSchemes are the schemes that satisfy EnforceAuthEnabled.
	EnforceAuthSchemes []string

	// SASL says how clients authenticate with SASL.
	SASL SASL

	// Metrics and administration.

	// MetricsProvider is the Java class name of the metrics provider, one of the three that ZooKeeper ships.
	MetricsProvider string
	// MetricsHTTPHost and MetricsHTTPPort are where the Prometheus endpoint listens.
	MetricsHTTPHost string
	MetricsHTTPPort int
	// MetricsExportJVMInfo adds metrics of the process to the endpoint.
	MetricsExportJVMInfo bool
	// AdminEnabled starts the AdminServer.
	AdminEnabled bool
	// AdminAddress and AdminPort are where the AdminServer listens.
	AdminAddress string
	AdminPort    int
	// AdminCommandURL is the path below which the commands are found.
	AdminCommandURL string
	// AdminIdleTimeout closes idle connections of the AdminServer.
	AdminIdleTimeout time.Duration
	// AdminForceHTTPS takes HTTPS only, AdminPortUnification HTTP and HTTPS. AdminNeedClientAuth needs certificates of those who come with HTTPS.
	AdminForceHTTPS, AdminPortUnification, AdminNeedClientAuth bool
	// AdminCheckRevocation refuses those of them that are revoked, as the lists of their authorities say.
	AdminCheckRevocation bool
	// AdminSnapshotEnabled and AdminRestoreEnabled allow these commands.
	AdminSnapshotEnabled, AdminRestoreEnabled bool
	// AdminConsole is what there is of the console: ConsoleOff, ConsoleRead or ConsoleEdit.
	AdminConsole string
	// AdminRateLimiterInterval is the least time between two snapshot or restore commands.
	AdminRateLimiterInterval time.Duration
	// LogLevel is the least that a line of the server's log is worth.
	LogLevel slog.Level
	// AuditEnabled writes the audit log.
	AuditEnabled bool
	// AuditFile is the file of the audit log, empty for the standard output.
	AuditFile string

	// Ensemble.

	// InitLimit is the number of ticks a learner may take to connect and synchronise.
	InitLimit int
	// SyncLimit is the number of ticks a learner may lag.
	SyncLimit int
	// ConnectToLearnerMasterLimit is the number of ticks a learner may take to reach the leader; InitLimit when not set.
	ConnectToLearnerMasterLimit int
	// PeerType is the role of this server; the server list wins over the key peerType.
	PeerType ensemble.Role
	// StandaloneEnabled lets a single server run standalone.
	StandaloneEnabled bool
	// QuorumListenOnAllIPs binds quorum and election ports on all addresses.
	QuorumListenOnAllIPs bool
	// ObserverMasterPort is where a follower serves observers; 0 or less is off.
	ObserverMasterPort int
	// SSLQuorum has this server connect to others with TLS, and take nothing else unless PortUnification.
	SSLQuorum bool
	// PortUnification has the election and quorum ports take TLS and plain text.
	PortUnification bool
	// QuorumTLS are the settings of TLS between servers, whose stores the AdminServer uses too.
	QuorumTLS TLS
	// QuorumCertReload reads the stores of QuorumTLS again when their files change.
	QuorumCertReload bool
	// HandshakeDetectionTimeout is how long another server may take for its first bytes where it may speak TLS; positive.
	HandshakeDetectionTimeout time.Duration
	// QuorumSASL are the settings of SASL between servers.
	QuorumSASL QuorumSASL
	// LeaderServes lets the leader take clients.
	LeaderServes bool
	// MultiAddressEnabled allows several addresses per server.
	MultiAddressEnabled bool
	// CnxTimeout is the connect timeout of the election.
	CnxTimeout time.Duration
	// QuorumCnxnTimeout is the read timeout of election connections; negative is SyncLimit ticks.
	QuorumCnxnTimeout time.Duration
	// ElectionPortBindRetry is how often to try to bind the election port; 0 is for ever.
	ElectionPortBindRetry int
	// MinNotificationInterval and MaxNotificationInterval bound the pauses between election rounds.
	MinNotificationInterval, MaxNotificationInterval time.Duration
	// TCPKeepAlive sets SO_KEEPALIVE on election connections.
	TCPKeepAlive bool
	// LeaderMaxTimeToWaitForEpoch bounds the wait for a quorum of epochs; negative is InitLimit ticks.
	LeaderMaxTimeToWaitForEpoch time.Duration
	// LeaderMaxConcurrentSnapSyncs and LeaderMaxConcurrentDiffSyncs limit concurrent synchronisations.
	LeaderMaxConcurrentSnapSyncs, LeaderMaxConcurrentDiffSyncs int
	// LeaderAckLoggingFrequency is how many zxids there are to one whose acknowledgements are timed; 0 or less is none.
	LeaderAckLoggingFrequency int
	// LeaderConnectDelayDuringRetry is the pause of a learner between attempts to reach the leader.
	LeaderConnectDelayDuringRetry time.Duration
	// ForceSnapshotSync always sends a snapshot to learners.
	ForceSnapshotSync bool
	// ObserverReconnectDelay is the longest that an observer which has lost its leader waits before it connects again; 0 or less is off.
	ObserverReconnectDelay time.Duration

	electionAlg int
	logLevel    string
	origins     map[string]Origin
	properties  map[string]string // what was set, by the names of Java system properties
	asked       *sync.Map         // names of Properties that Property was asked for
	membersSet  bool              // the members come from outside of the configuration files
}

// ConnectionThrottle is the token bucket and the BLUE drop probability for new sessions. Mirrors the Java class BlueThrottle.
type ConnectionThrottle struct {
	// Tokens is the size of the bucket, 0 or less for no limit. With WeightEnabled it is counted in global sessions.
	Tokens int
	// FillTime and FillCount: every FillTime, FillCount tokens return.
	FillTime  time.Duration
	FillCount int
	// FreezeTime is the least time between changes of the drop probability; negative switches dropping off.
	FreezeTime time.Duration
	// DropIncrease and DropDecrease are the steps of the drop probability, 0 to 1.
	DropIncrease, DropDecrease float64
	// DecreaseRatio is the share of free tokens above which the drop probability goes down.
	DecreaseRatio float64
	// WeightEnabled makes sessions cost the weights below instead of one token.
	WeightEnabled                          bool
	GlobalWeight, RenewWeight, LocalWeight int
}

// TLS are the settings of TLS for one kind of port, as they were written: package tlsconf knows what they mean. Mirrors the Java class X509Util.
type TLS struct {
	// KeyStore has the key and its certificates, TrustStore the certificates that a peer's must come from.
	KeyStore, TrustStore StoreFile
	// Protocol is the version that is used if EnabledProtocols is empty.
	Protocol         string
	EnabledProtocols []string
	// CipherSuites are Java names; empty is ZooKeeper's choice.
	CipherSuites []string
	// ClientAuth is need, want or none in any case; empty is need.
	ClientAuth string
	// HostnameVerification compares certificates with hosts; with ClientHostnameVerification also those of who connects.
	HostnameVerification, ClientHostnameVerification bool
	// CRL has certificates refused that are revoked, as the lists of their authorities say; OCSP as responders say, and where they do not the lists.
	CRL, OCSP bool
}

// StoreFile is a key store or a trust store.
type StoreFile struct {
	// Location is the path of the file, empty for none.
	Location string
	// Password opens it; the content of the file PasswordPath wins over it.
	Password, PasswordPath string
	// Type is JKS, PEM or PKCS12, or empty.
	Type string
}

// QuorumSASL are the settings of SASL between servers. The JAAS file is that of [SASL].
type QuorumSASL struct {
	Enabled bool
	// LearnerRequires has this server authenticate itself to others, ServerRequires has others do so.
	LearnerRequires, ServerRequires bool
	// LearnerSection and ServerSection are those of the JAAS file.
	LearnerSection, ServerSection string
	// Principal is the one of the servers that are connected to; a second part _HOST stands for the host of each.
	Principal string
}

// SASL are the settings of SASL with clients.
type SASL struct {
	// LoginConfig is the JAAS file, as java.security.auth.login.config has it; empty is the one in the home directory, if it is there.
	LoginConfig string
	// Section is the one of the server in it.
	Section string
	// Required refuses the requests of clients that did not authenticate with SASL.
	Required bool
	// AllowFailed keeps connections whose authentication failed, where none is required.
	AllowFailed bool
	// SuperPassword is that of the user super, in place of the one in the JAAS file; empty for none.
	SuperPassword string
	// SuperUsers are the ids that may do everything.
	SuperUsers []string
	// LetAnyUserDo is the id of ACL entries that every user matches; empty for none.
	LetAnyUserDo string
	// RemoveHost and RemoveRealm leave these parts of principals out of ids.
	RemoveHost, RemoveRealm bool
	// AuthToLocal are the rules that make a user of a principal.
	AuthToLocal string
	// RequireKerberos refuses to start without a default realm.
	RequireKerberos bool
	// KerberosFile is the configuration of Kerberos; empty is /etc/krb5.conf.
	KerberosFile string
}

// Defaults returns the configuration of an empty zoo.cfg: every key at its default, no directory and no client port.
func Defaults() *Config {
	c := tableDefaults()
	c.derive()
	return c
}

// tableDefaults returns the defaults without those that follow from other keys.
func tableDefaults() *Config {
	c := &Config{
		MyID:             -1,
		ClientPort:       -1,
		SecureClientPort: -1,
		Properties:       map[string]string{},
		origins:          map[string]Origin{},
		properties:       map[string]string{},
		asked:            &sync.Map{},
	}
	for i := range table {
		table[i].applyDefault(c)
	}
	return c
}

// Origin returns where the key (its zoo.cfg name) was set, and whether it was set at all. A number that did not parse counts as not set.
func (c *Config) Origin(key string) (Origin, bool) {
	o, ok := c.origins[key]
	return o, ok
}

// IsSet reports whether the key (its zoo.cfg name) was set by any source. A number that did not parse counts as not set.
func (c *Config) IsSet(key string) bool {
	_, ok := c.origins[key]
	return ok
}

// ClientAddr returns what to listen on for plain clients, as host:port, or "" when there is no client port.
func (c *Config) ClientAddr() string {
	if c.ClientPort < 0 {
		return ""
	}
	return net.JoinHostPort(c.ClientPortAddress, strconv.Itoa(c.ClientPort))
}

// SecureClientAddr returns what to listen on for clients with TLS, as host:port, or "" when there is no such port.
func (c *Config) SecureClientAddr() string {
	if c.SecureClientPort < 0 {
		return ""
	}
	return net.JoinHostPort(c.SecureClientPortAddress, strconv.Itoa(c.SecureClientPort))
}

// OffersX509 reports whether the scheme x509 exists: where clients can come with TLS, or if it is asked for.
func (c *Config) OffersX509() bool {
	return c.SecureClientPort >= 0 || c.ClientPortUnification || slices.Contains(c.AuthProviders, x509AuthClass)
}

// OffersEnsemble reports whether clients can say which ensemble they take this one for.
func (c *Config) OffersEnsemble() bool { return slices.Contains(c.AuthProviders, ensembleAuthClass) }

// OffersSASL reports whether ACLs may have entries of the scheme sasl, and it may be required. Clients can authenticate with SASL without it.
func (c *Config) OffersSASL() bool { return slices.Contains(c.AuthProviders, saslAuthClass) }

// Property looks up a Java system property for a JAAS file that mentions it as ${name}: what -D or zoo.cfg sets, and the few that every JVM has. It may be called by several goroutines.
func (c *Config) Property(name string) (value string, ok bool) {
	if value, ok = c.Properties[name]; ok {
		c.asked.Store(name, nil)
		return value, true
	}
	if value, ok = c.properties[name]; ok {
		return value, true
	}
	return JVMProperty(name)
}

// JVMProperty looks up a system property that every JVM has, of those that a JAAS file may mention.
func JVMProperty(name string) (value string, ok bool) {
	var err error
	switch name {
	case "user.home":
		value, err = os.UserHomeDir()
	case "user.dir":
		value, err = os.Getwd()
	case "user.name":
		var u *user.User
		if u, err = user.Current(); err == nil {
			value = u.Username
		}
	case "java.io.tmpdir":
		value = os.TempDir()
	case "file.separator":
		value = string(filepath.Separator)
	default:
		return "", false
	}
	return value, err == nil
}

// derive computes the defaults that follow from other keys.
func (c *Config) derive() {
	if c.DataLogDir == "" {
		c.DataLogDir = c.DataDir
	}
	// -1 is Java's "not set", also when somebody writes it.
	if c.MinSessionTimeout == -time.Millisecond {
		c.MinSessionTimeout = min(2*c.TickTime, longestTimeout)
	}
	if c.MaxSessionTimeout == -time.Millisecond {
		c.MaxSessionTimeout = min(20*c.TickTime, longestTimeout)
	}
	if !c.IsSet("jute.maxbuffer.extrasize") {
		c.JuteMaxBufferExtraSize = c.JuteMaxBuffer
	}
	c.JuteMaxBufferExtraSize = max(c.JuteMaxBufferExtraSize, 1024)
	if !c.AdminSnapshotEnabled && !c.IsSet("admin.console") {
		c.AdminConsole = ConsoleOff // who shows no data at this port is not to show it by another way
	}
	if c.ConnectToLearnerMasterLimit <= 0 {
		c.ConnectToLearnerMasterLimit = c.InitLimit
	}
}

// longestTimeout is the longest time a session timeout can have on the wire.
const longestTimeout = (1<<31 - 1) * time.Millisecond
