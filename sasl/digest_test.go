package sasl

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func passwords(user string) (string, bool) {
	password, ok := map[string]string{"bob": "bobsecret", "chris": "secret", "jörg": "pässe", "юрий": "пароль"}[user]
	return password, ok
}

// TestDigestOf compares with the example of RFC 2831 and with what ZooKeeper has answered.
func TestDigestOf(t *testing.T) {
	for _, c := range []struct {
		in                digestInput
		response, rspauth string
	}{
		{digestInput{user: "chris", realm: "elwood.innosoft.com", password: "secret", nonce: []byte("OA6MG9tEQGm2hh"), cnonce: []byte("OA6MHXh6VqTrRk"), uri: "imap/elwood.innosoft.com", utf8: true},
			"d388dad90d4bbd760a152321f2143af7", "ea40f60335c427b5527b84dbabcdfffd"},
		{digestInput{user: "bob", realm: "zk-sasl-md5", password: "bobsecret", nonce: []byte("HPbGngbplp6i5SnB/bxzNN/jeArNmfFqTcFJNQBE"), cnonce: []byte("cee7d7f4776b55e685da8db7"), uri: "zookeeper/zk-sasl-md5", utf8: true},
			"7405d74de8eb2148bf7e651e713438b5", "710cebaf5826b3f32f37318dc04a9b15"},
	} {
		digest := digestOf(&c.in)
		if got := digest("AUTHENTICATE"); got != c.response {
			t.Errorf("%s: response %s, want %s", c.in.user, got, c.response)
		}
		if got := digest(""); got != c.rspauth {
			t.Errorf("%s: rspauth %s, want %s", c.in.user, got, c.rspauth)
		}
	}
}

func TestDigestExchange(t *testing.T) {
	for _, user := range []string{"bob", "jörg", "юрий"} {
		password, _ := passwords(user)
		c, s := newDigestClient("zookeeper", `r"e\alm`, user, password), newDigestServer("zookeeper", `r"e\alm`, passwords)
		if err := play(c, s); err != nil || s.Peer() != user {
			t.Errorf("%q: %v, peer %q", user, err, s.Peer())
		}
		for _, e := range []Exchange{c, s} {
			if _, err := e.Step([]byte("x")); !errors.Is(err, errOver) {
				t.Errorf("%q: after the end %v", user, err)
			}
		}
		if c, s = newDigestClient("zookeeper", "r", user, password+"x"), newDigestServer("zookeeper", "r", passwords); play(c, s) == nil || s.Done() || s.Peer() != "" {
			t.Errorf("%q: gets in with another password", user)
		}
	}
}

// TestDigestSilence has responses to which ZooKeeper does not answer, and others that are as wrong.
func TestDigestSilence(t *testing.T) {
	for response, silent := range map[string]bool{
		"maxbuf=x": true, "maxbuf=": false, "maxbuf=,": true, "maxbuf=99999999999": true, "maxbuf=7": false, "charset=x,maxbuf=x": false, "": false,
		`username="bob",realm="s",nonce="N",cnonce="c",nonce-count=x`: true, `username="bob",realm="s",nonce="N",cnonce="c",nonce-count=2`: false, `username="bob",realm="r",nonce="N",cnonce="c",nonce-count=x`: false,
		`username="",realm="s",nonce="N",cnonce="c",digest-uri="p/s",response=x`: true, `username="nemo",realm="s",nonce="N",cnonce="c",digest-uri="p/s",response=x`: false,
	} {
		s := newDigestServer("p", "s", passwords)
		if _, err := s.Step(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Step([]byte(strings.ReplaceAll(response, "N", s.nonce))); err == nil || errors.Is(err, ErrSilent) != silent {
			t.Errorf("%s: %v", response, err)
		}
	}
}

// TestDigestMutualAuthentication has servers that do not know the password.
func TestDigestMutualAuthentication(t *testing.T) {
	for _, answer := range []string{"", "rspauth=", "rspauth=0123456789abcdef0123456789abcdef", "x"} {
		c := newDigestClient("p", "s", "bob", "bobsecret")
		if _, err := c.Step([]byte(`nonce="n",algorithm=md5-sess`)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Step([]byte(answer)); err == nil || c.Done() {
			t.Errorf("%q is taken for a proof", answer)
		}
	}
}

func TestDigestChallenges(t *testing.T) {
	const rest = `nonce="n",algorithm=md5-sess`
	for _, c := range []struct{ challenge, part, problem string }{
		{rest, `username="bob",nonce="n",`, ""},
		{`realm="a",realm="b",` + rest, `username="bob",realm="a",nonce="n",`, ""},
		{`charset=utf-8,qop="auth-int, auth",` + rest, `charset=utf-8,username="bob",nonce="n",nc=00000001,`, ""},
		{`realm="a"`, "", "no nonce"},
		{`nonce="n",algorithm=md5`, "", "algorithm"},
		{`qop="auth-conf",` + rest, "", "qop"},
		{`charset=latin1,` + rest, "", "charset"},
		{`nonce="m",` + rest, "", "more than one"},
		{`x="` + strings.Repeat("x", 2048) + `",` + rest, "", "longer"},
	} {
		response, err := newDigestClient("p", "s", "bob", "bobsecret").Step([]byte(c.challenge))
		if c.problem == "" && (err != nil || !strings.HasPrefix(string(response), c.part)) || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s: %s, %v", c.challenge, response, err)
		}
	}
}

func TestDirectives(t *testing.T) {
	for text, want := range map[string]string{
		``:                   `map[]`,
		` , ,`:               `map[]`,
		`a=b`:                `map[a:b]`,
		`A = b ,c="d,\"e\\"`: `map[a:b c:d,"e\]`,
		`a=b c=d`:            `map[a:b c:d]`,
		"a=\"b\"\r\n\tc=d,":  `map[a:b c:d]`,
		`a=,c=d`:             `map[a: c:d]`,
		`a`:                  `map[a:]`,
		`x=y,a="`:            `error`,
		`a=`:                 `error`,
		`a= `:                `error`,
		`a `:                 `error`,
		`a b=c`:              `error`,
		`a,b=c`:              `error`,
		`=b`:                 `error`,
		`a="b"c`:             `error`,
		`a="b\`:              `error`,
		`a=b,a=c`:            `error`,
		`a=b="c"`:            `map[a:b="c"]`,
	} {
		values, err := parseDirectives([]byte(text), []string{"a", "c"}, "")
		shown := map[string]string{}
		for k, v := range values {
			shown[k] = string(v)
		}
		got := fmt.Sprint(shown)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, want %s (%v)", text, got, want, err)
		}
	}
}

// FuzzDigestServer and FuzzDigestClient send any token where a response or a challenge is due.
func FuzzDigestServer(f *testing.F) {
	for _, token := range []string{
		"", `charset=utf-8,username="bob",realm="s",nonce="N",nc=00000001,cnonce="c",digest-uri="p/s",maxbuf=65536,response=7405d74de8eb2148bf7e651e713438b5,qop=auth,authzid="al"`,
		`username="bob`, `a=b,a`, `nonce-count=x`, `maxbuf=99999999999`, "=",
	} {
		f.Add([]byte(token))
	}
	f.Fuzz(func(t *testing.T, token []byte) {
		s := newDigestServer("p", "s", passwords)
		if _, err := s.Step(token); err != nil && len(token) <= maxDigestResponse {
			t.Fatal(err)
		}
		token = []byte(strings.ReplaceAll(string(token), "N", s.nonce))
		if _, err := s.Step(token); err == nil && !s.Done() {
			t.Fatal("neither done nor an error")
		} else if err == nil && s.nonce != "" && !strings.Contains(string(token), s.nonce) {
			t.Fatal("a response to nothing gets in")
		}
	})
}

func FuzzDigestClient(f *testing.F) {
	for _, token := range []string{"", `realm="zk-sasl-md5",nonce="HPbG",charset=utf-8,algorithm=md5-sess`, `nonce="\`, `rspauth=`} {
		f.Add([]byte(token), []byte(token))
	}
	f.Fuzz(func(t *testing.T, challenge, proof []byte) {
		c := newDigestClient("p", "s", "bob", "bobsecret")
		_, _ = c.Step(challenge)
		if _, _ = c.Step(proof); c.Done() && !strings.Contains(string(proof), c.rspauth) {
			t.Fatal("a server that knows nothing is believed")
		}
	})
}
