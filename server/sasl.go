package server

import (
	"errors"
	"fmt"
	"slices"

	"quoll/jute"
	"quoll/sasl"
)

// The names of the client port in DIGEST-MD5.
const (
	saslProtocol = "zookeeper"
	saslServer   = "zk-sasl-md5"
)

// saslAcceptor is how clients authenticate with SASL.
type saslAcceptor struct {
	login      *sasl.Login // nil if there is no section for the server
	names      sasl.Names
	superUsers []string
	anyUser    string // id of ACL entries that every user matches; empty for none
	keepFailed bool   // a failure does not close the connection
}

// loadSASL reads what the settings of SASL name. Its errors name the key, or file and line.
func loadSASL(o *Options) (a saslAcceptor, err error) {
	set := &o.SASL
	a = saslAcceptor{superUsers: set.SuperUsers, anyUser: set.LetAnyUserDo, keepFailed: set.AllowFailed}
	kerberos, unread := sasl.ReadKerberos(set.KerberosFile)
	if unread != nil && (set.RequireKerberos || set.KerberosFile != "") {
		return a, fmt.Errorf("java.security.krb5.conf: %w", unread)
	}
	if set.RequireKerberos && kerberos.DefaultRealm() == "" {
		return a, errors.New("requireKerberosConfig: the configuration of Kerberos has no default_realm")
	}
	a.names = sasl.Names{RemoveHost: set.RemoveHost, RemoveRealm: set.RemoveRealm}
	if a.names.Rules, err = sasl.ParseRules(set.AuthToLocal, kerberos.DefaultRealm()); err != nil {
		return a, fmt.Errorf("security.auth_to_local: %w", err)
	}
	file, err := sasl.FindFile(set.LoginConfig, o.Property)
	if err != nil {
		return a, fmt.Errorf("java.security.auth.login.config: %w", err)
	}
	if file == nil {
		return a, nil
	}
	if a.login, err = file.Login(set.Section, kerberos); err == nil && a.login != nil {
		err = a.login.CheckServer()
	}
	if errors.Is(err, sasl.ErrNoKerberos) {
		err = fmt.Errorf("%w: %w", err, unread)
	}
	if err != nil {
		return a, fmt.Errorf("java.security.auth.login.config: %w", err)
	}
	if a.login != nil && set.SuperPassword != "" {
		a.login.Replace("super", set.SuperPassword)
	}
	return a, nil
}

// reportSASL says at start what clients can do.
func (s *Server) reportSASL() {
	a := &s.auth.sasl
	switch {
	case a.login != nil:
		s.log.Info("clients can authenticate with SASL", "mechanism", a.login.Mechanism(), "section", s.opts.SASL.Section)
	case s.opts.SASL.LoginConfig != "" && !s.opts.QuorumSASL.Enabled || s.opts.IsSet("sasl.serverconfig"): // the file may be for the servers alone
		s.log.Warn("clients cannot authenticate with SASL: there is no such section in a JAAS file, or nothing in it", "file", s.opts.SASL.LoginConfig, "section", s.opts.SASL.Section)
	}
	if a.login == nil && len(s.auth.required) == 1 && s.auth.required["sasl"] {
		s.log.Warn("every client is refused: SASL is required, and there is no section for it in a JAAS file")
	}
}

// identities are those of a user who is authenticated.
func (a *saslAcceptor) identities(user string) ([]jute.ID, error) {
	id, err := a.names.Authorize(user)
	if err != nil {
		return nil, err
	}
	ids := []jute.ID{{Scheme: "sasl", ID: id}}
	if id != "" && slices.Contains(a.superUsers, id) {
		ids = append(ids, jute.ID{Scheme: "super"})
	}
	return ids, nil
}

// handleSASL takes a token (ZooKeeperServer.processSasl). The identity holds for the requests that come after it on the wire; the reply keeps its place among the others. Without a
// section for the server in a JAAS file there is a reply without a token, as from Java.
func (c *conn) handleSASL(xid int32, body []byte) error {
	d := jute.NewDecoder(body)
	token := d.Buffer()
	if d.Err() != nil || token == nil {
		return errBadPacket
	}
	a := &c.s.auth.sasl
	if a.login == nil {
		c.answerSASL(xid, nil, jute.OK, false)
		return nil
	}
	if c.exchange == nil {
		c.exchange = a.login.Server(saslProtocol, saslServer)
	}
	answer, err := c.exchange.Step(token)
	if err == nil && c.exchange.Done() {
		var ids []jute.ID
		if ids, err = a.identities(c.exchange.Peer()); err == nil {
			err = c.addIdentities(ids)
		}
	}
	if err == nil {
		c.answerSASL(xid, answer, jute.OK, false)
		return nil
	}
	c.s.rated.Warn("authentication with SASL failed", "client", c.remote(), "error", err)
	required := c.s.auth.required["sasl"]
	switch {
	case errors.Is(err, sasl.ErrSilent):
		return err
	case required:
		c.answerSASL(xid, nil, jute.ErrSessionClosedRequireSASL, true)
	case a.keepFailed && c.saslFailures < maxFailures:
		c.saslFailures++
		c.answerSASL(xid, nil, jute.OK, false)
		return nil
	default:
		c.answerSASL(xid, nil, jute.ErrAuthFailed, true)
	}
	return errHangUp
}

// answerSASL sends a reply with a token, which may be nil, in its turn.
func (c *conn) answerSASL(xid int32, token []byte, code jute.Code, hangUp bool) {
	b := make([]byte, replyHeaderSize, replyHeaderSize+4+len(token))
	b = jute.AppendBuffer(b, token)
	putReplyHeader(b, xid, 0, code)
	c.endDirect()
	c.fifo.Lock()
	defer c.fifo.Unlock()
	if len(c.fifo.queue) > 0 {
		c.push(&Request{Cxid: xid, Op: jute.OpSASL, conn: c, received: c.now, answer: b, hangUp: hangUp})
		return
	}
	c.send(b, nil)
	if hangUp {
		c.hangUp()
	}
}
