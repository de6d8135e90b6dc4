// Package tlsconf turns ZooKeeper's settings of TLS into a configuration of crypto/tls: key stores and trust stores in PEM, PKCS12 and JKS, protocols and cipher suites by
// their Java names, and the names of subjects as Java spells them.
//
//	m, err := tlsconf.NewServer("ssl.", cfg.ClientTLS, log)
//	conn := tls.Server(raw, m.Config())
//
// It serves every port and the client of the shell. What Java and Go do differently with certificates is in section 6.7 of the client protocol's page.
//
// Mirrors the Java classes X509Util, ClientX509Util and the loaders of key stores.
package tlsconf
