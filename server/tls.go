package server

import (
	"container/list"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"quoll/jute"
	"quoll/tlsconf"
)

const (
	handshakeLimit = 2048     // handshakes in flight, where the configuration does not say
	handshakeBytes = 64 << 10 // that a client may send in one

	handshakeCost  = 1500 * time.Microsecond // about what one takes of a processor if it comes to its end, with a key of RSA
	handshakeBurst = 1000                    // of them begin at once, as when all clients of a server that is gone come here
)

// security says what is spoken on a listener.
type security uint8

const (
	plainText security = iota
	secure             // TLS
	unified            // TLS or plain text, as the first byte says
)

// newcomer is a connection that may be admitted.
type newcomer struct {
	net.Conn
	begin  []byte    // what was read of it already
	ids    []jute.ID // what it has proved to be
	secure bool      // it came to the port for TLS
}

// doorstep is where connections, all of TCP and not yet of TLS, are between accept and admit: until it is known that they speak plain text, or their handshake is done. There is room for so many. When it is
// full, who is there longest goes: an honest client is there for milliseconds, and to turn away the newest would shut everybody out for as long as the others can wait.
type doorstep struct {
	s     *Server
	tls   *tlsconf.Server
	limit int
	// turns are had by those who compute, and by nobody who waits for a client: half of the processors at a time. Thousands that come at once would otherwise be in the way of
	// every client in the scheduler, which looks for news from the network when it has nothing else to do.
	turns chan struct{}

	sync.Mutex
	next    time.Time // when one more may begin
	waiting list.List // of net.Conn, the oldest first
	closed  bool
}

// newDoorstep reads the stores. Its errors name the key that is wrong.
func newDoorstep(s *Server) (*doorstep, error) {
	material, err := tlsconf.NewServer("ssl.", s.opts.ClientTLS, s.log)
	if err != nil {
		return nil, err
	}
	for _, note := range material.Notes() {
		s.log.Warn(note)
	}
	if t := s.opts.ClientTLS; t.HostnameVerification && t.ClientHostnameVerification {
		s.log.Info("the certificates of clients are compared with the addresses that they come from, whatever fips-mode says")
	}
	if t := s.opts.ClientTLS; t.CRL || t.OCSP {
		s.log.Info("clients are refused whose certificates are revoked, or of which it cannot be found out", "crl", t.CRL, "ocsp", t.OCSP)
	}
	d := &doorstep{s: s, tls: material, limit: handshakeLimit, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	if n := s.opts.OutstandingHandshakeLimit; n > 0 {
		d.limit = n
	}
	return d, nil
}

// pace is how long the next one is to wait before it begins. Those who never end their handshakes come at no higher rate than those who do could be served, and thousands that come in a
// second leave the clients that are there some of it; meanwhile the others are in the backlog of the port.
func (d *doorstep) pace(now time.Time) time.Duration {
	each := handshakeCost / time.Duration(cap(d.turns))
	d.Lock()
	defer d.Unlock()
	if idle := now.Add(-handshakeBurst * each); d.next.Before(idle) {
		d.next = idle
	}
	d.next = d.next.Add(each)
	return max(0, d.next.Sub(now))
}

// take has a connection that was just accepted wait until it can be admitted. It returns when the connection has its turn.
func (d *doorstep) take(nc net.Conn, how security) {
	time.Sleep(d.pace(time.Now()))
	d.turns <- struct{}{}
	d.Lock()
	if d.closed {
		d.Unlock()
		<-d.turns
		_ = nc.Close()
		return
	}
	place := d.waiting.PushBack(nc)
	if d.waiting.Len() > d.limit {
		_ = d.waiting.Remove(d.waiting.Front()).(net.Conn).Close()
		d.s.metrics.TLSHandshakeExceeded.Inc()
	}
	d.Unlock()
	d.s.wg.Go(func() {
		admitted, err := d.identify(nc, how)
		<-d.turns
		d.Lock()
		d.waiting.Remove(place)
		d.Unlock()
		if err != nil {
			_ = nc.Close()
			return
		}
		d.s.admit(admitted)
	})
}

// count is the number of connections that wait.
func (d *doorstep) count() int64 {
	d.Lock()
	defer d.Unlock()
	return int64(d.waiting.Len())
}

// close closes all that wait, and who still comes.
func (d *doorstep) close() {
	d.tls.Close()
	d.Lock()
	defer d.Unlock()
	d.closed = true
	for e := d.waiting.Front(); e != nil; e = e.Next() {
		_ = e.Value.(net.Conn).Close()
	}
}

// identify finds out what is spoken and does the handshake.
func (d *doorstep) identify(nc net.Conn, how security) (newcomer, error) {
	_ = nc.SetDeadline(time.Now().Add(d.s.opts.SessionlessCnxnTimeout))
	in := &rationed{Conn: nc, left: handshakeBytes, turns: d.turns}
	if how == unified {
		first := make([]byte, 1)
		if _, err := io.ReadFull(in, first); err != nil {
			return newcomer{}, err
		}
		if first[0] != tlsconf.FirstByte {
			_ = nc.SetDeadline(time.Time{})
			return newcomer{Conn: nc, begin: first}, nil
		}
		in.begin = first
	}
	config := d.tls.Config()
	if verify := config.VerifyConnection; verify != nil {
		config = config.Clone()
		config.VerifyConnection = func(state tls.ConnectionState) error {
			<-d.turns
			defer func() { d.turns <- struct{}{} }()
			return verify(state)
		}
	}
	c := tls.Server(in, config)
	err := c.Handshake()
	n := newcomer{Conn: c, secure: how == secure}
	if err == nil {
		n.ids, err = d.s.auth.certified(c.ConnectionState(), d.tls, nc.RemoteAddr())
	}
	if err != nil {
		d.s.stats.authFailed.Add(1)
		d.s.metrics.UnsuccessfulHandshakes.Inc()
		if in.left < handshakeBytes { // and not somebody who only looks whether the port is open
			d.s.rated.Warn("a TLS handshake failed", "client", nc.RemoteAddr().String(), "error", err)
		}
		return newcomer{}, err
	}
	in.unlimited = true
	_ = nc.SetDeadline(time.Time{})
	return n, nil
}

// rationed is a connection on the doorstep, whose goroutine has a turn: of it a limited number of bytes can be read, until it is unlimited.
type rationed struct {
	net.Conn
	begin     []byte // read of the connection already
	left      int
	turns     chan struct{}
	unlimited bool
}

var errLongHandshake = errors.New("the client sends too much before the end of the handshake")

// Read is that of a net.Conn.
func (r *rationed) Read(p []byte) (n int, err error) {
	if len(r.begin) > 0 {
		n = copy(p, r.begin)
		r.begin = r.begin[n:]
		return n, nil
	}
	if r.unlimited {
		return r.Conn.Read(p)
	}
	if r.left == 0 {
		return 0, errLongHandshake
	}
	<-r.turns
	n, err = r.Conn.Read(p[:min(len(p), r.left)])
	r.turns <- struct{}{}
	r.left -= n
	return n, err
}

// Write is that of a net.Conn.
func (r *rationed) Write(p []byte) (n int, err error) {
	if r.unlimited {
		return r.Conn.Write(p)
	}
	<-r.turns
	n, err = r.Conn.Write(p)
	r.turns <- struct{}{}
	return n, err
}

// certified is who a connection has proved to be by its certificate: nobody without one, and then the handshake has seen to it that it needs none. Mirrors the method
// handleAuthentication of the Java class X509AuthenticationProvider.
func (a *authenticator) certified(state tls.ConnectionState, material *tlsconf.Server, from net.Addr) ([]jute.ID, error) {
	if len(state.PeerCertificates) == 0 {
		return nil, nil
	}
	if err := material.VerifyPeer(state, from); err != nil {
		return nil, err
	}
	name, err := tlsconf.SubjectName(state.PeerCertificates[0].RawSubject)
	if err != nil {
		return nil, err
	}
	ids := []jute.ID{{Scheme: "x509", ID: name}}
	if name != "" && name == a.superX509 { // a subject may be empty, and so is the setting if nobody is to be super
		ids = append(ids, jute.ID{Scheme: "super", ID: name})
	}
	return ids, nil
}

// x509 is the answer to an auth packet of the scheme: who has shown a certificate has the identity already.
func (a *authenticator) x509(c *conn, _ []byte) (ids []jute.ID, ok bool) {
	for _, id := range c.identities() {
		ok = ok || id.Scheme == "x509"
	}
	return nil, ok
}
