//go:build unix

// Package tls holds the tests of TLS with clients: real clients at quoll's port and at ZooKeeper's, the certificates of one and the same client at both, and names of subjects.
package tls

import (
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
	"quoll/tlsconf/tlstest"
)

const patience = 60 * time.Second

// stores are the files of a certificate authority, a server and a client named bob, in PEM.
type stores struct {
	*tlstest.Authority
	dir string
	ip  net.IP // what certificates are for
}

func newStores(t *testing.T) *stores {
	t.Helper()
	s := &stores{Authority: tlstest.New(t, "ca"), dir: t.TempDir(), ip: net.IPv4(127, 0, 0, 1)}
	s.Write(s.file("ca.pem"), s.Trust())
	for _, who := range []string{"server", "bob"} {
		cert := s.issue(name(who))
		s.Write(s.file(who+".key"), pemOf("PRIVATE KEY", s.Key(cert)))
		s.Write(s.file(who+".crt"), pemOf("CERTIFICATE", cert.Certificate[0]))
		s.Write(s.file(who+".pem"), s.Store(cert))
	}
	return s
}

// name is a subject with a common name in DER.
func name(common string) []byte {
	return append([]byte{0x30, byte(11 + len(common)), 0x31, byte(9 + len(common)), 0x30, byte(7 + len(common)), 6, 3, 0x55, 4, 3, 0x0c, byte(len(common))}, common...)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (s *stores) file(name string) string { return filepath.Join(s.dir, name) }

// issue makes a certificate of a subject in DER.
func (s *stores) issue(subject []byte) cryptotls.Certificate {
	return s.Issue("", func(form *x509.Certificate) {
		form.RawSubject, form.IPAddresses = subject, []net.IP{s.ip}
		if s.ip.IsLoopback() {
			form.DNSNames = []string{"localhost"} // Java may ask for the name of the address that it dials
		}
	})
}

// options are those of a server with a TLS port beside the plain one, and the address of that port.
func (s *stores) options(t *testing.T, lines ...string) (opts peer.Options, addr string) {
	t.Helper()
	port, err := peer.FreePort()
	peer.Check(t, err)
	return peer.Options{Config: append([]string{
		"serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory", "secureClientPort=" + strconv.Itoa(port), "secureClientPortAddress=127.0.0.1", "maxClientCnxns=0",
		"ssl.keyStore.location=" + s.file("server.pem"), "ssl.trustStore.location=" + s.file("ca.pem"),
	}, lines...)}, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// TestCertificates shows 200 certificates, of every type of attribute and string, to both servers: whoever they say that the client is, must be the same. A few more are such
// that crypto/x509 does not read them, and quoll refuses those.
func TestCertificates(t *testing.T) {
	peer.RequireJVM(t)
	s := newStores(t)
	opts, addr := s.options(t)
	var certs []cryptotls.Certificate
	rnd := mathrand.New(mathrand.NewPCG(3, 4))
	all := subjectNames(t, rnd)
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = append([][]byte{{0x30, 0}}, all...) // nobody
	read, unread := 0, 0
	for _, subject := range all {
		cert := s.issue(subject)
		count, most := &read, 200
		if cert.Leaf == nil {
			count, most = &unread, 20
		}
		if *count < most {
			*count++
			certs = append(certs, cert)
		}
	}
	if read < 200 {
		t.Fatalf("only %d certificates to compare", read)
	}
	answers := map[string][]string{}
	peer.Each(t, opts, func(t *testing.T, server *peer.Server) {
		for i := range certs {
			answers[server.Kind()] = append(answers[server.Kind()], s.whoAmI(t, addr, &certs[i]))
		}
	})
	if len(answers["java"]) != len(certs) || len(answers["quoll"]) != len(certs) {
		t.Fatal("a server is missing")
	}
	for i, java := range answers["java"] {
		quoll := answers["quoll"][i]
		if certs[i].Leaf == nil {
			java = "refused"
		}
		if quoll != java {
			t.Errorf("certificate %x:\njava  %s\nquoll %s", certs[i].Certificate[0], java, quoll)
		}
	}
}

// whoAmI is what the server says that the client with the certificate is, or "refused".
func (s *stores) whoAmI(t *testing.T, addr string, cert *cryptotls.Certificate) string {
	t.Helper()
	config := s.Config()
	config.GetClientCertificate = func(*cryptotls.CertificateRequestInfo) (*cryptotls.Certificate, error) { return cert, nil }
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// A client of package client would try again and again, so the two requests are made by hand.
	nc, err := net.Dial("tcp", addr)
	for ; err != nil && ctx.Err() == nil; nc, err = net.Dial("tcp", addr) {
		time.Sleep(50 * time.Millisecond) // ZooKeeper opens its plain port, by which it is known to run, before
	}
	peer.Check(t, err)
	defer nc.Close()
	deadline, _ := ctx.Deadline()
	_ = nc.SetDeadline(deadline)
	raw := client.NewRawConn(cryptotls.Client(nc, config))
	var who jute.WhoAmIResponse
	if _, err = raw.Handshake(&jute.ConnectRequest{Timeout: 10000, Password: make([]byte, jute.PasswordLength), HasReadOnly: true}); err == nil {
		err = raw.Request(1, jute.OpWhoAmI, nil)
	}
	var body []byte
	if err == nil {
		_, body, err = raw.Reply()
	}
	if os.IsTimeout(err) {
		t.Fatal(err)
	}
	if err != nil {
		return "refused"
	}
	d := jute.NewDecoder(body)
	who.Decode(&d)
	peer.Check(t, d.Err())
	var ids []string
	for _, info := range who.ClientInfo {
		ids = append(ids, info.AuthScheme+":"+info.User)
	}
	slices.Sort(ids)
	_ = raw.Request(2, jute.OpCloseSession, nil)
	return strings.Join(ids, " ")
}

// TestJavaClient uses both servers with ZooKeeper's own client, with a certificate and without, in TLS 1.2 and 1.3, and compares all that it sees.
func TestJavaClient(t *testing.T) {
	peer.RequireJVM(t)
	classes := t.TempDir()
	peer.Check(t, peer.Compile("zookeeper", classes, "Client.java"))
	classpath, err := peer.Classpath("zookeeper", classes)
	peer.Check(t, err)
	s := newStores(t)
	opts, addr := s.options(t, "ssl.clientAuth=want", "ssl.enabledProtocols=TLSv1.2,TLSv1.3")
	seen := map[string]string{}
	peer.Each(t, opts, func(t *testing.T, server *peer.Server) {
		for i, flags := range [][]string{
			{"-Dzookeeper.ssl.keyStore.location=" + s.file("bob.pem")},
			{"-Dzookeeper.ssl.keyStore.location=" + s.file("bob.pem"), "-Dzookeeper.ssl.protocol=TLSv1.2"},
			{},
		} {
			args := append([]string{
				"-Xmx128m", "-cp", classpath, "-Dlogback.configurationFile=../javaclient/logback.xml", "-Dzookeeper.client.secure=true", "-Dzookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty",
				"-Dzookeeper.ssl.trustStore.location=" + s.file("ca.pem"),
			}, flags...)
			out, err := peer.Output(t, 2*patience, nil, "java", append(args, "Client", addr, fmt.Sprint("/", i))...)
			if err != nil {
				t.Fatalf("%v: %v\n%s", flags, err, out)
			}
			seen[server.Kind()] += out
		}
	})
	if seen["java"] != seen["quoll"] || !strings.Contains(seen["java"], "who x509 CN=bob") {
		t.Errorf("at ZooKeeper:\n%s\nat quoll:\n%s", seen["java"], seen["quoll"])
	}
}

// TestKazoo does the same with the Python client.
func TestKazoo(t *testing.T) {
	peer.RequireJVM(t)
	peer.Require(t, "kazoo")
	dir, err := peer.Path("kazoo")
	peer.Check(t, err)
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	s := newStores(t)
	opts, addr := s.options(t, "ssl.clientAuth=want")
	seen := map[string]string{}
	peer.Each(t, opts, func(t *testing.T, server *peer.Server) {
		env := []string{"PYTHONPATH=" + filepath.Join(dir, "lib"), "PYTHONDONTWRITEBYTECODE=1"}
		for _, files := range [][]string{{s.file("bob.crt"), s.file("bob.key")}, {}} {
			out, err := peer.Output(t, 2*patience, env, python, append([]string{"use.py", addr, s.file("ca.pem")}, files...)...)
			if err != nil {
				t.Fatalf("%v: %v\n%s", files, err, out)
			}
			seen[server.Kind()] += out
		}
	})
	if seen["java"] != seen["quoll"] || !strings.Contains(seen["java"], "CN=bob") {
		t.Errorf("at ZooKeeper:\n%s\nat quoll:\n%s", seen["java"], seen["quoll"])
	}
}

// TestClientHosts has servers compare certificates with where their clients come from. ZooKeeper, which does not hand the address to its TLS engine, takes nobody in FIPS mode,
// which is the default, and only who has a certificate for the loopback interface without it; quoll compares the address in both.
func TestClientHosts(t *testing.T) {
	peer.RequireJVM(t)
	s := newStores(t)
	certificate := func(subject string, ip net.IP) *cryptotls.Certificate {
		s.ip = ip
		cert := s.issue(name(subject))
		return &cert
	}
	here, elsewhere := certificate("here", net.IPv4(127, 0, 0, 1)), certificate("elsewhere", net.IPv4(10, 0, 0, 1))
	for _, fips := range []bool{true, false} {
		opts, addr := s.options(t, "ssl.clientHostnameVerification=true", fmt.Sprint("fips-mode=", fips))
		t.Run(fmt.Sprint(fips), func(t *testing.T) {
			peer.Each(t, opts, func(t *testing.T, server *peer.Server) {
				want := "ip:127.0.0.1 x509:CN=here"
				if fips && server.Kind() == "java" {
					want = "refused"
				}
				if got := s.whoAmI(t, addr, here); got != want {
					t.Errorf("a certificate for 127.0.0.1: %s, want %s", got, want)
				}
				if got := s.whoAmI(t, addr, elsewhere); got != "refused" {
					t.Errorf("a certificate for 10.0.0.1: %s", got)
				}
			})
		})
	}
}
