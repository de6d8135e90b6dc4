package config

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"strings"
)

// digestHashes maps the Java names of hashes (in upper case) to Go's. Java's MD2 is left out.
var digestHashes = map[string]func() hash.Hash{
	"MD5":         md5.New,
	"SHA":         sha1.New,
	"SHA1":        sha1.New,
	"SHA-1":       sha1.New,
	"SHA-224":     sha256.New224,
	"SHA-256":     sha256.New,
	"SHA-384":     sha512.New384,
	"SHA-512":     sha512.New,
	"SHA-512/224": sha512.New512_224,
	"SHA-512/256": sha512.New512_256,
	"SHA3-224":    func() hash.Hash { return sha3.New224() },
	"SHA3-256":    func() hash.Hash { return sha3.New256() },
	"SHA3-384":    func() hash.Hash { return sha3.New384() },
	"SHA3-512":    func() hash.Hash { return sha3.New512() },
}

// DigestHash returns the hash with the given Java name (such as SHA1, SHA-256, SHA3-256, in any case), or nil when quoll does not know it.
// A loaded [Config] has a DigestAlg that is known.
func DigestHash(alg string) func() hash.Hash { return digestHashes[strings.ToUpper(alg)] }

// Digest is what the scheme digest has behind the name of a user: the hash of user:password in base64 (DigestAuthenticationProvider.generateDigest).
func Digest(newHash func() hash.Hash, credentials []byte) string {
	h := newHash()
	h.Write(credentials)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
