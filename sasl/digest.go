package sasl

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"quoll/jute"
)

// Most bytes of tokens of DIGEST-MD5, as in the JDK.
const (
	maxDigestChallenge = 2048
	maxDigestResponse  = 4096
)

// digestServer is the side of DIGEST-MD5 that asks for the password (RFC 2831, com.sun.security.sasl.digest.DigestMD5Server): initial authentication without a layer of security,
// which is all that ZooKeeper offers.
type digestServer struct {
	uri, realm string
	password   func(user string) (string, bool)
	nonce      string // empty before the challenge
	over, done bool
	user       string
}

func newDigestServer(protocol, server string, password func(string) (string, bool)) *digestServer {
	return &digestServer{uri: protocol + "/" + server, realm: server, password: password}
}

func (d *digestServer) Done() bool { return d.done }

func (d *digestServer) Peer() string { return d.user }

// Step is that of an Exchange. The first token is of no interest: a client that would like to authenticate once more without a challenge gets one all the same.
func (d *digestServer) Step(token []byte) ([]byte, error) {
	if len(token) > maxDigestResponse {
		return nil, fmt.Errorf("a response of %d bytes is longer than %d", len(token), maxDigestResponse)
	}
	if d.over {
		return nil, errOver
	}
	if d.nonce == "" {
		d.nonce = newNonce()
		return fmt.Appendf(nil, `realm="%s",nonce="%s",charset=utf-8,algorithm=md5-sess`, escapeQuotes(d.realm), d.nonce), nil
	}
	d.over = true
	values, err := parseDirectives(token, responseDirectives, "")
	if err != nil {
		return nil, err
	}
	return d.validate(values)
}

// responseDirectives are those that a server looks at. The count of nonces goes by another name in the JDK than in the RFC, where it is nc, so that it is always taken for 1.
var responseDirectives = []string{"username", "realm", "nonce", "cnonce", "nonce-count", "qop", "digest-uri", "response", "maxbuf", "charset", "cipher", "authzid", "auth-param"}

// validate judges a response and answers it.
func (d *digestServer) validate(values map[string][]byte) ([]byte, error) {
	text := func(name string) string { return jute.JavaText(values[name]) }
	// In the JDK's order, since what is wrong first decides whether there is an answer.
	if values["charset"] != nil && text("charset") != "utf-8" {
		return nil, errors.New("the response is in another charset than utf-8")
	}
	if values["maxbuf"] != nil {
		if _, err := strconv.ParseInt(text("maxbuf"), 10, 32); err != nil {
			return nil, fmt.Errorf("%w: maxbuf is no number", ErrSilent)
		}
	}
	switch {
	case values["username"] == nil:
		return nil, errors.New("the response has no username")
	case text("realm") != d.realm:
		return nil, fmt.Errorf("the response is for the realm %q", text("realm"))
	case string(values["nonce"]) != d.nonce:
		return nil, errors.New("the response has another nonce")
	case values["cnonce"] == nil:
		return nil, errors.New("the response has no cnonce")
	}
	if values["nonce-count"] != nil {
		if n, err := strconv.ParseInt(text("nonce-count"), 16, 32); err != nil {
			return nil, fmt.Errorf("%w: nonce-count is no number", ErrSilent)
		} else if n != 1 {
			return nil, fmt.Errorf("nonce-count is %d, and each nonce is good for once", n)
		}
	}
	switch {
	case values["qop"] != nil && text("qop") != "auth":
		return nil, fmt.Errorf("qop %q is not offered", text("qop"))
	case !strings.EqualFold(text("digest-uri"), d.uri):
		return nil, fmt.Errorf("the response is for %q, not for %s", text("digest-uri"), d.uri)
	case values["response"] == nil:
		return nil, errors.New("the response has no response")
	}
	user := text("username")
	if user == "" {
		return nil, fmt.Errorf("%w: the user has no name", ErrSilent)
	}
	password, known := d.password(user)
	if !known {
		return nil, fmt.Errorf("there is no user %q", user)
	}
	digest := digestOf(&digestInput{
		user: user, realm: d.realm, password: password, nonce: []byte(d.nonce), cnonce: values["cnonce"], authzid: values["authzid"], uri: text("digest-uri"), utf8: true,
	})
	if want := digest("AUTHENTICATE"); subtle.ConstantTimeCompare([]byte(want), values["response"]) != 1 {
		return nil, fmt.Errorf("the response of %q does not fit its password", user)
	}
	d.user, d.done = user, true
	return []byte("rspauth=" + digest("")), nil
}

// digestClient is the side of DIGEST-MD5 that has the password (com.sun.security.sasl.digest.DigestMD5Client).
type digestClient struct {
	uri, server    string
	user, password string
	cnonce         string
	rspauth        string // what the server has to answer; empty before the response
	over, done     bool
}

func newDigestClient(protocol, server, user, password string) *digestClient {
	return &digestClient{uri: protocol + "/" + server, server: server, user: user, password: password, cnonce: newNonce()}
}

func (d *digestClient) Done() bool { return d.done }

func (d *digestClient) Peer() string {
	if !d.done {
		return ""
	}
	return d.server
}

// Step is that of an Exchange. The first token that comes is the challenge; before it, what begins the exchange is nothing.
func (d *digestClient) Step(token []byte) ([]byte, error) {
	if len(token) > maxDigestChallenge {
		return nil, fmt.Errorf("a challenge of %d bytes is longer than %d", len(token), maxDigestChallenge)
	}
	if d.over {
		return nil, errOver
	}
	if d.rspauth == "" && len(token) == 0 {
		return []byte{}, nil
	}
	response, err := d.respond(token)
	if err != nil || d.done {
		d.over = true
	}
	return response, err
}

func (d *digestClient) respond(token []byte) ([]byte, error) {
	if d.rspauth != "" {
		values, err := parseDirectives(token, []string{"rspauth"}, "")
		if err != nil {
			return nil, err
		}
		if subtle.ConstantTimeCompare(values["rspauth"], []byte(d.rspauth)) != 1 {
			return nil, errors.New("the server does not know the password")
		}
		d.done = true
		return nil, nil
	}
	values, err := parseDirectives(token, []string{"realm", "nonce", "qop", "charset", "algorithm"}, "realm")
	if err != nil {
		return nil, err
	}
	utf8 := values["charset"] != nil
	switch {
	case values["nonce"] == nil:
		return nil, errors.New("the challenge has no nonce")
	case string(values["algorithm"]) != "md5-sess":
		return nil, fmt.Errorf("the algorithm %q is not known", values["algorithm"])
	case utf8 && string(values["charset"]) != "utf-8":
		return nil, fmt.Errorf("the charset %q is not known", values["charset"])
	case values["qop"] != nil && !strings.Contains(","+strings.ReplaceAll(string(values["qop"]), " ", "")+",", ",auth,"):
		return nil, fmt.Errorf("qop is %q, and auth is all that there is", values["qop"])
	}
	in := &digestInput{
		user: d.user, realm: jute.JavaText(values["realm"]), password: d.password, nonce: values["nonce"], cnonce: []byte(d.cnonce), authzid: []byte(d.user), uri: d.uri, utf8: utf8,
	}
	digest := digestOf(in)
	var b bytes.Buffer
	if utf8 {
		b.WriteString("charset=utf-8,")
	}
	fmt.Fprintf(&b, `username="%s",`, escapeQuotes(d.user))
	if values["realm"] != nil {
		fmt.Fprintf(&b, `realm="%s",`, escapeQuotes(in.realm))
	}
	fmt.Fprintf(&b, `nonce="%s",nc=00000001,cnonce="%s",digest-uri="%s",maxbuf=65536,response=%s,qop=auth,authzid="%s"`,
		escapeQuotes(string(in.nonce)), d.cnonce, escapeQuotes(d.uri), digest("AUTHENTICATE"), escapeQuotes(d.user))
	d.rspauth = digest("")
	return b.Bytes(), nil
}

// digestInput is all that a digest is made of.
type digestInput struct {
	user, realm, password  string
	nonce, cnonce, authzid []byte // authzid is nil if there is none
	uri                    string
	utf8                   bool // the two have agreed on it, and otherwise on Latin-1
}

// digestOf makes the function that computes the digest of a method: AUTHENTICATE for the client's, nothing for the server's.
func digestOf(in *digestInput) func(method string) string {
	secret := md5.New()
	for i, s := range []string{in.user, in.realm, in.password} {
		if i > 0 {
			secret.Write([]byte{':'})
		}
		secret.Write(latin1(s, in.utf8))
	}
	a1 := bytes.Join([][]byte{secret.Sum(nil), in.nonce, in.cnonce}, []byte{':'})
	if in.authzid != nil {
		a1 = append(append(a1, ':'), in.authzid...)
	}
	return func(method string) string {
		return md5Hex(bytes.Join([][]byte{[]byte(md5Hex(a1)), in.nonce, []byte("00000001"), in.cnonce, []byte("auth"), []byte(md5Hex([]byte(method + ":" + in.uri)))}, []byte{':'}))
	}
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// latin1 is the text in Latin-1 if it has no other characters; they make it UTF-8 where that is agreed on, and question marks otherwise.
func latin1(s string, utf8 bool) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r <= 0xff:
			b = append(b, byte(r))
		case utf8:
			return []byte(s)
		default:
			b = append(b, '?')
		}
	}
	return b
}

// newNonce is a nonce as the JDK's are: 30 bytes in base64. It panics if there is no randomness.
func newNonce() string {
	b := make([]byte, 30)
	if _, err := rand.Read(b); err != nil {
		panic("sasl: " + err.Error())
	}
	return base64.StdEncoding.EncodeToString(b)
}

// escapeQuotes puts a backslash before what cannot be in a quoted text by itself.
func escapeQuotes(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '"' || r == '\\' || r == 127 || r < ' ' && r != '\r' && r != '\n' && r != '\t' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// parseDirectives reads key=value pairs between commas or blanks and keeps those that are asked for. It takes what the JDK takes: one without a value at the end, or nothing at all.
// Of the key several, which may come more than once, the first counts.
func parseDirectives(text []byte, keys []string, several string) (map[string][]byte, error) {
	values := map[string][]byte{}
	blank := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
	i := 0
	skip := func() {
		for i < len(text) && blank(text[i]) {
			i++
		}
	}
	keep := func(key string, value []byte) error {
		for _, k := range keys {
			if !strings.EqualFold(k, key) {
				continue
			}
			if values[k] != nil {
				if k == several {
					return nil
				}
				return fmt.Errorf("more than one %s", k)
			}
			values[k] = value
		}
		return nil
	}
	for skip(); i < len(text); skip() {
		if text[i] == ',' {
			i++
			continue
		}
		start := i
		for i < len(text) && text[i] != '=' && text[i] != ',' && !blank(text[i]) {
			i++
		}
		key := string(text[start:i])
		if i == len(text) {
			return values, keep(key, []byte{})
		}
		skip()
		if i == len(text) || text[i] != '=' || key == "" {
			return nil, errors.New("a directive without a key or without =")
		}
		i++
		skip()
		if i == len(text) {
			return nil, fmt.Errorf("directive %q has no value", key)
		}
		value := []byte{}
		if text[i] == '"' {
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					if i++; i == len(text) {
						break
					}
				}
				value = append(value, text[i])
			}
			if i == len(text) {
				return nil, fmt.Errorf("the quotes of %q are not closed", key)
			}
			if i++; i < len(text) && !blank(text[i]) && text[i] != ',' {
				return nil, fmt.Errorf("no comma after the quotes of %q", key)
			}
		} else {
			for i < len(text) && !blank(text[i]) && text[i] != ',' {
				value = append(value, text[i])
				i++
			}
		}
		if err := keep(key, value); err != nil {
			return nil, err
		}
		i++ // the separator
	}
	return values, nil
}
