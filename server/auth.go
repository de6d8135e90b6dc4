package server

import (
	"cmp"
	"fmt"
	"hash"
	"net"
	"slices"
	"strconv"
	"strings"

	"quoll/config"
	"quoll/jute"
	"quoll/sasl"
	"quoll/tlsconf"
	"quoll/tree"
)

// scheme is one row of the authentication schemes that are providers: what an auth packet or an ACL entry of this name means.
type scheme struct {
	name string
	// authenticate turns the data of an auth packet into identities to add; ok is false if the provider refuses.
	authenticate func(a *authenticator, c *conn, data []byte) (ids []jute.ID, ok bool)
	// valid reports whether an ACL entry may have this id.
	valid func(id string) bool
	// matches reports whether the identity id is meant by the id of an ACL entry.
	matches func(a *authenticator, id, entry string) bool
	// authenticated reports whether the scheme proves who the client is: only then does an "auth" entry take it in.
	authenticated bool
	// silent says that who is refused gets no reply, so that it tries another server.
	silent bool
	// chosen says that a client can have any name of it, and proves only that it is the one that had it before.
	chosen bool
	// user is the name that whoAmI shows for an id; nil shows it in full.
	user func(id string) string
}

var schemes = []scheme{
	{
		name:         "ip",
		authenticate: func(_ *authenticator, c *conn, _ []byte) ([]jute.ID, bool) { return []jute.ID{c.ipID}, true },
		valid:        func(id string) bool { _, _, ok := parseIPEntry(id); return ok },
		matches:      func(_ *authenticator, id, entry string) bool { return matchIP(id, entry) },
	},
	{
		name:          "digest",
		authenticate:  (*authenticator).digest,
		valid:         validDigestID,
		matches:       func(_ *authenticator, id, entry string) bool { return id == entry },
		authenticated: true,
		chosen:        true,
		user:          func(id string) string { user, _, _ := strings.Cut(id, ":"); return user },
	},
	{
		name:          "x509",
		authenticate:  (*authenticator).x509,
		valid:         tlsconf.ValidName,
		matches:       func(_ *authenticator, id, entry string) bool { return id == entry },
		authenticated: true,
	},
	{
		// It is not who the client is, but which ensemble it takes this one for.
		name:         "ensemble",
		authenticate: (*authenticator).ensemble,
		valid:        func(string) bool { return false },
		matches:      func(*authenticator, string, string) bool { return false },
		silent:       true,
	},
	{
		name:         "sasl",
		authenticate: func(*authenticator, *conn, []byte) ([]jute.ID, bool) { return nil, false }, // it has an opcode of its own
		valid:        func(id string) bool { _, err := sasl.ParseName(id); return err == nil },
		matches: func(a *authenticator, id, entry string) bool {
			return id == entry || id == "super" || a.sasl.anyUser != "" && a.sasl.anyUser == entry
		},
		authenticated: true,
	},
}

// authenticator holds what the configuration says about authentication. It does not change after start.
type authenticator struct {
	skipACL     bool
	superDigest string
	superX509   string
	hash        func() hash.Hash
	schemes     map[string]*scheme
	sasl        saslAcceptor
	maxACL      int             // bytes that the entries for "auth" in one list may become
	required    map[string]bool // schemes of which a connection needs one; nil if none is enforced
}

func newAuthenticator(o *Options) (*authenticator, error) {
	a := &authenticator{skipACL: o.SkipACL, superDigest: o.SuperDigest, superX509: o.X509SuperUser, maxACL: o.maxEntry(), schemes: map[string]*scheme{}}
	if a.hash = config.DigestHash(cmp.Or(o.DigestAlg, "SHA1")); a.hash == nil {
		return nil, fmt.Errorf("DigestAuthenticationProvider.digestAlg: %q is not a digest algorithm that quoll knows; use SHA1, SHA-256, SHA-512 or SHA3-256", o.DigestAlg)
	}
	for i := range schemes {
		s := &schemes[i]
		if s.name == "digest" && !o.DigestAuthEnabled || s.name == "x509" && !o.OffersX509() || s.name == "sasl" && !o.OffersSASL() || s.name == "ensemble" && !o.OffersEnsemble() {
			continue
		}
		a.schemes[s.name] = s
	}
	var err error
	if a.sasl, err = loadSASL(o); err != nil {
		return nil, err
	}
	required := o.EnforceAuthSchemes
	switch {
	case o.SASL.Required:
		required = []string{"sasl"}
	case !o.EnforceAuthEnabled:
		return a, nil
	}
	a.required = map[string]bool{}
	for _, name := range required {
		if a.schemes[name] == nil {
			return nil, fmt.Errorf("enforce.auth.schemes: no authentication provider for scheme %q", name)
		}
		a.required[name] = true
	}
	return a, nil
}

// satisfied reports whether a connection with these identities may send requests at all.
func (a *authenticator) satisfied(ids []jute.ID) bool {
	if a.required == nil {
		return true
	}
	for i := range ids {
		if a.required[ids[i].Scheme] {
			return true
		}
	}
	return false
}

// allowed reports whether one of the identities has one of the wanted permission bits (ZooKeeperServer.checkACL).
func (a *authenticator) allowed(acl []jute.ACL, wanted int32, ids []jute.ID) bool {
	if a.skipACL || len(acl) == 0 {
		return true
	}
	for i := range acl {
		if acl[i].Perms&wanted != 0 && acl[i].Scheme == "world" && acl[i].ID == "anyone" {
			return true
		}
	}
	for i := range ids {
		if ids[i].Scheme == "super" {
			return true
		}
	}
	for i := range acl {
		if acl[i].Perms&wanted == 0 {
			continue
		}
		for j := range ids {
			if ids[j].Scheme != acl[i].Scheme {
				continue
			}
			if s := a.schemes[ids[j].Scheme]; s != nil && s.matches(a, ids[j].ID, acl[i].ID) {
				return true
			}
		}
	}
	return false
}

// fix validates an ACL list that a client sent and turns it into the one to store: duplicates dropped, auth entries replaced by the
// identities of the connection (PrepRequestProcessor.fixupACL).
func (a *authenticator) fix(list []jute.ACLText, ids []jute.ID) ([]jute.ACL, jute.Code) {
	if len(list) == 0 {
		return nil, jute.ErrInvalidACL
	}
	if len(list) == 1 && list[0].Perms == jute.PermAll && string(list[0].Scheme) == "world" && string(list[0].ID) == "anyone" {
		return tree.OpenACL, jute.OK
	}
	list, code := withoutDuplicates(list)
	if code != jute.OK {
		return nil, code
	}
	var fixed []jute.ACL
	size := 0
	for i := range list {
		e := &list[i]
		if e.Scheme == nil {
			return nil, jute.ErrInvalidACL
		}
		name := jute.JavaText(e.Scheme)
		if name == "auth" {
			found := false
			for _, id := range ids {
				if s := a.schemes[id.Scheme]; s != nil && s.authenticated {
					fixed, found = append(fixed, jute.ACL{Perms: e.Perms, Scheme: id.Scheme, ID: id.ID}), true
					size += len(id.Scheme) + len(id.ID)
				}
			}
			if size > a.maxACL {
				return nil, jute.ErrMarshalling // a few bytes of "auth" must not become a list that no log record can hold
			}
			if !found {
				return nil, jute.ErrInvalidACL
			}
			continue
		}
		s := a.schemes[name]
		if s == nil && name != "world" {
			return nil, jute.ErrInvalidACL
		}
		if e.ID == nil {
			return nil, jute.ErrMarshalling
		}
		id := jute.JavaText(e.ID)
		if s == nil && id != "anyone" || s != nil && !s.valid(id) {
			return nil, jute.ErrInvalidACL
		}
		fixed = append(fixed, jute.ACL{Perms: e.Perms, Scheme: name, ID: id})
	}
	return fixed, jute.OK
}

// withoutDuplicates drops entries that came before. Java trips over a null where it compares an entry with one before: it looks at the
// scheme only if the permissions are the same, and at the id only if the scheme is too.
func withoutDuplicates(list []jute.ACLText) ([]jute.ACLText, jute.Code) {
	if len(list) == 1 {
		return list, jute.OK
	}
	kept := make([]jute.ACLText, 0, len(list))
	seen := map[string]bool{}
	var key []byte
	for _, e := range list {
		key = jute.AppendInt32(key[:0], e.Perms)
		perms := len(key)
		if e.Scheme == nil && seen[string(key)] {
			return nil, jute.ErrMarshalling
		}
		key = jute.AppendBuffer(key, e.Scheme)
		scheme := len(key)
		if e.ID == nil && seen[string(key)] {
			return nil, jute.ErrMarshalling
		}
		key = jute.AppendBuffer(key, e.ID)
		if seen[string(key)] {
			continue
		}
		seen[string(key[:perms])], seen[string(key[:scheme])], seen[string(key)] = true, true, true
		kept = append(kept, e)
	}
	return kept, jute.OK
}

// user is the name that whoAmI shows for an identity.
func (a *authenticator) user(id jute.ID) string {
	if id.Scheme == "super" {
		return ""
	}
	if s := a.schemes[id.Scheme]; s != nil && s.user != nil {
		return s.user(id.ID)
	}
	return id.ID
}

func (a *authenticator) digest(_ *conn, data []byte) ([]jute.ID, bool) {
	if data == nil {
		return nil, false
	}
	user, _, _ := strings.Cut(jute.JavaText(data), ":")
	id := user + ":" + config.Digest(a.hash, data)
	ids := []jute.ID{{Scheme: "digest", ID: id}}
	if id == a.superDigest {
		ids = append(ids, jute.ID{Scheme: "super"})
	}
	return ids, true
}

// ensemble takes a client that names this ensemble, or none (EnsembleAuthenticationProvider).
func (a *authenticator) ensemble(c *conn, data []byte) ([]jute.ID, bool) {
	m := c.s.metrics
	switch names := c.s.opts.EnsembleAuthNames; {
	case len(data) == 0 || names == nil:
		m.EnsembleAuthSkip.Inc()
	case slices.Contains(names, jute.JavaText(data)):
		m.EnsembleAuthSuccess.Inc()
	default:
		m.EnsembleAuthFail.Inc()
		return nil, false
	}
	return nil, true
}

// validDigestID wants two parts around a colon, counted as Java's split does: empty parts at the end do not count.
func validDigestID(id string) bool {
	parts := strings.Split(id, ":")
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return len(parts) == 2
}

// javaAddress is an address as Java prints it: dotted for IPv4, eight uncompressed hex groups for IPv6.
func javaAddress(ip net.IP, zone string) string {
	if v4 := ip.To4(); v4 != nil {
		return v4.String()
	}
	if ip = ip.To16(); ip == nil {
		return "0.0.0.0"
	}
	var b strings.Builder
	for i := 0; i < 16; i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strconv.FormatUint(uint64(ip[i])<<8|uint64(ip[i+1]), 16))
	}
	if zone != "" {
		b.WriteString("%" + zone)
	}
	return b.String()
}

// parseIPEntry reads the id of an ip ACL entry: an address, optionally with /bits.
func parseIPEntry(id string) (addr []byte, bits int, ok bool) {
	text, suffix, masked := strings.Cut(id, "/")
	if addr = parseIPv4(text); addr == nil {
		addr = parseIPv6(text)
	}
	if addr == nil {
		return nil, 0, false
	}
	bits = len(addr) * 8
	if masked {
		n, err := strconv.ParseInt(suffix, 10, 32)
		if err != nil || n < 0 || int(n) > bits {
			return nil, 0, false
		}
		bits = int(n)
	}
	return addr, bits, true
}

func parseIPv4(text string) []byte {
	parts := strings.Split(text, ".")
	if len(parts) != 4 {
		return nil
	}
	addr := make([]byte, 4)
	for i, part := range parts {
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil || n < 0 || n > 255 {
			return nil
		}
		addr[i] = byte(n)
	}
	return addr
}

func parseIPv6(text string) []byte {
	head, tail, compressed := strings.Cut(text, "::")
	groups := func(s string) (out []byte, ok bool) {
		if s == "" {
			return nil, true
		}
		for _, part := range strings.Split(s, ":") {
			n, err := strconv.ParseInt(part, 16, 32) // signs are accepted, as by Java's Integer.parseInt
			if err != nil || n > 0xffff || len(part) > 4 {
				return nil, false
			}
			out = append(out, byte(n>>8), byte(n))
		}
		return out, true
	}
	front, ok1 := groups(head)
	back, ok2 := groups(tail)
	missing := 16 - len(front) - len(back)
	if !ok1 || !ok2 || !compressed && missing != 0 || compressed && missing < 2 {
		return nil
	}
	return append(append(front, make([]byte, missing)...), back...)
}

func matchIP(id, entry string) bool {
	addr, _, ok := parseIPEntry(id)
	if !ok {
		return false
	}
	want, bits, ok := parseIPEntry(entry)
	if !ok || len(want) != len(addr) {
		return false
	}
	for i := 0; i < len(want) && bits > 0; i, bits = i+1, bits-8 {
		mask := byte(0xff)
		if bits < 8 {
			mask <<= 8 - bits
		}
		if (want[i]^addr[i])&mask != 0 {
			return false
		}
	}
	return true
}
