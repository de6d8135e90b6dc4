package shell

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"quoll/config"
	"quoll/config/properties"
	"quoll/tlsconf"
)

// clientKeys are the properties of a client (ZKClientConfig) that have an effect here.
var clientKeys = []string{
	"zookeeper.client.secure", "zookeeper.clientCnxnSocket", "jute.maxbuffer", "zookeeper.ssl.protocol", "zookeeper.ssl.enabledProtocols",
	"zookeeper.ssl.ciphersuites", "zookeeper.ssl.hostnameVerification",
	"zookeeper.ssl.keyStore.location", "zookeeper.ssl.keyStore.password", "zookeeper.ssl.keyStore.passwordPath", "zookeeper.ssl.keyStore.type",
	"zookeeper.ssl.trustStore.location", "zookeeper.ssl.trustStore.password", "zookeeper.ssl.trustStore.passwordPath", "zookeeper.ssl.trustStore.type",
	"zookeeper.ssl.crl", "zookeeper.ssl.ocsp",
	"zookeeper.sasl.client", "zookeeper.sasl.clientconfig", "zookeeper.sasl.client.username", "zookeeper.sasl.client.canonicalize.hostname",
	"zookeeper.server.principal", "zookeeper.fips-mode",
}

// Flags are those of a client's JVM in an environment, the later ones over the earlier. JVMFLAGS are for servers as well.
func Flags(getenv func(string) string) string {
	return getenv("CLIENT_JVMFLAGS") + " " + getenv("JVMFLAGS")
}

// configure reads the client's properties: the -D settings among the flags, and over them the file of -client-configuration.
func (s *Shell) configure() error {
	settings, err := clientSettings(Flags(s.Getenv), s.configuration)
	if err != nil {
		return err
	}
	forServers := definitions(s.Getenv("JVMFLAGS"))
	for key, value := range settings {
		if strings.HasPrefix(key, "zookeeper.") && !slices.Contains(clientKeys, key) && forServers[key] != value {
			s.complain("Warning: " + key + " has no effect")
		}
	}
	if text, ok := settings["jute.maxbuffer"]; ok {
		n, err := strconv.ParseInt(text, 0, 32)
		if err != nil || n <= 0 {
			return fmt.Errorf("jute.maxbuffer=%s: not a positive number of bytes", text)
		}
		s.options.MaxFrame = int(n)
	}
	access, err := newAccess(settings)
	if err != nil {
		return err
	}
	begin, without, err := access.SASL()
	if without != nil {
		s.complain("Warning: no authentication with SASL: " + without.Error())
	}
	s.options.Dial, s.options.SASL = access.Dial, begin
	return err
}

// clientSettings are the -D settings among the flags of a JVM, and over them the lines of a file, if there is one.
func clientSettings(flags, file string) (map[string]string, error) {
	settings := definitions(flags)
	if file == "" {
		return settings, nil
	}
	return settings, readProperties(file, settings)
}

// Dial connects to host:port.
type Dial func(ctx context.Context, addr string) (net.Conn, error)

// DialPlain connects without TLS.
func DialPlain(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// DialTLS connects with TLS and the stores that the -D settings of some flags name, or a file like that of -client-configuration, if there is one.
func DialTLS(flags, file string) (Dial, error) {
	settings, err := clientSettings(flags, file)
	if err != nil {
		return nil, err
	}
	return dialTLS(settings)
}

// Access is how a client gets to a server.
type Access struct {
	Dial     Dial
	OverTLS  bool
	settings map[string]string
}

// ReadAccess reads what a client is told by the -D settings of some flags, and over them by a file like that of -client-configuration, if there is one.
func ReadAccess(flags, file string) (*Access, error) {
	settings, err := clientSettings(flags, file)
	if err != nil {
		return nil, err
	}
	return newAccess(settings)
}

func newAccess(settings map[string]string) (*Access, error) {
	a := &Access{Dial: DialPlain, OverTLS: strings.EqualFold(settings["zookeeper.client.secure"], "true"), settings: settings}
	if a.OverTLS {
		var err error
		if a.Dial, err = dialTLS(settings); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// definitions are the -D settings among the flags of a JVM.
func definitions(flags string) map[string]string {
	settings := map[string]string{}
	for _, p := range config.Defines(flags) {
		settings[p.Name] = p.Value
	}
	return settings
}

func dialTLS(settings map[string]string) (Dial, error) {
	secured, err := tlsconf.NewClient("zookeeper.ssl.", tlsSettings(settings))
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

// readProperties adds the settings of a Java properties file to properties.
func readProperties(name string, into map[string]string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	lines, err := properties.Parse(properties.Latin1(data))
	if err != nil {
		return fmt.Errorf("%s:%w", name, err)
	}
	for _, l := range lines {
		into[l.Key] = l.Value
	}
	return nil
}

// tlsSettings are the properties zookeeper.ssl.* of a client.
func tlsSettings(settings map[string]string) config.TLS {
	get := func(key string) string { return settings["zookeeper.ssl."+key] }
	store := func(which string) config.StoreFile {
		return config.StoreFile{
			Location: get(which + ".location"), Type: get(which + ".type"), Password: get(which + ".password"), PasswordPath: get(which + ".passwordPath"),
		}
	}
	return config.TLS{
		KeyStore: store("keyStore"), TrustStore: store("trustStore"), Protocol: get("protocol"),
		EnabledProtocols: config.SplitList(get("enabledProtocols")), CipherSuites: config.SplitList(get("ciphersuites")),
		HostnameVerification: !strings.EqualFold(get("hostnameVerification"), "false"), CRL: strings.EqualFold(get("crl"), "true"), OCSP: strings.EqualFold(get("ocsp"), "true"),
	}
}
