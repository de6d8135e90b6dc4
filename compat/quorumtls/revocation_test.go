//go:build unix

package quorumtls

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"quoll/compat/ensemble"
	"quoll/compat/peer"
	"quoll/tlsconf/tlstest"
)

// revocations is an authority below another, the web server that has what they say of their certificates, and certificates to show.
type revocations struct {
	t                *testing.T
	root, good, gone *tlstest.Authority // gone is revoked by the root
	stranger         *tlstest.Authority
	url              string

	mu    sync.Mutex
	files map[string][]byte // by path, that of OCSP without the request
	where map[string]string // redirects
}

func newRevocations(t *testing.T) *revocations {
	t.Helper()
	r := &revocations{t: t, root: tlstest.New(t, "root"), stranger: tlstest.New(t, "good"), files: map[string][]byte{}, where: map[string]string{}}
	web := httptest.NewServer(r)
	t.Cleanup(web.Close)
	r.url = web.URL
	listed := func(form *x509.Certificate) { form.CRLDistributionPoints = []string{r.url + "/root/crl"} }
	r.good, r.gone = r.root.Below("good", listed), r.root.Below("gone", listed)
	r.files["/root/crl"] = r.root.CRL(revoking(r.gone.Leaf()))
	return r
}

// ServeHTTP is the web server: paths that end in /crl are lists, those that have /ocsp ask a responder.
func (r *revocations) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	path := q.URL.Path
	if before, _, ok := strings.Cut(path, "/ocsp"); ok {
		path = before + "/ocsp"
		w.Header().Set("Content-Type", "application/ocsp-response")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if to := r.where[path]; to != "" {
		http.Redirect(w, q, to, http.StatusFound)
	} else if data, ok := r.files[path]; ok {
		_, _ = w.Write(data)
	} else {
		http.NotFound(w, q)
	}
}

// revoking is a list with a certificate in it.
func revoking(c *x509.Certificate) func(form *x509.RevocationList) {
	return func(form *x509.RevocationList) {
		form.RevokedCertificateEntries = append(form.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)})
	}
}

// judged is a certificate and what is said of it. Of a certificate with the paths a and b the files are at a/crl and b/ocsp.
type judged struct {
	name       string
	crl, ocsp  bool // whom the port asks: with ssl.crl alone, with ssl.ocsp
	java       bool // taken by ZooKeeper alone
	by         *tlstest.Authority
	lists      []string // the distribution points
	responders []string
	extra      []pkix.Extension
	ends       bool                                      // Java calls itself without end, and never takes a connection at that port again
	say        func(path string, leaf *x509.Certificate) // puts the answers there; path is that of the certificate
}

// nobody is an address where nobody listens: the port 1 of the loopback interface.
const nobody = "http://127.0.0.1:1"

// idp is the extension of a list that says what it is a list of.
func idp(t *testing.T, url string, fields ...asn1.RawValue) pkix.Extension {
	t.Helper()
	var all []asn1.RawValue
	if url != "" {
		uri := asn1.RawValue{Class: 2, Tag: 6, Bytes: []byte(url)}
		all = append(all, inside(t, 0, inside(t, 0, uri)))
	}
	der, err := asn1.Marshal(append(all, fields...))
	peer.Check(t, err)
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: der}
}

func inside(t *testing.T, tag int, values ...asn1.RawValue) asn1.RawValue {
	t.Helper()
	var all []byte
	for _, v := range values {
		der, err := asn1.Marshal(v)
		peer.Check(t, err)
		all = append(all, der...)
	}
	return asn1.RawValue{Class: 2, Tag: tag, IsCompound: true, Bytes: all}
}

func yes(tag int) asn1.RawValue { return asn1.RawValue{Class: 2, Tag: tag, Bytes: []byte{0xff}} }

// cases are what both servers are shown.
func (r *revocations) cases() []judged {
	t := r.t
	put := func(path string, data []byte) { r.files[path] = data }
	list := func(change ...func(form *x509.RevocationList)) func(string, *x509.Certificate) {
		return func(path string, _ *x509.Certificate) {
			put(path+"/crl", r.good.CRL(func(form *x509.RevocationList) {
				for _, c := range change {
					c(form)
				}
			}))
		}
	}
	revoked := func(path string, leaf *x509.Certificate) { put(path+"/crl", r.good.CRL(revoking(leaf))) }
	ends := func(in time.Duration) func(*x509.RevocationList) {
		return func(form *x509.RevocationList) {
			form.ThisUpdate, form.NextUpdate = time.Now().Add(-2*time.Hour), time.Now().Add(in)
		}
	}
	with := func(e func(path string) pkix.Extension) func(string, *x509.Certificate) {
		return func(path string, _ *x509.Certificate) {
			put(path+"/crl", r.good.CRL(func(form *x509.RevocationList) { form.ExtraExtensions = []pkix.Extension{e(path)} }))
		}
	}
	answer := func(by *tls.Certificate, change func(form *ocsp.Response)) func(string, *x509.Certificate) {
		return func(path string, leaf *x509.Certificate) { put(path+"/ocsp", r.good.OCSP(leaf, by, change)) }
	}
	status := func(s int) func(*ocsp.Response) {
		return func(form *ocsp.Response) { form.Status, form.RevokedAt = s, time.Now().Add(-time.Minute) }
	}
	valid := func(from, to time.Duration) func(*ocsp.Response) {
		return func(form *ocsp.Response) {
			form.ThisUpdate, form.NextUpdate = time.Now().Add(from), time.Now().Add(to)
		}
	}
	both := func(say ...func(string, *x509.Certificate)) func(string, *x509.Certificate) {
		return func(path string, leaf *x509.Certificate) {
			for _, s := range say {
				s(path, leaf)
			}
		}
	}
	delegate := func(from *tlstest.Authority, change func(form *x509.Certificate)) *tls.Certificate {
		c := from.Issue("responder", func(form *x509.Certificate) {
			form.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
			if change != nil {
				change(form)
			}
		})
		return &c
	}
	own := tls.Certificate{Leaf: r.good.Leaf(), PrivateKey: r.good.Signer()}
	crl, responder := []string{"/crl"}, []string{"/ocsp"}
	const never = "nobody"
	point := func(value ...asn1.RawValue) []pkix.Extension {
		der, err := asn1.Marshal([]asn1.RawValue{{Tag: asn1.TagSequence, IsCompound: true, Bytes: func() (all []byte) {
			for _, v := range value {
				one, err := asn1.Marshal(v)
				peer.Check(t, err)
				all = append(all, one...)
			}
			return all
		}()}})
		peer.Check(t, err)
		return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: der}}
	}
	uri := func(url string) asn1.RawValue {
		return inside(t, 0, inside(t, 0, asn1.RawValue{Class: 2, Tag: 6, Bytes: []byte(url)}))
	}
	return []judged{
		{name: "in no list", crl: true, ocsp: true, lists: crl, say: list()},
		{name: "in a list", lists: crl, say: revoked},
		{name: "in a list, for a while", lists: crl, say: func(path string, leaf *x509.Certificate) {
			put(path+"/crl", r.good.CRL(func(form *x509.RevocationList) {
				revoking(leaf)(form)
				form.RevokedCertificateEntries[0].ReasonCode = 6
			}))
		}},
		{name: "in a list, from tomorrow on", crl: true, ocsp: true, lists: crl, say: func(path string, leaf *x509.Certificate) {
			put(path+"/crl", r.good.CRL(func(form *x509.RevocationList) {
				revoking(leaf)(form)
				form.RevokedCertificateEntries[0].RevocationTime = time.Now().Add(24 * time.Hour)
			}))
		}},
		{name: "of an authority that is revoked", by: r.gone, lists: crl, say: func(path string, _ *x509.Certificate) { put(path+"/crl", r.gone.CRL(nil)) }},
		{name: "a list that ended an hour ago", lists: crl, say: list(ends(-time.Hour))},
		{name: "a list that ended ten minutes ago", crl: true, ocsp: true, lists: crl, say: list(ends(-10 * time.Minute))},
		{name: "a list from in an hour on", lists: crl, say: list(func(form *x509.RevocationList) {
			form.ThisUpdate, form.NextUpdate = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		})},
		{name: "a list of another with the same name", lists: crl, say: func(path string, _ *x509.Certificate) { put(path+"/crl", r.stranger.CRL(nil)) }},
		{name: "a list of the root", lists: crl, say: func(path string, _ *x509.Certificate) { put(path+"/crl", r.root.CRL(nil)) }},
		{name: "a list in PEM", crl: true, ocsp: true, lists: crl, say: func(path string, _ *x509.Certificate) {
			put(path+"/crl", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: r.good.CRL(nil)}))
		}},
		{name: "no list in the file", lists: crl, say: func(path string, _ *x509.Certificate) { put(path+"/crl", []byte("<html>")) }},
		{name: "no such file", lists: crl},
		{name: "nobody has the list", lists: []string{never + "/crl"}},
		{name: "the second place has the list", crl: true, ocsp: true, lists: []string{never + "/crl", "/crl"}, say: list()},
		{name: "the second place has it revoked", lists: []string{never + "/crl", "/crl"}, say: revoked},
		{name: "moved", crl: true, ocsp: true, lists: crl, say: func(path string, leaf *x509.Certificate) {
			r.where[path+"/crl"] = path + "/moved"
			put(path+"/moved", r.good.CRL(nil))
		}},
		{name: "no place of a list"},
		{name: "a list at LDAP", lists: []string{"ldap://127.0.0.1:1/cn=good?certificateRevocationList"}},
		{name: "a list of this place", crl: true, ocsp: true, lists: crl, say: with(func(path string) pkix.Extension { return idp(t, r.url+path+"/crl") })},
		{name: "a list of another place", lists: crl, say: with(func(path string) pkix.Extension { return idp(t, r.url+path+"/other") })},
		{name: "a list of users", crl: true, ocsp: true, lists: crl, say: with(func(string) pkix.Extension { return idp(t, "", yes(1)) })},
		{name: "a list of authorities", lists: crl, say: with(func(string) pkix.Extension { return idp(t, "", yes(2)) })},
		{name: "a list of attributes", lists: crl, say: with(func(string) pkix.Extension { return idp(t, "", yes(5)) })},
		{name: "a list of some reasons", lists: crl, say: with(func(string) pkix.Extension {
			return idp(t, "", asn1.RawValue{Class: 2, Tag: 3, Bytes: []byte{6, 0x40}})
		})},
		{name: "a place for some reasons", extra: point(uri(r.url+place("a place for some reasons")+"/crl"), asn1.RawValue{Class: 2, Tag: 1, Bytes: []byte{6, 0x40}}), say: list()},
		{name: "an indirect list", java: true, extra: point(uri(r.url+place("an indirect list")+"/crl"), inside(t, 2, inside(t, 4, asn1.RawValue{FullBytes: r.root.Leaf().RawSubject}))), say: func(path string, _ *x509.Certificate) {
			put(path+"/crl", r.root.CRL(func(form *x509.RevocationList) { form.ExtraExtensions = []pkix.Extension{idp(t, "", yes(4))} }))
		}},
		{name: "a list with what nobody knows", lists: crl, say: with(func(string) pkix.Extension {
			return pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}
		})},
		{name: "a list of changes", lists: crl, say: with(func(string) pkix.Extension {
			return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 0}}
		})},

		{name: "good", ends: true, ocsp: true, responders: responder, say: answer(nil, nil)},
		{name: "revoked", responders: responder, say: answer(nil, status(ocsp.Revoked))},
		{name: "revoked from tomorrow on", ocsp: true, responders: responder, say: answer(nil, func(form *ocsp.Response) {
			form.Status, form.RevokedAt = ocsp.Revoked, time.Now().Add(24*time.Hour)
		})},
		{name: "unknown", responders: responder, say: answer(nil, status(ocsp.Unknown))},
		{name: "unknown, in no list", crl: true, ocsp: true, responders: responder, lists: crl, say: both(answer(nil, status(ocsp.Unknown)), list())},
		{name: "good, in a list", ocsp: true, responders: responder, lists: crl, say: both(answer(nil, nil), revoked)},
		{name: "revoked, in no list", crl: true, responders: responder, lists: crl, say: both(answer(nil, status(ocsp.Revoked)), list())},
		{name: "nobody answers", responders: []string{never + "/ocsp"}},
		{name: "nobody answers, in no list", crl: true, ocsp: true, responders: []string{never + "/ocsp"}, lists: crl, say: list()},
		{name: "nobody answers, in a list", responders: []string{never + "/ocsp"}, lists: crl, say: revoked},
		{name: "the second answers", responders: []string{never + "/ocsp", "/ocsp"}, say: answer(nil, nil)},
		{name: "not now", responders: responder, say: func(path string, _ *x509.Certificate) { put(path+"/ocsp", ocsp.TryLaterErrorResponse) }},
		{name: "an answer of another", responders: responder, say: func(path string, leaf *x509.Certificate) { put(path+"/ocsp", r.stranger.OCSP(leaf, nil, nil)) }},
		{name: "an answer of the root", responders: responder, say: func(path string, leaf *x509.Certificate) { put(path+"/ocsp", r.root.OCSP(leaf, nil, nil)) }},
		{name: "a broken signature", responders: responder, say: func(path string, leaf *x509.Certificate) {
			data := r.good.OCSP(leaf, nil, nil)
			data[len(data)-1] ^= 1
			put(path+"/ocsp", data)
		}},
		{name: "an answer about another", responders: responder, say: answer(nil, func(form *ocsp.Response) { form.SerialNumber = big.NewInt(5) })},
		{name: "an answer about another authority's", responders: responder, say: func(path string, leaf *x509.Certificate) {
			put(path+"/ocsp", r.root.OCSP(leaf, &own, func(form *ocsp.Response) { form.Certificate = nil }))
		}},
		{name: "an answer that ended an hour ago", responders: responder, say: answer(nil, valid(-2*time.Hour, -time.Hour))},
		{name: "an answer that ended ten minutes ago", ocsp: true, responders: responder, say: answer(nil, valid(-2*time.Hour, -10*time.Minute))},
		{name: "an answer from in an hour on", responders: responder, say: answer(nil, valid(time.Hour, 2*time.Hour))},
		{name: "an answer that has no end", ocsp: true, responders: responder, say: answer(nil, func(form *ocsp.Response) {
			form.ThisUpdate, form.NextUpdate = time.Now().Add(-10*time.Minute), time.Time{}
		})},
		{name: "an old one that has no end", responders: responder, say: answer(nil, func(form *ocsp.Response) { form.NextUpdate = time.Time{} })},
		{name: "with the authority's certificate", ocsp: true, responders: responder, say: answer(&own, nil)},
		{name: "of a delegate", ocsp: true, responders: responder, say: answer(delegate(r.good, nil), nil)},
		{name: "of a delegate, revoked", responders: responder, say: answer(delegate(r.good, nil), status(ocsp.Revoked))},
		{name: "of a delegate that is none", responders: responder, say: answer(delegate(r.good, func(form *x509.Certificate) { form.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), nil)},
		{name: "of a delegate for anything", responders: responder, say: answer(delegate(r.good, func(form *x509.Certificate) { form.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), nil)},
		{name: "of a delegate that has ended", responders: responder, say: answer(delegate(r.good, func(form *x509.Certificate) { form.NotAfter = time.Now().Add(-time.Minute) }), nil)},
		{name: "of a delegate of the root", responders: responder, say: answer(delegate(r.root, nil), nil)},
		{name: "of a delegate of another", responders: responder, say: answer(delegate(r.stranger, nil), nil)},
	}
}

// place is the path of what is said of a certificate.
func place(name string) string {
	return "/" + strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(name)
}

// issue makes the certificate of a case, with the certificate of its authority behind it, and puts in place what is said of it.
func (r *revocations) issue(c judged) tls.Certificate {
	path := place(c.name)
	at := func(places []string) (urls []string) {
		for _, p := range places {
			if rest, ok := strings.CutPrefix(p, "nobody"); ok {
				p = nobody + rest
			} else if p[0] == '/' {
				p = r.url + path + p
			}
			urls = append(urls, p)
		}
		return urls
	}
	by := c.by
	if by == nil {
		by = r.good
	}
	cert := by.Issue(c.name, func(form *x509.Certificate) {
		form.CRLDistributionPoints, form.OCSPServer, form.ExtraExtensions = at(c.lists), at(c.responders), c.extra
	})
	if c.say != nil {
		c.say(path, cert.Leaf)
	}
	cert.Certificate = append(cert.Certificate, by.Leaf().Raw)
	return cert
}

// TestRevocation has both servers check certificates that are revoked, are not, and about which nothing is to be found out: those of clients, of servers that connect, and of servers that
// they connect to. One member runs alone, and a handshake of TLS 1.2 is enough, whose end says what became of the certificate. The AdminServer looks up nobody unless
// com.sun.net.ssl.checkRevocation is set.
func TestRevocation(t *testing.T) {
	r := newRevocations(t)
	cases := r.cases()
	certs := make([]tls.Certificate, len(cases))
	for i, c := range cases {
		certs[i] = r.issue(c)
	}
	own := r.issue(judged{name: "member"})
	dir := t.TempDir()
	store := func(name string, data []byte) string {
		name = dir + "/" + name
		r.root.Write(name, data)
		return name
	}
	key, trust := store("member.pem", append(r.root.Store(own), r.good.Trust()...)), store("root.pem", r.root.Trust())
	for _, ocsp := range []bool{false, true} {
		for _, kind := range []ensemble.Kind{java, quoll} {
			t.Run(fmt.Sprint(map[bool]string{false: "crl ", true: "ocsp "}[ocsp], kind), func(t *testing.T) {
				peer.RequireJVM(t)
				var flags []string
				if ocsp {
					flags = []string{"-Dcom.sun.net.ssl.checkRevocation=true", "-Dcom.sun.security.enableCRLDP=true"}
				}
				e, err := ensemble.New(ensemble.Options{Flags: flags, Work: t.TempDir(), Kinds: []ensemble.Kind{kind, kind, kind}, Config: []string{"sslQuorum=true", fmt.Sprint("fips-mode=", ocsp)}})
				peer.Check(t, err)
				t.Cleanup(func() {
					peer.Check(t, e.Close())
					if t.Failed() {
						t.Log(e.Tails(60))
					}
				})
				m := e.Member(1)
				ports := map[string]string{"elections": m.ElectionAddr()}
				for _, name := range []string{"clients", "admin"} {
					port, err := peer.FreePort()
					peer.Check(t, err)
					ports[name] = fmt.Sprint("127.0.0.1:", port)
				}
				_, secure, _ := net.SplitHostPort(ports["clients"])
				_, admin, _ := net.SplitHostPort(ports["admin"])
				lines := []string{
					"serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory", "secureClientPort=" + secure, "secureClientPortAddress=127.0.0.1", "ssl.enabledProtocols=TLSv1.2",
					"admin.enableServer=true", "admin.serverAddress=127.0.0.1", "admin.serverPort=" + admin, "admin.forceHttps=true", "admin.needClientAuth=true",
				}
				for _, prefix := range []string{"ssl.", "ssl.quorum."} {
					lines = append(lines, prefix+"keyStore.location="+key, prefix+"trustStore.location="+trust, fmt.Sprint(prefix, map[bool]string{false: "crl", true: "ocsp"}[ocsp], "=true"))
				}
				peer.Check(t, e.Configure(m, lines...))
				var dialled []<-chan error
				for i, name := range []string{"in no list", "in a list"} {
					dialled = append(dialled, r.listen(t, e.Member(int64(i+2)).ElectionAddr(), certs[find(cases, name)]))
				}
				peer.Check(t, m.Start())
				for i, c := range cases {
					want := c.crl
					if ocsp {
						want = c.ocsp
					} else if c.responders != nil && c.lists == nil && c.name != "good" {
						continue // nobody is asked
					}
					for _, name := range []string{"clients", "elections"} {
						if c.ends && kind == java && !ocsp && name == "elections" {
							continue
						}
						if err := r.show(t, ports[name], &certs[i]); (err == nil) != (want || c.java && kind == java) {
							t.Errorf("%s: %s: %v", c.name, name, err)
						}
					}
				}
				for name, taken := range map[string]bool{"in no list": true, "in a list": flags == nil} {
					if err := r.show(t, ports["admin"], &certs[find(cases, name)]); (err == nil) != taken {
						t.Errorf("the AdminServer: %s: %v", name, err)
					}
				}
				if err := <-dialled[0]; err != nil {
					t.Errorf("it does not connect to a server: %v", err)
				}
				if err := <-dialled[1]; err == nil {
					t.Error("it connects to a server that is revoked")
				}
			})
		}
	}
}

func find(cases []judged, name string) int {
	return slices.IndexFunc(cases, func(c judged) bool { return c.name == name })
}

// show connects with a certificate, once somebody listens, and returns what became of the handshake.
func (r *revocations) show(t *testing.T, addr string, cert *tls.Certificate) error {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); conn, err = net.Dial("tcp", addr) {
		time.Sleep(50 * time.Millisecond)
	}
	peer.Check(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	config := r.root.Config()
	config.MaxVersion = tls.VersionTLS12
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	if err = tls.Client(conn, config).Handshake(); os.IsTimeout(err) {
		t.Fatalf("%s: %v", cert.Leaf.Subject.CommonName, err)
	}
	return err
}

// listen waits where a member would be, and says what became of the first handshake with another, to whom it shows the certificate.
func (r *revocations) listen(t *testing.T, addr string, cert tls.Certificate) <-chan error {
	t.Helper()
	l, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12})
	peer.Check(t, err)
	t.Cleanup(func() { l.Close() })
	result := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			err = conn.(*tls.Conn).Handshake()
			conn.Close()
			select {
			case result <- err:
			default: // it tries again and again
			}
		}
	}()
	return result
}
