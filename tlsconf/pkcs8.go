package tlsconf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// maxIterations bounds what a file can make its reader compute.
const maxIterations = 10_000_000

// The structures of PKCS #8 and of PBES2 (RFC 5958, RFC 8018).
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Parameters struct {
		Derivation, Encryption pkix.AlgorithmIdentifier
	}
	pbkdf2Parameters struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var hmacHashes = map[string]func() hash.Hash{
	"":                    sha1.New, // the default
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

var pbes2Ciphers = map[string]struct {
	keyLength int
	block     func(key []byte) (cipher.Block, error)
}{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

// decryptPKCS8 opens an encrypted private key. What is inside is PKCS #8 without encryption.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var key encryptedKey
	var outer pbes2Parameters
	var derivation pbkdf2Parameters
	var iv []byte
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		return nil, err
	}
	if id := key.Algorithm.Algorithm.String(); id != "1.2.840.113549.1.5.13" {
		return nil, fmt.Errorf("the algorithm %s is not known; openssl pkcs8 -topk8 -v2 aes256 writes one that is", id)
	}
	if _, err := asn1.Unmarshal(key.Algorithm.Parameters.FullBytes, &outer); err != nil {
		return nil, err
	}
	if id := outer.Derivation.Algorithm.String(); id != "1.2.840.113549.1.5.12" {
		return nil, fmt.Errorf("the key derivation %s is not known", id)
	}
	if _, err := asn1.Unmarshal(outer.Derivation.Parameters.FullBytes, &derivation); err != nil {
		return nil, err
	}
	if _, err := asn1.Unmarshal(outer.Encryption.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	newHash, ok := hmacHashes[derivation.PRF.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("the hash %s is not known", derivation.PRF.Algorithm)
	}
	c, ok := pbes2Ciphers[outer.Encryption.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("the cipher %s is not known", outer.Encryption.Algorithm)
	}
	if n := derivation.Iterations; n < 1 || n > maxIterations {
		return nil, fmt.Errorf("%d iterations", n)
	}
	secret, err := pbkdf2.Key(newHash, password, derivation.Salt, derivation.Iterations, c.keyLength)
	if err != nil {
		return nil, err
	}
	block, err := c.block(secret)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(iv) != size || len(key.Data) == 0 || len(key.Data)%size != 0 {
		return nil, errors.New("no whole blocks")
	}
	plain := make([]byte, len(key.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, key.Data)
	if pad := int(plain[len(plain)-1]); pad > 0 && pad <= size {
		return plain[:len(plain)-pad], nil
	}
	return nil, errors.New("wrong password")
}
