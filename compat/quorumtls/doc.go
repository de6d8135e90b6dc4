// Package quorumtls has the tests of security between servers: ensembles of quoll and ZooKeeper that speak TLS or authenticate with SASL, by DIGEST-MD5 and by GSSAPI with a KDC; they
// are changed to it and back while clients write, and let in nobody whose certificate, password or principal does not do, or whose certificate is revoked, which the client port is shown too.
// QUOLL_ENSEMBLE=long is for the long forms.
package quorumtls
