package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"quoll/config/properties"
	"quoll/ensemble"
)

// Sources are the places a configuration comes from.
type Sources struct {
	// File is the path of zoo.cfg; empty for none.
	File string
	// Args are the arguments of the command: one, the path of zoo.cfg; or two to four, Java's form without a file:
	// clientPort dataDir [tickTime [maxClientCnxns]]. Arguments of the form -Dname=value may stand among them; they win over Env.
	Args []string
	// Env looks up environment variables for [FromEnv]; nil for none.
	Env func(string) string
	// Set are overrides key=value, which win over everything. A key is named as in zoo.cfg or by its full system property; an unknown one is an error.
	Set []string
}

// Warning is something an operator should know although the server starts. Most are about settings that Java ignores silently.
type Warning struct {
	// File is the file, or the environment variable, that the warning is about; empty when it is about none.
	File string
	// Line is the line in File, from 1; 0 when there is none.
	Line int
	// Key is the key as it was written; empty when it is about several or none.
	Key string
	// Message says what was found and what it means.
	Message string
}

// String returns the warning as file:line: key: message, without the parts that are empty.
func (w Warning) String() string {
	s := w.Message
	if w.Key != "" {
		s = w.Key + ": " + s
	}
	if w.File != "" {
		s = Origin{w.File, w.Line}.String() + ": " + s
	}
	return s
}

// Load reads the sources and returns the checked configuration. Without a file and without arguments it is that of an embedded server: port 2181, directory
// ./quoll-data, ticks of 2000 ms. Every error is an [*Error]; several problems are reported together, one a line.
func Load(src Sources) (*Config, []Warning, error) {
	l := loader{c: tableDefaults(), winners: map[string]winner{}}
	l.run(src)
	if err := joinErrors(l.errs); err != nil {
		return nil, l.warnings, &Error{err}
	}
	return l.c, l.warnings, nil
}

// Error is an error that the configuration is to blame for, whether it shows when it is read or when a server starts with it, as that of a store that cannot be opened.
// ZooKeeper's exit code for all of them is 2.
type Error struct{ Err error }

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// loader is one call of Load.
type loader struct {
	c        *Config
	warnings []Warning
	errs     []error

	winners map[string]winner // by the name the setting has in the table, patterns filled in
	members []setting         // membership lines outside of a dynamic file
	lacking []winner          // settings that ask for what is lacking
}

// winner is the setting that won among the sources.
type winner struct {
	setting
	row      *Key
	fromFile bool // parsed by Java's parser of zoo.cfg, not as a system property
}

func (l *loader) fail(err error) {
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

func (l *loader) warn(s setting, format string, args ...any) {
	l.warnings = append(l.warnings, Warning{File: s.origin.Source, Line: s.origin.Line, Key: s.key, Message: fmt.Sprintf(format, args...)})
}

// note warns about nothing in particular.
func (l *loader) note(format string, args ...any) {
	l.warnings = append(l.warnings, Warning{File: l.c.File, Message: fmt.Sprintf(format, args...)})
}

func (l *loader) run(src Sources) {
	var defines []Property
	if src.Env != nil {
		defines, l.warnings = FromEnv(src.Env)
	}
	var args []string
	for _, a := range src.Args {
		if p, ok := parseDefine(a, "command line"); ok {
			defines = append(defines, p)
		} else {
			args = append(args, a)
		}
	}
	l.c.File = src.File
	if len(args) == 1 && src.File == "" {
		l.c.File, args = args[0], nil
	}

	for _, d := range defines {
		l.define(d)
	}
	switch {
	case l.c.File != "" && len(args) > 0:
		l.fail(fmt.Errorf("arguments %q beside the file %s", args, l.c.File))
	case l.c.File != "":
		l.file(l.c.File)
	case len(args) > 0:
		l.arguments(args)
	default:
		l.embedded()
	}
	for _, s := range src.Set {
		l.override(s)
	}
	if len(l.errs) > 0 {
		return
	}
	l.apply()
	if len(l.errs) > 0 {
		return
	}
	l.check()
	l.ensemble()
	l.complain()
}

// define takes in a -D setting.
func (l *loader) define(p Property) {
	s := setting{p.Name, p.Value, p.Origin}
	if row := byProperty.find(p.Name); row != nil {
		l.winners[tableName(row, p.Name)] = winner{setting: s, row: row}
		return
	}
	if row := byAlias(p.Name); row != nil {
		if _, taken := l.winners[row.Name]; !taken || l.winners[row.Name].key == row.Alias {
			l.winners[row.Name] = winner{setting: s, row: row}
		}
		return
	}
	if name, ok := strings.CutPrefix(p.Name, "zookeeper."); ok {
		if row := byName.find(name); row != nil && row.Where == FileOnly && !ensemble.IsKey(name) {
			l.warn(s, "has no effect as a system property; set %s in zoo.cfg", name)
		}
	}
	l.c.Properties[p.Name] = p.Value
}

// byAlias finds the row that has the system property as its second one; nil for none.
func byAlias(property string) *Key {
	for i := range table {
		if table[i].Alias != "" && table[i].Alias == property {
			return &table[i]
		}
	}
	return nil
}

// tableName returns the zoo.cfg name of a setting given by its property.
func tableName(row *Key, property string) string {
	if row.Where == PropertyOnly {
		return property
	}
	return strings.TrimPrefix(property, "zookeeper.")
}

// file takes in zoo.cfg.
func (l *loader) file(path string) {
	l.relative(setting{key: "configuration file", value: path})
	settings, text, err := readProperties(path)
	if err != nil {
		l.fail(readError(err))
		return
	}
	l.c.Text = text
	for _, s := range lastOfEach(settings, l.warn) {
		l.fileSetting(s)
	}
}

// readError leaves out the operation that os puts in front.
func readError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Path, pe.Err)
	}
	return err
}

// lastOfEach keeps the last setting of every key, in the order of the file.
func lastOfEach(settings []setting, warn func(setting, string, ...any)) []setting {
	last := map[string]int{}
	for i, s := range settings {
		if j, ok := last[s.key]; ok {
			warn(s, "set twice, this line wins over line %d", settings[j].origin.Line)
		}
		last[s.key] = i
	}
	var kept []setting
	for i, s := range settings {
		if last[s.key] == i {
			kept = append(kept, s)
		}
	}
	return kept
}

// fileSetting takes in one line of zoo.cfg by Java's rule: known to the parser, or else a system property with zookeeper. in front.
func (l *loader) fileSetting(s setting) {
	if ensemble.IsKey(s.key) {
		l.members = append(l.members, s)
		l.c.properties["zookeeper."+s.key] = s.value // as whatever Java's parser does not know at first
		return
	}
	if row := byName.find(s.key); row != nil && row.Where != PropertyOnly {
		l.winners[s.key] = winner{setting: s, row: row, fromFile: true}
		return
	}
	l.c.Properties["zookeeper."+s.key] = s.value
	if hint := ignoredInFile(s.key); hint != "" {
		l.warn(s, "has no effect in zoo.cfg; %s", hint)
	}
}

// headings are titles of settings in ZooKeeper's documentation that do nothing in zoo.cfg, with the key that works.
var headings = map[string]string{
	"connectionMaxTokens":         "connection_throttle_tokens",
	"connectionTokenFillTime":     "connection_throttle_fill_time",
	"connectionTokenFillCount":    "connection_throttle_fill_count",
	"connectionFreezeTime":        "connection_throttle_freeze_time",
	"connectionDropIncrease":      "connection_throttle_drop_increase",
	"connectionDropDecrease":      "connection_throttle_drop_decrease",
	"connectionDecreaseRatio":     "connection_throttle_decrease_ratio",
	"requestThrottleLimit":        "request_throttle_max_requests",
	"requestThrottleStallTime":    "request_throttle_stall_time",
	"requestThrottleDropStale":    "request_throttle_drop_stale",
	"requestStaleLatencyCheck":    "request_stale_latency_check",
	"requestStaleConnectionCheck": "request_stale_connection_check",
	"throttledOpWaitTime":         "throttled_op_wait_time",
	"advancedFlowControlEnabled":  "netty.advancedFlowControl.enabled",
	"maxConcurrentSnapSyncs":      "leader.maxConcurrentSnapSyncs",
	"maxConcurrentDiffSyncs":      "leader.maxConcurrentDiffSyncs",
}

// ignoredInFile says what to write instead of a key that Java accepts in zoo.cfg and never reads; empty for keys that mean nothing to anybody.
func ignoredInFile(key string) string {
	if working := headings[key]; working != "" {
		return "the working key is " + working
	}
	if row := byName.find(key); row != nil && row.Where == PropertyOnly {
		return "it works only as -D" + key
	}
	if name, ok := strings.CutPrefix(key, "zookeeper."); ok {
		if row := byName.find(name); row != nil && row.Where != PropertyOnly {
			return "leave out the prefix: " + name
		}
	}
	for name := range byName.exact {
		if strings.EqualFold(name, key) {
			return "the key is spelled " + name
		}
	}
	return ""
}

// arguments takes in Java's form without a file. Java leaves maxClientCnxns at 0, no limit, in this form.
func (l *loader) arguments(args []string) {
	if len(args) < 2 || len(args) > 4 {
		l.fail(fmt.Errorf("%d arguments; there can be a configuration file, or clientPort dataDir [tickTime [maxClientCnxns]]", len(args)))
		return
	}
	l.c.MaxClientCnxns = 0
	for i, key := range []string{"clientPort", "dataDir", "tickTime", "maxClientCnxns"}[:len(args)] {
		l.known(setting{key, args[i], Origin{Source: "argument " + strconv.Itoa(i+1)}})
	}
}

// embedded sets what a server without any file is given.
func (l *loader) embedded() {
	l.c.ClientPort, l.c.DataDir, l.c.TickTime = 2181, "./quoll-data", 2*time.Second
}

// known takes in a setting whose key is certainly in the table and not a pattern.
func (l *loader) known(s setting) {
	l.winners[s.key] = winner{setting: s, row: byName.exact[s.key], fromFile: true}
}

// setSource is the origin of what [Sources].Set says.
const setSource = "--set"

// override takes in one element of Sources.Set.
func (l *loader) override(text string) {
	key, value, ok := strings.Cut(text, "=")
	s := setting{properties.Trim(key), properties.Trim(value), Origin{Source: setSource}}
	if !ok || s.key == "" {
		l.fail(fmt.Errorf("--set %s: not of the form key=value", text))
		return
	}
	if ensemble.IsKey(s.key) {
		l.members = slices.DeleteFunc(l.members, func(m setting) bool { return m.key == s.key })
		l.members = append(l.members, s)
		return
	}
	name := s.key
	row := byName.find(name)
	if row == nil {
		if row = byProperty.find(name); row != nil {
			name = tableName(row, name)
		}
	}
	if row == nil {
		hint := ""
		if working := headings[s.key]; working != "" {
			hint = "; the working key is " + working
		}
		l.fail(s.errorf("unknown key%s", hint))
		return
	}
	l.winners[name] = winner{setting: s, row: row, fromFile: true}
}

// apply parses the winners in the order of the table.
func (l *loader) apply() {
	for i := range table {
		row := &table[i]
		if _, pattern := row.prefix(); !pattern {
			if w, ok := l.winners[row.Name]; ok {
				l.applyOne(row.Name, w)
			}
			continue
		}
		var names []string
		for name, w := range l.winners {
			if w.row == row {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			l.applyOne(name, l.winners[name])
		}
	}
}

func (l *loader) applyOne(name string, w winner) {
	row := w.row
	if row.Kind == Bool && !w.fromFile {
		// The parser is strict; the same key as a system property is not.
		lax := *row
		lax.Kind = Flag
		row = &lax
	}
	if err := row.parse(l.c, w.value); err != nil {
		if !row.Kind.lenient() {
			l.fail(w.errorf("%w", err))
			return
		}
		l.warn(w.setting, "%v; the default %s is used", err, row.defaultText())
		return
	}
	l.c.origins[name] = w.origin
	switch row.Where {
	case Both:
		l.c.properties["zookeeper."+name] = w.value
	case PropertyOnly:
		l.c.properties[name] = w.value
	}
	if (row.Status == Warns || row.Status == Refuses) && row.asksFor(w.value) {
		l.lacking = append(l.lacking, w)
	}
	switch {
	case name == "dataDir", name == "dataLogDir":
		l.relative(w.setting)
	case name == "peerType":
		role, err := ensemble.ParseRole(w.value)
		if err != nil {
			l.fail(w.errorf("%w", err))
		}
		l.c.PeerType = role
	}
}

// relative warns about a path that depends on the working directory, unless it says so with "./".
func (l *loader) relative(s setting) {
	if s.value != "" && !filepath.IsAbs(s.value) && !strings.HasPrefix(s.value, "./") {
		l.warn(s, "%s is relative; put ./ in front to say that this is meant", s.value)
	}
}

// check applies the rules about single values, and those between values.
func (l *loader) check() {
	c := l.c
	// bad reports a problem at the place where key was set.
	bad := func(key, format string, args ...any) {
		l.fail(setting{key, "", l.place(key)}.errorf(format, args...))
	}
	adjust := func(key, format string, args ...any) {
		l.warn(setting{key, "", l.place(key)}, format, args...)
	}
	if c.DataDir == "" {
		bad("dataDir", "not set")
	}
	if c.TickTime <= 0 {
		bad("tickTime", "must be positive")
	}
	if c.electionAlg != 3 {
		bad("electionAlg", "only 3 is supported")
	}
	if c.IsSet("clientPortAddress") && c.ClientPort < 0 {
		bad("clientPortAddress", "set without clientPort")
	}
	if c.IsSet("secureClientPortAddress") && !c.IsSet("secureClientPort") {
		bad("secureClientPortAddress", "set without secureClientPort")
	}
	// Java fails later and less clearly on these.
	if c.JuteMaxBuffer <= 0 {
		bad("jute.maxbuffer", "must be positive")
	}
	if c.ContainerCheckInterval <= 0 {
		bad("znode.container.checkIntervalMs", "must be positive")
	}
	if c.ContainerMaxPerMinute <= 0 {
		bad("znode.container.maxPerMinute", "must be positive")
	}
	if c.SessionlessCnxnTimeout <= 0 {
		bad("nio.sessionlessCnxnTimeout", "must be positive")
	}
	if c.AutopurgeSnapRetainCount < 3 {
		adjust("autopurge.snapRetainCount", "%d is too few, 3 is used", c.AutopurgeSnapRetainCount)
		c.AutopurgeSnapRetainCount = 3
	}
	q := &c.QuorumSASL
	if !q.Enabled && q.ServerRequires {
		bad("quorum.auth.serverRequireSasl", "true without quorum.auth.enableSasl")
	}
	if !q.Enabled && q.LearnerRequires {
		bad("quorum.auth.learnerRequireSasl", "true without quorum.auth.enableSasl")
	}
	if !q.LearnerRequires && q.ServerRequires {
		bad("quorum.auth.serverRequireSasl", "true without quorum.auth.learnerRequireSasl")
	}
	if c.HandshakeDetectionTimeout <= 0 {
		c.HandshakeDetectionTimeout = 5 * time.Second
		adjust("ssl.quorum.handshakeDetectionTimeoutMillis", "must be positive; the default 5000 is used")
	}
	if c.SnapCount < 2 {
		adjust("snapCount", "%d is too few, 2 is used", c.SnapCount)
		c.SnapCount = 2
	}
	if c.SnapSizeLimitKiB == 0 {
		adjust("snapSizeLimitInKb", "0 is taken as no limit; Java crashes with it")
	}
	if c.CommitLogCount < 500 {
		adjust("commitLogCount", "%d is too few, 500 is used", c.CommitLogCount)
		c.CommitLogCount = 500
	}
	if c.SnapshotSizeFactor > 1 {
		adjust("snapshotSizeFactor", "above 1; the default 0.33 is used")
		c.SnapshotSizeFactor = 0.33
	}
	if c.LargeRequestMaxBytes <= 0 {
		adjust("largeRequestMaxBytes", "must be positive; the default 104857600 is used")
		c.LargeRequestMaxBytes = 104857600
	}
	switch method := strings.ToLower(c.SnapshotCompression); method {
	case "", "gz", "snappy":
		c.SnapshotCompression = method
	default:
		adjust("snapshot.compression.method", "%q is neither gz nor snappy; snapshots are not compressed", c.SnapshotCompression)
		c.SnapshotCompression = ""
	}
	if err := c.LogLevel.UnmarshalText([]byte(c.logLevel)); err != nil {
		bad("log.level", "%q is neither debug nor info nor warn nor error", c.logLevel)
	}
	if DigestHash(c.DigestAlg) == nil {
		bad("DigestAuthenticationProvider.digestAlg", "the hash %q is not known", c.DigestAlg)
	}
	c.ConnectionThrottle.checkWeights(adjust)
	l.checkAuth(bad)

	// Four-letter words that are always allowed.
	words := slices.Clone(c.FourLetterWhitelist)
	fixed := []string{"srvr"}
	if c.ReadOnlyModeEnabled {
		fixed = append(fixed, "isro")
	}
	for _, w := range fixed {
		if !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	c.FourLetterWhitelist = words

	c.derive()
	if c.MinSessionTimeout > c.MaxSessionTimeout {
		bad("minSessionTimeout", "%d ms is more than maxSessionTimeout, %d ms", c.MinSessionTimeout.Milliseconds(), c.MaxSessionTimeout.Milliseconds())
	}
}

// place returns where a key was set; the file as a whole when it was not.
func (l *loader) place(key string) Origin {
	if w, ok := l.winners[key]; ok {
		return w.origin
	}
	if l.c.File != "" {
		return Origin{Source: l.c.File}
	}
	return Origin{Source: "configuration"}
}

// checkWeights replaces weights that make no sense.
func (t *ConnectionThrottle) checkWeights(adjust func(key, format string, args ...any)) {
	const key = "connection_throttle_%s_session_weight"
	fix := func(name string, weight *int, fallback int) {
		if *weight <= 0 {
			adjust(fmt.Sprintf(key, name), "%d is not positive; %d is used", *weight, fallback)
			*weight = fallback
		}
	}
	fix("local", &t.LocalWeight, 1)
	fix("global", &t.GlobalWeight, 3)
	fix("renew", &t.RenewWeight, 2)
	raise := func(name string, weight *int) {
		if *weight < t.LocalWeight {
			adjust(fmt.Sprintf(key, name), "%d is less than the weight of a local session, %d, which is used", *weight, t.LocalWeight)
			*weight = t.LocalWeight
		}
	}
	raise("global", &t.GlobalWeight)
	raise("renew", &t.RenewWeight)
}

// checkAuth finds the schemes that exist, and whether they can satisfy enforce.auth.
func (l *loader) checkAuth(bad func(key, format string, args ...any)) {
	c := l.c
	if slices.Contains(c.AuthProviders, digestAuthClass) {
		c.DigestAuthEnabled = true // an explicit provider wins over the switch
	}
	if c.SASL.Required {
		if !c.OffersSASL() {
			bad("sessionRequireClientSASLAuth", "true, but the scheme sasl needs authProvider.1=%s", saslAuthClass)
		}
		return // enforce.auth counts for nothing beside it
	}
	if !c.EnforceAuthEnabled {
		return
	}
	if len(c.EnforceAuthSchemes) == 0 {
		bad("enforce.auth.enabled", "true, but enforce.auth.schemes names no scheme")
	}
	for _, scheme := range c.EnforceAuthSchemes {
		switch {
		case scheme == "ip", scheme == "digest" && c.DigestAuthEnabled, scheme == "x509" && c.OffersX509(), scheme == "sasl" && c.OffersSASL():
		case scheme == "digest":
			bad("enforce.auth.schemes", "the scheme digest is switched off by DigestAuthenticationProvider.enabled")
		case scheme == "x509":
			bad("enforce.auth.schemes", "the scheme x509 needs secureClientPort or client.portUnification")
		case scheme == "sasl":
			bad("enforce.auth.schemes", "the scheme sasl needs authProvider.1=%s", saslAuthClass)
		default:
			bad("enforce.auth.schemes", "quoll does not have the scheme %q; it has digest, ip, sasl and x509", scheme)
		}
	}
}

// complain turns the settings that ask for what is lacking into one warning or one error for each thing.
func (l *loader) complain() {
	var order []string
	groups := map[string][]winner{}
	for _, w := range l.lacking {
		if w.row.Lacks == lacksAuditClass && !l.c.AuditEnabled {
			continue
		}
		group := w.row.Status.String() + w.row.Lacks
		if groups[group] == nil {
			order = append(order, group)
		}
		groups[group] = append(groups[group], w)
	}
	for _, group := range order {
		ws := groups[group]
		lacks := "quoll does not " + ws[0].row.Lacks
		const remedy = "remove the key, or run Apache ZooKeeper where it is needed"
		if len(ws) == 1 && ws[0].row.Status == Refuses {
			l.fail(ws[0].errorf("%s; %s", lacks, remedy))
			continue
		}
		if len(ws) == 1 {
			l.warn(ws[0].setting, "no effect, %s", lacks)
			continue
		}
		var keys []string
		for _, w := range ws {
			keys = append(keys, fmt.Sprintf("%s (%s)", w.key, w.origin))
		}
		list := strings.Join(keys, ", ")
		if ws[0].row.Status == Refuses {
			l.fail(fmt.Errorf("%s: %s; %s", list, lacks, remedy))
			continue
		}
		l.warnings = append(l.warnings, Warning{Message: fmt.Sprintf("%s: no effect, %s", list, lacks)})
	}
}

// ensemble finds the membership, this server's id and address in it, and whether it has to run as a member.
func (l *loader) ensemble() {
	c := l.c
	members := l.members
	if c.DynamicConfigFile != "" {
		for _, s := range members {
			if s.key == "version" {
				continue // a key of the dynamic format; in zoo.cfg it means something only without a dynamic file
			}
			l.fail(s.errorf("must be in the dynamic configuration file %s, not beside dynamicConfigFile", c.DynamicConfigFile))
		}
		var ok bool
		if members, ok = l.dynamicFile(c.DynamicConfigFile); !ok {
			return
		}
	}
	e, errs := makeEnsemble(members, c.MultiAddressEnabled)
	if c.DynamicConfigFile != "" {
		e.Version = versionOfName(c.DynamicConfigFile)
	}
	c.Ensemble = *e
	if c.DynamicConfigFile != "" && c.ReconfigEnabled {
		l.nextFile()
	}
	for _, err := range errs {
		l.fail(err)
	}
	if c.File != "" || len(members) > 0 { // Java's form of two to four arguments does not look for it
		l.myID()
	}
	if len(l.errs) > 0 {
		return
	}
	if l.checkMembership(); len(l.errs) > 0 {
		return
	}
	l.ownAddress()
	l.ownRole()
	if c.Distributed {
		l.checkMember()
		l.checkReconfig()
	} else if c.ClientPort < 0 && c.SecureClientPort < 0 {
		l.note("no client port: neither clientPort nor a client part on the line of this server")
	}
}

// makeEnsemble builds a membership of settings that are all of ensemble.IsKey. With errors it is not whole, but never nil.
func makeEnsemble(settings []setting, multiAddress bool) (*ensemble.Config, []error) {
	b := ensemble.Builder{MultiAddress: multiAddress}
	var errs []error
	var hierarchy setting // the last line that makes the quorum hierarchical
	for _, s := range settings {
		if err := b.Add(s.key, s.value); err != nil {
			errs = append(errs, s.errorf("%w", err))
		}
		if strings.HasPrefix(s.key, "group") || strings.HasPrefix(s.key, "weight") {
			hierarchy = s
		}
	}
	if len(errs) > 0 {
		return &ensemble.Config{}, errs
	}
	e, err := b.Config()
	if err != nil {
		return &ensemble.Config{}, []error{hierarchy.errorf("%w", err)}
	}
	return e, nil
}

// dynamicFile reads the membership lines of a dynamic file.
func (l *loader) dynamicFile(path string) ([]setting, bool) {
	settings, _, err := readProperties(path)
	if err != nil {
		l.fail(readError(err))
		return nil, false
	}
	settings = lastOfEach(settings, l.warn)
	for _, s := range settings {
		if s.key == "version" {
			l.fail(s.errorf("not allowed in a dynamic configuration file; the version is the end of the file's name"))
			return nil, false
		}
	}
	return settings, true
}

// versionOfName is the number after the last dot of a dynamic file's name, hexadecimal; 0 when there is none.
func versionOfName(path string) int64 {
	i := strings.LastIndexByte(path, '.')
	v, err := strconv.ParseInt(path[i+1:], 16, 64)
	if i < 0 || err != nil {
		return 0
	}
	return v
}

// nextFile reads the membership that was proposed but not committed. A file that cannot be read counts as none, as in Java; so does one that is not newer than
// what is committed, which a stop right behind the commit leaves.
func (l *loader) nextFile() {
	path := l.c.File + nextSuffix
	settings, _, err := readProperties(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		l.note("%v; it is ignored", readError(err))
		return
	}
	next, errs := makeEnsemble(lastOfEach(settings, l.warn), l.c.MultiAddressEnabled)
	for _, err := range errs {
		l.fail(err)
	}
	if next.Version > l.c.Ensemble.Version {
		l.c.LastSeen = next
	}
}

// myID reads the server id from the file myid, which only ensembles need.
func (l *loader) myID() {
	path := filepath.Join(l.c.DataDir, "myid")
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		l.fail(readError(err))
		return
	}
	line := data
	if i := bytes.IndexAny(data, "\r\n"); i >= 0 {
		line = data[:i]
	}
	id, err := strconv.ParseInt(string(line), 10, 64)
	if err != nil {
		l.fail(fmt.Errorf("%s:1: %q is not a server id", path, line))
		return
	}
	l.c.MyID = id
}

// checkMembership decides between standalone and ensemble.
func (l *loader) checkMembership() {
	c := l.c
	voters, observers := len(c.Ensemble.Voters()), len(c.Ensemble.Observers())
	c.Distributed = !c.StandaloneEnabled || voters > 1
	switch {
	case voters == 0 && !c.StandaloneEnabled:
		l.fail(setting{"standaloneEnabled", "", l.place("standaloneEnabled")}.errorf("false needs at least one server line of a participant"))
	case voters == 0 && observers > 0, !c.Distributed && observers > 0:
		l.fail(fmt.Errorf("%s: observers need an ensemble of at least two participants", l.place("server")))
	case voters == 1 && c.StandaloneEnabled:
		l.note("only one server line, the server runs standalone")
	case voters == 1 || voters == 2:
		l.note("an ensemble of %d tolerates no failure; three servers tolerate one", voters)
	case voters > 0 && voters%2 == 0:
		l.note("an ensemble of %d tolerates no more failures than one of %d", voters, voters-1)
	}
}

// ownAddress takes the client address from this server's own line, and gives it one when it has none.
func (l *loader) ownAddress() {
	c := l.c
	own := c.Ensemble.Server(c.MyID)
	if own == nil || own.Client == nil {
		return
	}
	static := ensemble.Addr{Host: c.ClientPortAddress, Port: c.ClientPort}
	if c.ClientPort >= 0 {
		key := setting{"clientPort", "", l.place("clientPort")}
		sameHost := static.Wildcard() || strings.EqualFold(static.Host, own.Client.Host)
		switch {
		case static.Port != own.Client.Port, !sameHost && static.Literal() && own.Client.Literal():
			l.fail(key.errorf("client address %s differs from %s on the line of server.%d", static, own.Client, c.MyID))
			return
		case !sameHost: // Java resolves both; whoever wrote a name and an address most likely means the same host
			l.warn(key, "client address %s is not written like %s on the line of server.%d, which wins", static, own.Client, c.MyID)
		}
	}
	c.ClientPort, c.ClientPortAddress = own.Client.Port, own.Client.Host
}

// ownRole lets the server lines decide on the role.
func (l *loader) ownRole() {
	role := ensemble.Participant
	if own := l.c.Ensemble.Server(l.c.MyID); own != nil {
		role = own.Role
	}
	if role != l.c.PeerType {
		l.warn(setting{"peerType", "", l.place("peerType")}, "%s by peerType, but %s by the server lines, which win", l.c.PeerType, role)
		l.c.PeerType = role
	}
}

// checkMember applies the rules for a member of an ensemble.
func (l *loader) checkMember() {
	c := l.c
	for _, limit := range []struct {
		key   string
		value int
	}{{"initLimit", c.InitLimit}, {"syncLimit", c.SyncLimit}} {
		if limit.value == 0 {
			l.fail(setting{limit.key, "", l.place(limit.key)}.errorf("not set, but an ensemble needs it"))
		}
	}
	switch {
	case c.MyID < 0:
		l.fail(fmt.Errorf("%s: the file is missing, but an ensemble needs it", filepath.Join(c.DataDir, "myid")))
	case c.Ensemble.Server(c.MyID) == nil:
		l.fail(fmt.Errorf("%s: server id %d has no server line", filepath.Join(c.DataDir, "myid"), c.MyID))
	case c.ExtendedTypesEnabled && c.MyID > 254:
		l.fail(fmt.Errorf("%s: server id %d is more than 254, which extendedTypesEnabled does not allow", filepath.Join(c.DataDir, "myid"), c.MyID))
	}
}

// checkReconfig finds out whether a reconfig can be remembered.
func (l *loader) checkReconfig() {
	c := l.c
	set := func(s setting) bool { return s.origin.Source == setSource }
	w := l.winners["dynamicConfigFile"]
	c.membersSet = slices.ContainsFunc(l.members, set) || set(w.setting)
	if c.ReconfigEnabled && (c.File == "" || c.membersSet) {
		l.note("the members are set outside of the configuration files, so a reconfig is not remembered over a restart")
	}
}

// problems is several errors, one a line.
type problems []error

func (p problems) Error() string {
	lines := make([]string, len(p))
	for i, err := range p {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (p problems) Unwrap() []error { return p }

func joinErrors(errs []error) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return problems(errs)
}

// defaultText is the default as the documentation shows it.
func (k *Key) defaultText() string {
	if k.DefaultNote != "" {
		return k.DefaultNote
	}
	return k.Default
}
