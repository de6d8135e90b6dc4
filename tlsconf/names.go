package tlsconf

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// defaultSuites are those that ZooKeeper takes where none are configured, less what crypto/tls does not have.
var defaultSuites = []string{
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
	"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
	"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256",
}

// protocols have a row for each version that Java has a name for. Java has long switched the old ones off, whatever a configuration says.
var protocols = map[string]uint16{"TLSv1.3": tls.VersionTLS13, "TLSv1.2": tls.VersionTLS12, "TLSv1.1": 0, "TLSv1": 0, "SSLv3": 0, "SSLv2Hello": 0}

// setProtocols sets the versions by their Java names and the cipher suites by theirs; without names the versions stay and the suites are ZooKeeper's. The notes say what was
// asked for and is not there; where nothing is left it is an error. Suites of TLS 1.3 cannot be chosen one by one in crypto/tls.
func setProtocols(c *tls.Config, versions, suites []string) (notes []string, err error) {
	for _, name := range versions {
		version, known := protocols[name]
		switch {
		case !known:
			return nil, fmt.Errorf("enabledProtocols: unknown protocol %q", name)
		case version == 0:
			notes = append(notes, "enabledProtocols: "+name+" is not spoken any more")
			continue
		case c.MaxVersion == 0:
			c.MinVersion = version
		}
		c.MinVersion, c.MaxVersion = min(c.MinVersion, version), max(c.MaxVersion, version)
	}
	if len(versions) > 0 && c.MaxVersion == 0 {
		return nil, fmt.Errorf("enabledProtocols: none of %s is spoken any more; TLSv1.2 and TLSv1.3 are", strings.Join(versions, ", "))
	}
	if len(suites) == 0 {
		suites = defaultSuites
	}
	have := slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites())
	newest := 0 // of the suites of TLS 1.3
	for _, name := range suites {
		// The oldest ones have their first name in Java.
		at := slices.IndexFunc(have, func(s *tls.CipherSuite) bool {
			return s.Name == name || "SSL"+strings.TrimPrefix(s.Name, "TLS") == name
		})
		switch {
		case at < 0:
			notes = append(notes, fmt.Sprintf("ciphersuites: %q is not there", name))
		case slices.Contains(have[at].SupportedVersions, tls.VersionTLS12):
			c.CipherSuites = append(c.CipherSuites, have[at].ID)
		default:
			newest++
		}
	}
	with12 := c.MinVersion <= tls.VersionTLS12 && len(c.CipherSuites) > 0
	with13 := (c.MaxVersion == 0 || c.MaxVersion == tls.VersionTLS13) && newest > 0
	switch {
	case !with12 && !with13:
		return nil, fmt.Errorf("ciphersuites: none of %s is there for the enabled protocols", strings.Join(suites, ", "))
	case !with12:
		c.MinVersion = tls.VersionTLS13
	case !with13:
		c.MaxVersion = tls.VersionTLS12
	}
	if with13 && newest < 3 {
		notes = append(notes, "ciphersuites: those of TLS 1.3 are offered all three")
	}
	return notes, nil
}
