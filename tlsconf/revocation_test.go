package tlsconf

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"quoll/config"
	"quoll/tlsconf/tlstest"
)

// web is what is fetched from, in place of the network; it says how often.
type web struct {
	mu      sync.Mutex
	said    map[string][]byte // by URL
	silent  map[string]bool   // does not answer, until nobody waits
	broken  bool              // refuses connections
	fetched map[string]int
	since   map[string]string // If-Modified-Since, as it was asked last
}

// RoundTrip is that of an http.RoundTripper.
func (w *web) RoundTrip(q *http.Request) (*http.Response, error) {
	u := q.URL.String()
	w.mu.Lock()
	w.fetched[u]++
	since := q.Header.Get("If-Modified-Since")
	w.since[u] = since
	silent, broken, body := w.silent[u], w.broken, w.said[u]
	w.mu.Unlock()
	if silent {
		<-q.Context().Done()
		return nil, q.Context().Err()
	}
	if broken {
		return nil, errors.New("connection refused")
	}
	a := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Last-Modified": {"then"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: q}
	if since != "" {
		a.StatusCode, a.Body = http.StatusNotModified, http.NoBody
	}
	return a, nil
}

// set changes what the web does.
func (w *web) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// asking is a revocation that asks a web, and an authority.
func asking(t testing.TB, settings config.TLS) (*revocation, *web, *tlstest.Authority, *bytes.Buffer) {
	t.Helper()
	w := &web{said: map[string][]byte{}, silent: map[string]bool{}, fetched: map[string]int{}, since: map[string]string{}}
	log := &bytes.Buffer{}
	r := newRevocation(settings, slog.New(slog.NewTextHandler(log, nil)))
	r.answers.client.Transport = w
	t.Cleanup(r.answers.close)
	return r, w, tlstest.New(t, "ca"), log
}

// listed issues a certificate that names some lists.
func listed(ca *tlstest.Authority, lists ...string) *x509.Certificate {
	return ca.Issue("leaf", func(form *x509.Certificate) { form.CRLDistributionPoints = lists }).Leaf
}

// says checks what becomes of a certificate: nothing, or an error with some text in it.
func says(t *testing.T, r *revocation, ca *tlstest.Authority, leaf *x509.Certificate, want string) {
	t.Helper()
	err := r.verify([][]*x509.Certificate{{leaf, ca.Leaf()}})
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestKept: an answer is asked for again after a while, with the time that it was made; if that fails it is good until it ends, and no longer.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, ca, log := asking(t, config.TLS{CRL: true})
		leaf := listed(ca, "http://a/crl")
		w.said["http://a/crl"] = ca.CRL(nil)
		fetched := func(want int) {
			t.Helper()
			if got := w.fetched["http://a/crl"]; got != want {
				t.Errorf("%d times, want %d", got, want)
			}
		}
		says(t, r, ca, leaf, "")
		time.Sleep(askAgain - 1)
		says(t, r, ca, leaf, "")
		fetched(1)
		time.Sleep(time.Nanosecond)
		says(t, r, ca, leaf, "")
		fetched(2)
		if w.since["http://a/crl"] != "then" {
			t.Error("it does not say what it has")
		}
		time.Sleep(askAgain)
		w.set(func() { w.broken = true })
		says(t, r, ca, leaf, "")
		says(t, r, ca, leaf, "")
		fetched(3)
		if !strings.Contains(log.String(), "http://a/crl: connection refused") {
			t.Errorf("the log is %q", log)
		}
		time.Sleep(time.Hour + clockSkew - 2*askAgain - 1)
		says(t, r, ca, leaf, "")
		fetched(4)
		time.Sleep(time.Nanosecond)
		says(t, r, ca, leaf, "cannot find out whether it is revoked: http://a/crl: connection refused")
	})
}

// TestSilentServer: who has to ask a server that does not answer waits for it once, and the others do not; whoever asks another is not held up. It is asked again later.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, ca, _ := asking(t, config.TLS{OCSP: true})
		leaf := ca.Issue("leaf", func(form *x509.Certificate) {
			form.OCSPServer, form.CRLDistributionPoints = []string{"http://silent/ocsp"}, []string{"http://a/crl"}
		}).Leaf
		w.silent["http://silent/ocsp"] = true
		w.said["http://a/crl"] = ca.CRL(nil)
		took := func(want time.Duration) {
			t.Helper()
			begin := time.Now()
			says(t, r, ca, leaf, "")
			if got := time.Since(begin); got != want {
				t.Errorf("it took %v, want %v", got, want)
			}
		}
		took(waitTime)
		took(0)
		time.Sleep(silentTime - 1)
		took(0)
		time.Sleep(fetchTime) // until the fetch that nobody waits for has ended
		took(waitTime)
		time.Sleep(fetchTime)
		w.set(func() {
			w.silent["http://silent/ocsp"] = false
			w.said["http://silent/ocsp"] = ca.OCSP(leaf, nil, func(form *ocsp.Response) { form.Status, form.RevokedAt = ocsp.Revoked, time.Now() })
		})
		says(t, r, ca, leaf, "says http://silent/ocsp")
		if n := w.fetched["http://silent/ocsp"]; n != 3 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestTimeOfAHandshake: however many places a certificate names, a handshake waits for a limited time.
func TestTimeOfAHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, ca, _ := asking(t, config.TLS{CRL: true})
		places := []string{"http://a/", "http://b/", "http://c/", "http://d/"}
		for _, p := range places {
			w.silent[p] = true
		}
		begin := time.Now()
		says(t, r, ca, listed(ca, places...), "does not answer in time; http://c/: no time was left")
		if took := time.Since(begin); took != checkTime {
			t.Errorf("it took %v", took)
		}
		if r.answers.isSilent("c") || !r.answers.isSilent("b") {
			t.Error("a server is taken for silent that nobody has waited for, or one is not that somebody has")
		}
		time.Sleep(fetchTime)
	})
}

// TestLateAnswer: what comes when nobody waits any more is there for the next one.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, ca, _ := asking(t, config.TLS{CRL: true})
		w.said["http://a/crl"] = ca.CRL(nil)
		r.answers.client.Transport = late{w}
		leaf := listed(ca, "http://a/crl")
		says(t, r, ca, leaf, "does not answer in time")
		time.Sleep(waitTime)
		says(t, r, ca, leaf, "")
		if n := w.fetched["http://a/crl"]; n != 1 {
			t.Errorf("fetched %d times", n)
		}
	})
}

// late is a web that takes its time.
type late struct{ *web }

// RoundTrip is that of an http.RoundTripper.
func (l late) RoundTrip(q *http.Request) (*http.Response, error) {
	time.Sleep(waitTime + 1)
	if err := q.Context().Err(); err != nil {
		return nil, err
	}
	return l.web.RoundTrip(q)
}

// TestTogether: what many want at the same time is fetched once.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, ca, _ := asking(t, config.TLS{CRL: true})
		w.said["http://a/crl"] = ca.CRL(nil)
		r.answers.client.Transport = slow{w}
		leaves := []*x509.Certificate{listed(ca, "http://a/crl"), listed(ca, "http://a/crl")}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { says(t, r, ca, leaves[i%2], "") })
		}
		wg.Wait()
		if n := w.fetched["http://a/crl"]; n != 1 {
			t.Errorf("fetched %d times", n)
		}
	})
}

// slow is a web that takes less time than anybody waits.
type slow struct{ *web }

// RoundTrip is that of an http.RoundTripper.
func (s slow) RoundTrip(q *http.Request) (*http.Response, error) {
	time.Sleep(waitTime / 2)
	return s.web.RoundTrip(q)
}

// TestClosed: who waits goes on when the server is closed, and is refused.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, ca, _ := asking(t, config.TLS{CRL: true})
		w.silent["http://a/crl"] = true
		begin := time.Now()
		time.AfterFunc(time.Second, r.answers.close)
		says(t, r, ca, listed(ca, "http://a/crl"), "cannot find out")
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestNotFetched: nothing is fetched but over HTTP, and nothing that is too long is read.
func TestNotFetched(t *testing.T) {
	r, w, ca, _ := asking(t, config.TLS{CRL: true})
	says(t, r, ca, listed(ca, "ldap://a/b", "file:///etc/passwd"), "ldap://a/b: only http and https are fetched; file:///etc/passwd: only")
	if len(w.fetched) > 0 {
		t.Errorf("fetched %v", w.fetched)
	}
	w.said["http://a/crl"] = make([]byte, maxList+1)
	says(t, r, ca, listed(ca, "http://a/crl"), "longer than 8388608 bytes")
}

// TestManyLists: no more lists than there is room for are read at the same time, the others wait for these, and who does not get his turn within his time is refused. Servers that say
// nothing take none of the room.
func TestManyLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, ca, _ := asking(t, config.TLS{CRL: true})
		const room = maxReading / maxList
		d := &dripping{web: w}
		r.answers.client.Transport = d
		ask := func(n int, host string) (refused int) {
			var wg sync.WaitGroup
			errs := make([]error, n)
			for i := range n {
				url := fmt.Sprintf("http://%s%d/crl", host, i)
				w.set(func() { w.said[url], w.silent[url] = ca.CRL(nil), host == "silent" })
				leaf := listed(ca, url)
				wg.Go(func() { errs[i] = r.verify([][]*x509.Certificate{{leaf, ca.Leaf()}}) })
			}
			wg.Wait()
			for _, err := range errs {
				if err != nil {
					refused++
				}
			}
			return refused
		}
		if n := ask(2*room, "silent"); n != 2*room {
			t.Errorf("%d are refused whose lists are not to be had", n)
		}
		// Each takes 1.5 s to read, so that two come one behind the other in the time that somebody waits.
		if n := ask(3*room, "host"); n != room {
			t.Errorf("%d are refused, want %d", n, room)
		}
		if n := d.count(0); n != room {
			t.Errorf("%d are read at the same time, want %d", n, room)
		}
		time.Sleep(fetchTime)
		if n := ask(3*room, "host"); n != 0 {
			t.Errorf("%d are refused whose lists have come later", n)
		}
	})
}

// dripping is a web whose bodies take a time.
type dripping struct {
	*web
	mu        sync.Mutex
	now, most int // bodies that are being read
}

// RoundTrip is that of an http.RoundTripper.
func (d *dripping) RoundTrip(q *http.Request) (*http.Response, error) {
	a, err := d.web.RoundTrip(q)
	if err == nil {
		a.Body = &drippingBody{ReadCloser: a.Body, of: d}
	}
	return a, err
}

type drippingBody struct {
	io.ReadCloser
	of    *dripping
	begun bool
}

// Read takes its time once.
func (b *drippingBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		b.of.count(1)
		time.Sleep(3 * waitTime / 8)
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.of.count(-1)
	}
	return n, err
}

// count returns how many there have been at most.
func (d *dripping) count(change int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now += change
	d.most = max(d.most, d.now)
	return d.most
}

// TestManyFetches: no more than so many are asked at the same time, and who comes later is asked when one of them has ended.
func TestManyFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, ca, _ := asking(t, config.TLS{CRL: true})
		w.said["http://a/crl"] = ca.CRL(nil)
		for range maxFetches {
			go r.answers.ask("", "silent", nil, func(ctx context.Context, _ *answer) (*answer, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
		}
		synctest.Wait()
		time.Sleep(fetchTime - waitTime/2)
		leaf, begin := listed(ca, "http://a/crl"), time.Now()
		says(t, r, ca, leaf, "")
		if took := time.Since(begin); took != waitTime/2 {
			t.Errorf("it took %v", took)
		}
	})
}

// TestForgotten: what was not wanted for the longest time goes when there is too much.
func TestForgotten(t *testing.T) {
	a := newAnswers(slog.Default())
	defer a.close()
	one := &answer{until: time.Now().Add(time.Hour), size: maxAnswers / 3}
	for _, key := range []string{"a", "b", "c"} {
		a.keep(key, one)
	}
	a.look("a")
	a.keep("d", one)
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if got, _ := a.look(key); (got != nil) != want {
			t.Errorf("%s is kept: %v", key, got != nil)
		}
	}
	if len(a.kept) != 3 || a.recent.Len() != 3 || a.size != 3*(maxAnswers/3) {
		t.Errorf("%d, %d, %d bytes", len(a.kept), a.recent.Len(), a.size)
	}
}

// TestWhoIsLookedUp has clients connect to a server: of one whose certificate is of another authority nothing is fetched, whatever it names.
func TestWhoIsLookedUp(t *testing.T) {
	dir := t.TempDir()
	r, w, ca, _ := asking(t, config.TLS{CRL: true})
	stranger := tlstest.New(t, "ca")
	given := config.TLS{CRL: true, KeyStore: config.StoreFile{Location: filepath.Join(dir, "key.pem")}, TrustStore: config.StoreFile{Location: filepath.Join(dir, "trust.pem")}}
	ca.Write(given.KeyStore.Location, ca.Store(ca.Issue("server", nil)))
	ca.Write(given.TrustStore.Location, ca.Trust())
	s, err := NewServer("ssl.", given, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	s.revoked.answers.close()
	s.revoked.answers = r.answers
	shown := func(by *tlstest.Authority, url string) error {
		cert := by.Issue("client", func(form *x509.Certificate) { form.CRLDistributionPoints = []string{url} })
		w.said[url] = by.CRL(nil)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
				c := tls.Client(conn, ca.Config(cert))
				_ = c.Handshake()
				_, _ = c.Read(make([]byte, 1))
				_ = c.Close()
			}
		})
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return tls.Server(conn, s.Config()).Handshake()
	}
	if err := shown(stranger, "http://stranger/crl"); err == nil || w.fetched["http://stranger/crl"] != 0 {
		t.Errorf("%v, fetched %v", err, w.fetched)
	}
	if err := shown(ca, "http://ca/crl"); err != nil || w.fetched["http://ca/crl"] != 1 {
		t.Errorf("%v, fetched %v", err, w.fetched)
	}
}

// TestSettings: without a setting nothing is checked, and each setting is for both directions of a port.
func TestSettings(t *testing.T) {
	for _, test := range []struct {
		given config.TLS
		asked string
	}{{config.TLS{}, ""}, {config.TLS{CRL: true}, "http://a/crl"}, {config.TLS{OCSP: true}, "http://a/ocsp"}, {config.TLS{CRL: true, OCSP: true}, "http://a/ocsp"}} {
		r := newRevocation(test.given, slog.Default())
		if r == nil {
			if test.asked != "" {
				t.Errorf("%+v is no check", test.given)
			}
			continue
		}
		r, w, ca, _ := asking(t, test.given)
		leaf := ca.Issue("leaf", func(form *x509.Certificate) {
			form.OCSPServer, form.CRLDistributionPoints = []string{"http://a/ocsp"}, []string{"http://a/crl"}
		}).Leaf
		w.said["http://a/crl"], w.said["http://a/ocsp"] = ca.CRL(nil), ca.OCSP(leaf, nil, nil)
		says(t, r, ca, leaf, "")
		if len(w.fetched) != 1 || w.fetched[test.asked] != 1 {
			t.Errorf("%+v asks %v, want %s", test.given, w.fetched, test.asked)
		}
	}
}

// FuzzAnswers reads what servers say. The authority has signed no list with a certificate in it.
func FuzzAnswers(f *testing.F) {
	ca := tlstest.New(f, "ca")
	leaf := listed(ca, "http://a/crl")
	question, err := ocsp.CreateRequest(leaf, ca.Leaf(), nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{ca.CRL(nil), ca.OCSP(leaf, nil, nil), ocsp.TryLaterErrorResponse, []byte("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"), leaf.Extensions[len(leaf.Extensions)-1].Value} {
		f.Add(seed)
	}
	r := newRevocation(config.TLS{CRL: true}, slog.Default())
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := r.readList(data, ca.Leaf()); err == nil && len(a.list.revoked) > 0 {
			t.Errorf("a list: %+v", a)
		}
		_, _ = readStatus(data, question, leaf, ca.Leaf())
		_ = new(scope).read(data)
	})
}
