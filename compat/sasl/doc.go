// Package sasl holds the tests of SASL on the client port: the bytes of every step of DIGEST-MD5, done well and badly, and real clients with DIGEST-MD5 and with GSSAPI and a KDC, at
// ZooKeeper and at quoll.
package sasl
