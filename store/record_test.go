package store

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"quoll/jute"
)

// The order of keys is that of the paths' components.
func TestKeyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() string {
		if rng.IntN(20) == 0 {
			return ""
		}
		var b strings.Builder
		for range 1 + rng.IntN(3) {
			b.WriteByte('/')
			for range 1 + rng.IntN(2) {
				b.WriteRune([]rune("\x01!.-09a~é\U0001F600\uFFFD")[rng.IntN(11)])
			}
		}
		return b.String()
	}
	for range 20000 {
		a, b := random(), random()
		want := slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
		if got := bytes.Compare(appendNodeKey(nil, a), appendNodeKey(nil, b)); got != want {
			t.Fatalf("keys of %q and %q: %d instead of %d", a, b, got, want)
		}
		if Less(a, b) != (want < 0) {
			t.Fatalf("Less(%q, %q) is %t", a, b, Less(a, b))
		}
		if p, err := appendPath(nil, appendNodeKey(nil, a)); err != nil || string(p) != a {
			t.Fatalf("%q read back as %q, %v", a, p, err)
		}
		if strings.HasPrefix(b, a+"/") && cmp.Compare(a, b) >= 0 {
			t.Fatalf("%q is not before %q", a, b)
		}
	}
}

func FuzzValues(f *testing.F) {
	stat := jute.StatPersisted{Czxid: 1, Pzxid: 2}
	f.Add(appendNode(nil, []byte("data"), 3, &stat))
	f.Add(appendNode(nil, nil, -1, &stat))
	f.Add(appendACL(nil, []jute.ACL{{Perms: 31, Scheme: "world", ID: "anyone"}}))
	f.Add((&State{Zxid: 1}).append(nil))
	f.Add(jute.AppendInt32(nil, 30000))
	f.Fuzz(func(t *testing.T, v []byte) {
		same := func(what string, b []byte) {
			if !bytes.Equal(b, v) {
				t.Fatalf("%s %x became %x", what, v, b)
			}
		}
		if data, acl, err := decodeNode(v, &stat); err == nil {
			same("node", appendNode(nil, data, acl, &stat))
		}
		if timeout, err := decodeSession(v); err == nil {
			same("session", jute.AppendInt32(nil, timeout))
		}
		if acl, err := decodeACL(v); err == nil && len(appendACL(nil, acl)) < len(v) {
			t.Fatalf("ACL list %x became shorter", v) // malformed UTF-8 becomes longer
		}
		decodeState(v)
		if len(v) > 0 {
			appendPath(nil, v)
		}
	})
}
