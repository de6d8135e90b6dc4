// Package sasl has the two mechanisms of SASL that ZooKeeper knows, DIGEST-MD5 and GSSAPI, each from both sides, the JAAS file that says which of them a server or client uses, and
// the rules that make a user of a Kerberos principal. It opens no port and writes no log.
//
// # Who uses it, and how
//
// The client port accepts: it reads the JAAS file once, at start, and takes an [Exchange] for each connection.
//
//	file, err := sasl.ReadFile(path, property)          // java.security.auth.login.config
//	kerberos, err := sasl.ReadKerberos("")              // krb5.conf
//	login, err := file.Login("Server", kerberos)        // nil without an error if there is no such section: no SASL
//	err = login.CheckServer()
//	exchange := login.Server("zookeeper", "zk-sasl-md5") // one for each connection
//	for !exchange.Done() {
//		answer, err := exchange.Step(token) // a token of the client; after an error the exchange is over
//	}
//	user := exchange.Peer()             // who the client has proved to be
//	id, err := names.Authorize(user)    // and what it is called in ACLs
//
// Servers among themselves do the same with sections of their own, QuorumServer on the side that accepts and QuorumLearner on the side that dials, and other names for DIGEST-MD5:
//
//	acceptor.Server("zookeeper-quorum", "zk-quorum-sasl-md5")
//	learner.Client("zookeeper-quorum", "zk-quorum-sasl-md5", "zkquorum/host")
//
// With GSSAPI, [Login.Client] asks the KDC for a ticket and waits for it; there is nothing to renew and nothing to close. The name that a client would like to have (authzid) is never looked at:
// whoever it is for, the one that it has proved counts.
//
// Whether a server with the Kerberos principal zkquorum/host@REALM may be where host is in the ensemble is asked of [ParseName].
//
// Which mechanism it is follows from the login modules of the section, as in Java: one of Kerberos makes it GSSAPI, otherwise it is DIGEST-MD5.
//
// Mirrors of the JDK and of ZooKeeper: [File] is sun.security.provider.ConfigFile, [Login] is Login with SecurityUtils, [Exchange] is SaslServer and SaslClient, [Name] and [Rules]
// are KerberosName, [Names] is what SaslServerCallbackHandler makes of one.
package sasl
