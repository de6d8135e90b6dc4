package sasl

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// encryptions are the types of keys that GSSAPI works with: those whose tokens RFC 4121 describes. The older ones, DES and RC4, are not secure and have tokens of another kind.
var encryptions = []int32{etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA384_192, etypeID.AES128_CTS_HMAC_SHA256_128}

// keys is a keytab file. It is read again when it changes, as by the JDK, so that keys can be changed while a server runs.
type keys struct {
	path string

	mu     sync.Mutex
	table  *keytab.Keytab
	loaded os.FileInfo
}

// get is what the file holds now. A file that cannot be read any more leaves what it held before.
func (k *keys) get() (*keytab.Keytab, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.path)
	if err == nil && k.table != nil && info.ModTime().Equal(k.loaded.ModTime()) && info.Size() == k.loaded.Size() {
		return k.table, nil
	}
	var table *keytab.Keytab
	if err == nil {
		table, err = readKeytab(k.path)
	}
	if err != nil {
		if k.table != nil {
			return k.table, nil
		}
		return nil, err
	}
	k.table, k.loaded = table, info
	return table, nil
}

// readKeytab has the library read a file. One that is cut short may make it reach beyond the end.
func readKeytab(path string) (table *keytab.Keytab, err error) {
	defer func() {
		if r := recover(); r != nil {
			table, err = nil, fmt.Errorf("%s: not a keytab: %v", path, r)
		}
	}()
	if table, err = keytab.Load(path); err != nil {
		var missing *os.PathError
		if errors.As(err, &missing) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: not a keytab: %w", path, err)
	}
	return table, nil
}

// check reports whether there is a key of the principal that is of use.
func (k *keys) check(principal, realm string) error {
	table, err := k.get()
	if err != nil {
		return err
	}
	old, others := false, []string{}
	for _, e := range table.Entries {
		name := strings.Join(e.Principal.Components, "/") + "@" + e.Principal.Realm
		switch {
		case name != principal+"@"+realm:
			if !slices.Contains(others, name) {
				others = append(others, name)
			}
		case slices.Contains(encryptions, e.Key.KeyType):
			return nil
		default:
			old = true
		}
	}
	if old {
		return fmt.Errorf("%s: the keys of %s@%s are of types that are too old; make keys of AES", k.path, principal, realm)
	}
	return fmt.Errorf("%s: no key of %s@%s; it has keys of %s", k.path, principal, realm, strings.Join(others, ", "))
}

// maxReplays is how many authentications are remembered in one generation.
const maxReplays = 1 << 20

// replays remembers what clients have shown for as long as it is good, so that nobody can show it again (RFC 4120, 3.2.3).
type replays struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]struct{}
	turned     time.Time
}

var errReplay = errors.New("the token was shown before")

// add takes in something that is good for the time of life at most from now on.
func (r *replays) add(shown []byte, life time.Duration) error {
	sum := sha256.Sum256(shown)
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); r.young == nil || now.Sub(r.turned) > life {
		if now.Sub(r.turned) > 2*life {
			r.young = nil
		}
		r.young, r.old, r.turned = map[[sha256.Size]byte]struct{}{}, r.young, now
	}
	for _, seen := range []map[[sha256.Size]byte]struct{}{r.young, r.old} {
		if _, ok := seen[sum]; ok {
			return errReplay
		}
	}
	if len(r.young) >= maxReplays {
		return errors.New("too many authentications in a short time")
	}
	r.young[sum] = struct{}{}
	return nil
}
