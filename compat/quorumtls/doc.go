// Package quorumtls has the tests of security between servers: ensembles of quoll and ZooKeeper that speak TLS with each other, are changed to it and back while clients write,
// and refuse who has a certificate that does not do.
package quorumtls
