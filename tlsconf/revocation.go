package tlsconf

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"

	"quoll/config"
)

const (
	checkTime = 8 * time.Second  // a handshake waits for all that is asked of others; a client has 10 s for the whole of it
	waitTime  = 4 * time.Second  // of it for one of them, so that time is left for another
	clockSkew = 15 * time.Minute // what has ended is good for so long; Java's tolerance

	maxList   = 8 << 20  // bytes of a list
	maxStatus = 64 << 10 // bytes of what a responder says
)

// revocation finds out whether certificates are revoked: of responders (OCSP) if it is to, and of lists (CRL) if it is not, or if a responder does not say. Where nothing can be
// found out a certificate is refused. It fetches only from where certificates say whose chain leads to an authority that is trusted. Mirrors the Java class
// PKIXRevocationChecker with the options that X509Util gives it.
type revocation struct {
	ocsp    bool
	answers *answers
	reading sync.Mutex // a list is many times as large while it is read
}

// newRevocation is nil if the settings ask for no check.
func newRevocation(settings config.TLS, log *slog.Logger) *revocation {
	if !settings.CRL && !settings.OCSP {
		return nil
	}
	return &revocation{ocsp: settings.OCSP, answers: newAnswers(log)}
}

// verify is an error if each of some chains, which end with an authority that is trusted, has a certificate that is revoked or may be. No chain is no certificate.
func (r *revocation) verify(chains [][]*x509.Certificate) (first error) {
	if r == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.answers.ctx, checkTime)
	defer cancel()
	for _, chain := range chains {
		err := r.verifyChain(ctx, chain)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// verifyChain asks for all certificates at the same time. The authority at the end is trusted whatever is said of it.
func (r *revocation) verifyChain(ctx context.Context, chain []*x509.Certificate) error {
	errs := make([]error, len(chain)-1)
	var asked sync.WaitGroup
	for i := range errs {
		asked.Go(func() {
			if err := r.verifyOne(ctx, chain[i], chain[i+1]); err != nil {
				errs[i] = fmt.Errorf("certificate of %s, number %x: %w", chain[i].Subject, chain[i].SerialNumber, err)
			}
		})
	}
	asked.Wait()
	for _, err := range slices.Backward(errs) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *revocation) verifyOne(ctx context.Context, c, issuer *x509.Certificate) error {
	var unknown []string
	if r.ocsp {
		switch answer, err := r.status(ctx, c, issuer); {
		case err != nil:
			unknown = append(unknown, err.Error())
		case answer.status == ocsp.Unknown:
			unknown = append(unknown, c.OCSPServer[0]+": it does not know the certificate")
		case answer.status == ocsp.Revoked:
			return revokedSince(answer.revokedAt, c.OCSPServer[0])
		default:
			return nil
		}
	}
	urls, err := listURLs(c)
	if err != nil {
		unknown = append(unknown, err.Error())
	}
	for _, u := range urls {
		answer, err := r.list(ctx, u, issuer)
		if err == nil {
			err = answer.list.scope.has(c, u, urls)
		}
		if err != nil {
			unknown = append(unknown, err.Error())
			continue
		}
		if at, ok := answer.list.revoked[c.SerialNumber.String()]; ok {
			return revokedSince(time.Unix(at, 0), u)
		}
		return nil
	}
	return fmt.Errorf("cannot find out whether it is revoked: %s", strings.Join(unknown, "; "))
}

// revokedSince is an error if the time has come.
func revokedSince(at time.Time, source string) error {
	if at.After(time.Now()) {
		return nil
	}
	return fmt.Errorf("revoked since %s, says %s", at.UTC().Format(time.RFC3339), source)
}

// status is what the first responder of a certificate says.
func (r *revocation) status(ctx context.Context, c, issuer *x509.Certificate) (*answer, error) {
	if len(c.OCSPServer) == 0 {
		return nil, errors.New("it names no responder")
	}
	return r.answers.get(ctx, c.OCSPServer[0], answerKey([]byte(c.OCSPServer[0]), issuer.Raw, c.SerialNumber.Bytes()), func(ctx context.Context, _ *answer) (*answer, error) {
		question, err := ocsp.CreateRequest(c, issuer, nil)
		if err != nil {
			return nil, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.OCSPServer[0], bytes.NewReader(question))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/ocsp-request")
		return r.answers.fetch(request, maxStatus, func(response *http.Response, body []byte) (*answer, error) {
			if response.StatusCode != http.StatusOK {
				return nil, errors.New(response.Status)
			}
			return readStatus(body, question, c, issuer)
		})
	})
}

// readStatus reads what a responder says to a question. The issuer has signed it, or one to whom the issuer has given a certificate for that.
func readStatus(body, question []byte, c, issuer *x509.Certificate) (*answer, error) {
	said, err := ocsp.ParseResponseForCert(body, c, nil)
	if err == nil {
		err = isAbout(said, question)
	}
	if err != nil {
		return nil, err
	}
	switch signer := said.Certificate; {
	case signer == nil:
		err = said.CheckSignatureFrom(issuer)
	case signer.Equal(issuer): // has been seen to have signed it
	default:
		err = maySign(signer, issuer)
	}
	if err != nil {
		return nil, err
	}
	// Without an end it is good for the moment.
	until := said.ThisUpdate
	if said.NextUpdate.After(until) {
		until = said.NextUpdate
	}
	a := &answer{until: until.Add(clockSkew), size: 256, status: said.Status, revokedAt: said.RevokedAt}
	return a, valid(said.ThisUpdate, a.until)
}

// isAbout is an error unless what was said is about the issuer of the question: the library compares numbers of certificates alone.
func isAbout(said *ocsp.Response, question []byte) error {
	asked, err := ocsp.ParseRequest(question)
	if err != nil {
		return err
	}
	var data struct { // a ResponseData
		Version   asn1.RawValue `asn1:"optional,explicit,tag:0"`
		Responder asn1.RawValue
		At        time.Time
		Responses []struct {
			Certificate struct {
				Hash      pkix.AlgorithmIdentifier
				Name, Key []byte
				Number    *big.Int
			}
		}
	}
	if _, err := asn1.Unmarshal(said.TBSResponseData, &data); err != nil {
		return err
	}
	for _, one := range data.Responses {
		if c := one.Certificate; c.Number.Cmp(asked.SerialNumber) == 0 && (!bytes.Equal(c.Name, asked.IssuerNameHash) || !bytes.Equal(c.Key, asked.IssuerKeyHash)) {
			return errors.New("it is about a certificate of another authority")
		}
	}
	return nil
}

// maySign is an error unless a certificate is one that its issuer has given a responder.
func maySign(signer, issuer *x509.Certificate) error {
	switch now := time.Now(); {
	case !bytes.Equal(signer.RawIssuer, issuer.RawSubject):
		return errors.New("it is signed by the responder of another authority")
	case !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("it is signed by %s, whose certificate is not for that (OCSPSigning)", signer.Subject)
	case now.Before(signer.NotBefore) || now.After(signer.NotAfter):
		return fmt.Errorf("it is signed by %s, whose certificate is not valid now", signer.Subject)
	}
	return signer.CheckSignatureFrom(issuer)
}

// valid is an error unless now is between two times.
func valid(from, until time.Time) error {
	switch now := time.Now(); {
	case now.Before(from.Add(-clockSkew)):
		return fmt.Errorf("what it says begins at %s", from.UTC().Format(time.RFC3339))
	case !now.Before(until):
		return fmt.Errorf("what it says has ended at %s", until.Add(-clockSkew).UTC().Format(time.RFC3339))
	}
	return nil
}

// revokedList is a list of revoked certificates of an issuer.
type revokedList struct {
	scope   scope
	revoked map[string]int64 // by number in decimal: since when, in seconds
}

// list is the list that is at a URL.
func (r *revocation) list(ctx context.Context, from string, issuer *x509.Certificate) (*answer, error) {
	return r.answers.get(ctx, from, answerKey([]byte(from), issuer.Raw), func(ctx context.Context, old *answer) (*answer, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
		if err != nil {
			return nil, err
		}
		if old != nil && old.modified != "" {
			request.Header.Set("If-Modified-Since", old.modified)
		}
		return r.answers.fetch(request, maxList, func(response *http.Response, body []byte) (*answer, error) {
			switch {
			case response.StatusCode == http.StatusNotModified && old != nil:
				return old, nil
			case response.StatusCode != http.StatusOK:
				return nil, errors.New(response.Status)
			}
			a, err := r.readList(body, issuer)
			if err != nil {
				return nil, err
			}
			a.modified = response.Header.Get("Last-Modified")
			return a, nil
		})
	})
}

// The extensions of certificates and lists that say where the ones are and what the others are for (RFC 5280, 4.2.1.13 and 5.2.5).
var (
	distributionPoints = asn1.ObjectIdentifier{2, 5, 29, 31}
	issuingPoint       = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// readList reads a list that the issuer has signed, in DER, or in PEM, which Java takes too.
func (r *revocation) readList(body []byte, issuer *x509.Certificate) (*answer, error) {
	if block, _ := pem.Decode(body); block != nil {
		body = block.Bytes
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	said, err := x509.ParseRevocationList(body)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(said.RawIssuer, issuer.RawSubject) {
		return nil, fmt.Errorf("it is a list of %s and not of %s", said.Issuer, issuer.Subject)
	}
	if err := said.CheckSignatureFrom(issuer); err != nil {
		return nil, err
	}
	l := &revokedList{revoked: make(map[string]int64, len(said.RevokedCertificateEntries))}
	for _, e := range said.Extensions {
		switch {
		case e.Id.Equal(issuingPoint):
			if err := l.scope.read(e.Value); err != nil {
				return nil, err
			}
		case e.Critical:
			return nil, fmt.Errorf("it is a list with the extension %s, which is not known", e.Id)
		}
	}
	for _, e := range said.RevokedCertificateEntries {
		l.revoked[e.SerialNumber.String()] = e.RevocationTime.Unix()
	}
	a := &answer{until: said.NextUpdate.Add(clockSkew), size: 1024 + 128*len(l.revoked), list: l}
	return a, valid(said.ThisUpdate, a.until)
}

// pointName is where a list is: a DistributionPointName.
type pointName struct {
	Full     []asn1.RawValue `asn1:"optional,tag:0"`
	Relative asn1.RawValue   `asn1:"optional,tag:1"`
}

// urls are the names that are URLs.
func (p *pointName) urls() (urls []string) {
	const uniformResourceIdentifier = 6
	for _, n := range p.Full {
		if n.Class == asn1.ClassContextSpecific && n.Tag == uniformResourceIdentifier {
			urls = append(urls, string(n.Bytes))
		}
	}
	return urls
}

// scope is what a list is a list of: an IssuingDistributionPoint.
type scope struct {
	Point           pointName      `asn1:"optional,tag:0"`
	OnlyUsers       bool           `asn1:"optional,tag:1"`
	OnlyAuthorities bool           `asn1:"optional,tag:2"`
	Reasons         asn1.BitString `asn1:"optional,tag:3"`
	Indirect        bool           `asn1:"optional,tag:4"`
	OnlyAttributes  bool           `asn1:"optional,tag:5"`
}

func (s *scope) read(der []byte) error {
	rest, err := asn1.Unmarshal(der, s)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return errors.New("there is something behind the extension of a list")
	case s.Indirect:
		return errors.New("it is an indirect list, with certificates of others")
	case s.Reasons.BitLength > 0:
		return errors.New("it is a list for some reasons only")
	case len(s.Point.Relative.FullBytes) > 0:
		return errors.New("it is a list whose place has a relative name")
	}
	return nil
}

// has is an error if the list, which is from one of the places that a certificate names, cannot have the certificate.
func (s *scope) has(c *x509.Certificate, from string, places []string) error {
	authority := c.BasicConstraintsValid && c.IsCA
	if s.OnlyAttributes || s.OnlyUsers && authority || s.OnlyAuthorities && !authority {
		return fmt.Errorf("%s: it is a list of other kinds of certificates", from)
	}
	if len(s.Point.Full) == 0 {
		return nil
	}
	for _, u := range s.Point.urls() {
		if slices.Contains(places, u) {
			return nil
		}
	}
	return fmt.Errorf("%s: it is a list for another place", from)
}

// listURLs are where the lists are that may have a certificate. Without any the error says why.
func listURLs(c *x509.Certificate) (urls []string, err error) {
	at := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(distributionPoints) })
	if at < 0 {
		return nil, errors.New("it names no place of a list")
	}
	var points []struct {
		Name    pointName      `asn1:"optional,tag:0"`
		Reasons asn1.BitString `asn1:"optional,tag:1"`
		Issuer  asn1.RawValue  `asn1:"optional,tag:2"`
	}
	if _, err := asn1.Unmarshal(c.Extensions[at].Value, &points); err != nil {
		return nil, err
	}
	for _, p := range points {
		if p.Reasons.BitLength == 0 && len(p.Issuer.FullBytes) == 0 {
			urls = append(urls, p.Name.urls()...)
		}
	}
	if len(urls) == 0 {
		return nil, errors.New("it names no place of a list of its issuer for all reasons")
	}
	return urls, nil
}
