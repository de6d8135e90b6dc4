package shell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"quoll/client"
	"quoll/config"
	"quoll/sasl"
)

// SASL is how a client authenticates whose JAAS file has a section for it (ZooKeeperSaslClient, SaslServerPrincipal); nil if it does not. Without is then why, if one is meant
// for it: zkCli.sh warns, and goes on. The error is of what it does not go on after.
func (a *Access) SASL() (begin func(ctx context.Context, addr string) (client.Authenticator, error), without, err error) {
	const fileKey = "java.security.auth.login.config"
	get := func(key, otherwise string) string { return cmp.Or(a.settings["zookeeper."+key], otherwise) }
	if strings.EqualFold(get("sasl.client", "true"), "false") {
		return nil, nil, nil
	}
	file, err := sasl.FindFile(a.settings[fileKey], func(name string) (string, bool) {
		if value, ok := a.settings[name]; ok {
			return value, true
		}
		return config.JVMProperty(name)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fileKey, err), nil
	}
	if file == nil {
		return nil, nil, nil
	}
	kerberos, unread := sasl.ReadKerberos(a.settings["java.security.krb5.conf"])
	section := get("sasl.clientconfig", "Client")
	login, err := file.Login(section, kerberos)
	switch {
	case errors.Is(err, sasl.ErrNoKerberos):
		return nil, fmt.Errorf("%w: %w", err, unread), nil
	case err != nil:
		return nil, err, nil
	case login == nil && a.settings[fileKey] == "" && a.settings["zookeeper.sasl.clientconfig"] == "":
		return nil, nil, nil // the file of the home directory is for others
	case login == nil:
		return nil, fmt.Errorf("%s has no section %s", file.Name, section), nil
	case login.Mechanism() == sasl.DigestMD5 && !strings.EqualFold(get("fips-mode", "true"), "false"):
		return nil, nil, fmt.Errorf("%s: section %s is one for DIGEST-MD5, which is not used in FIPS mode, and that is on unless zookeeper.fips-mode=false", file.Name, section)
	}
	return func(ctx context.Context, addr string) (client.Authenticator, error) {
		principal, err := serverPrincipal(ctx, addr, get)
		if err != nil {
			return nil, err
		}
		return login.Client("zookeeper", "zk-sasl-md5", principal)
	}, nil, nil
}

// serverPrincipal is the Kerberos principal of a server.
func serverPrincipal(ctx context.Context, addr string, get func(key, otherwise string) string) (string, error) {
	if principal := get("server.principal", ""); principal != "" {
		return principal, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if !strings.EqualFold(get("sasl.client.canonicalize.hostname", "true"), "false") {
		host = canonical(ctx, host)
	}
	return get("sasl.client.username", "zookeeper") + "/" + host, nil
}

// canonical is the name that the address of a host has, where there is one (InetAddress.getCanonicalHostName).
func canonical(ctx context.Context, host string) string {
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return host
	}
	names, err := net.DefaultResolver.LookupAddr(ctx, addrs[0])
	if err != nil || len(names) == 0 {
		return host
	}
	return strings.TrimSuffix(names[0], ".")
}
