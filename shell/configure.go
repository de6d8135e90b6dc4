package shell

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"quoll/config"
	"quoll/tlsconf"
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
	properties := definitions(s.Getenv("CLIENT_JVMFLAGS"))
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
	var err error
	s.options.Dial, err = dialTLS(properties)
	return err
}

// Dial connects to host:port.
type Dial func(ctx context.Context, addr string) (net.Conn, error)

// DialTLS connects with the stores that the -D settings of some flags name, as a client that is given those flags.
func DialTLS(flags string) (Dial, error) { return dialTLS(definitions(flags)) }

// definitions are the -D settings among the flags of a JVM.
func definitions(flags string) map[string]string {
	properties := map[string]string{}
	for _, word := range strings.Fields(flags) {
		if setting, ok := strings.CutPrefix(word, "-D"); ok {
			key, value, _ := strings.Cut(setting, "=")
			properties[key] = value
		}
	}
	return properties
}

func dialTLS(properties map[string]string) (Dial, error) {
	secured, err := tlsconf.NewClient("zookeeper.ssl.", tlsSettings(properties))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return (&tls.Dialer{Config: secured(host)}).DialContext(ctx, "tcp", addr)
	}, nil
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

// tlsSettings are the properties zookeeper.ssl.* of a client.
func tlsSettings(properties map[string]string) config.TLS {
	get := func(key string) string { return properties["zookeeper.ssl."+key] }
	store := func(which string) config.StoreFile {
		return config.StoreFile{
			Location: get(which + ".location"), Type: get(which + ".type"), Password: get(which + ".password"), PasswordPath: get(which + ".passwordPath"),
		}
	}
	return config.TLS{
		KeyStore: store("keyStore"), TrustStore: store("trustStore"), Protocol: get("protocol"),
		EnabledProtocols: splitList(get("enabledProtocols")), CipherSuites: splitList(get("ciphersuites")),
		HostnameVerification: !strings.EqualFold(get("hostnameVerification"), "false"),
	}
}

func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
