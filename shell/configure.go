package shell

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// clientKeys are the properties of a client (ZKClientConfig) that have an effect here.
var clientKeys = []string{
	"zookeeper.client.secure", "zookeeper.clientCnxnSocket", "jute.maxbuffer", "zookeeper.ssl.protocol", "zookeeper.ssl.enabledProtocols",
	"zookeeper.ssl.ciphersuites", "zookeeper.ssl.hostnameVerification",
	"zookeeper.ssl.keyStore.location", "zookeeper.ssl.keyStore.password", "zookeeper.ssl.keyStore.passwordPath", "zookeeper.ssl.keyStore.type",
	"zookeeper.ssl.trustStore.location", "zookeeper.ssl.trustStore.password", "zookeeper.ssl.trustStore.passwordPath", "zookeeper.ssl.trustStore.type",
}

// configure reads the client's properties: the -D settings of CLIENT_JVMFLAGS, and over them the file of -client-configuration.
func (s *Shell) configure() error {
	properties := map[string]string{}
	for _, word := range strings.Fields(s.Getenv("CLIENT_JVMFLAGS")) {
		if setting, ok := strings.CutPrefix(word, "-D"); ok {
			key, value, _ := strings.Cut(setting, "=")
			properties[key] = value
		}
	}
	if s.configuration != "" {
		if err := readProperties(s.configuration, properties); err != nil {
			return err
		}
	}
	for key := range properties {
		if strings.HasPrefix(key, "zookeeper.") && !slices.Contains(clientKeys, key) {
			s.complain("Warning: " + key + " has no effect")
		}
	}
	if text, ok := properties["jute.maxbuffer"]; ok {
		n, err := strconv.ParseInt(text, 0, 32)
		if err != nil || n <= 0 {
			return fmt.Errorf("jute.maxbuffer=%s: not a positive number of bytes", text)
		}
		s.options.MaxFrame = int(n)
	}
	if !strings.EqualFold(properties["zookeeper.client.secure"], "true") {
		return nil
	}
	config, verifyName, err := tlsConfig(properties)
	if err != nil {
		return err
	}
	s.options.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		c := config.Clone()
		c.ServerName = host
		c.InsecureSkipVerify = true // in favour of verifyServer
		c.VerifyConnection = func(state tls.ConnectionState) error { return verifyServer(state, config.RootCAs, host, verifyName) }
		return (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", addr)
	}
	return nil
}

// readProperties adds the lines key=value of a Java properties file to properties.
func readProperties(name string, properties map[string]string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		at := strings.IndexAny(line, "=:")
		if at < 0 || strings.HasSuffix(line, `\`) {
			return fmt.Errorf("%s:%d: not a line key=value", name, n)
		}
		properties[strings.TrimSpace(line[:at])] = unescape(strings.TrimSpace(line[at+1:]))
	}
	return lines.Err()
}

// tlsVersions are the names that Java has for them.
var tlsVersions = map[string]uint16{"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}

// tlsConfig makes a configuration of the properties zookeeper.ssl.*, and tells whether the server's name is to be verified.
func tlsConfig(properties map[string]string) (config *tls.Config, verifyName bool, err error) {
	get := func(key string) string { return properties["zookeeper.ssl."+key] }
	config = &tls.Config{MinVersion: tls.VersionTLS12}
	names := get("enabledProtocols")
	if names == "" {
		names = get("protocol")
	}
	for i, name := range splitList(names) {
		version, ok := tlsVersions[name]
		if !ok {
			return nil, false, fmt.Errorf("zookeeper.ssl.enabledProtocols: unknown protocol %q", name)
		}
		if i == 0 {
			config.MinVersion, config.MaxVersion = version, version
		}
		config.MinVersion, config.MaxVersion = min(config.MinVersion, version), max(config.MaxVersion, version)
	}
	for _, name := range splitList(get("ciphersuites")) {
		at := slices.IndexFunc(tls.CipherSuites(), func(c *tls.CipherSuite) bool { return c.Name == name })
		if at < 0 {
			return nil, false, fmt.Errorf("zookeeper.ssl.ciphersuites: unknown cipher suite %q", name)
		}
		config.CipherSuites = append(config.CipherSuites, tls.CipherSuites()[at].ID)
	}
	open := func(which string) (*store, error) {
		password := get(which + ".password")
		if file := get(which + ".passwordPath"); file != "" {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("zookeeper.ssl.%s.passwordPath: %w", which, err)
			}
			password = strings.TrimSpace(string(text))
		}
		s, err := openStore(get(which+".location"), get(which+".type"), password)
		if err != nil {
			return nil, fmt.Errorf("zookeeper.ssl.%s.location: %w", which, err)
		}
		return s, nil
	}
	if get("keyStore.location") != "" {
		s, err := open("keyStore")
		if err != nil {
			return nil, false, err
		}
		if s.key == nil {
			return nil, false, fmt.Errorf("zookeeper.ssl.keyStore.location: %s has no private key", get("keyStore.location"))
		}
		certificate := tls.Certificate{PrivateKey: s.key}
		for _, c := range s.certificates {
			certificate.Certificate = append(certificate.Certificate, c.Raw)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	if get("trustStore.location") != "" {
		s, err := open("trustStore")
		if err != nil {
			return nil, false, err
		}
		config.RootCAs = x509.NewCertPool()
		for _, c := range s.certificates {
			config.RootCAs.AddCert(c)
		}
	}
	return config, !strings.EqualFold(get("hostnameVerification"), "false"), nil
}

func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// verifyServer checks the server's chain, and that it is for the host: a certificate without alternative names is, as in Java, also for
// its common name.
func verifyServer(state tls.ConnectionState, roots *x509.CertPool, host string, verifyName bool) error {
	leaf := state.PeerCertificates[0]
	chain := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		chain.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(chain); err != nil {
		return err
	}
	if !verifyName {
		return nil
	}
	named := len(leaf.DNSNames)+len(leaf.IPAddresses) > 0
	if !named && strings.EqualFold(leaf.Subject.CommonName, host) {
		return nil
	}
	return leaf.VerifyHostname(host)
}
