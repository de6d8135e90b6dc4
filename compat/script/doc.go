// Package script has a language for exchanges of the client protocol, a player that does the steps of a script against a server, byte for
// byte as they are written, and a normalisation that makes the answers of two servers comparable.
//
// # Scripts
//
// A script is a text file of steps. A line that starts with # is a comment, one that starts
// with == is the title of the steps after it, and
//
//	server KEY=VALUE
//	server -DKEY=VALUE
//
// is a line of zoo.cfg or a JVM flag that the server needs. Every script expects a server of
// its own with an empty data directory. A line
//
//	quoll lacks WHAT
//
// says that quoll refuses to start with these settings.
//
// A step names a connection, a verb and fields; the lines below it that start with < and =
// are the recorded answer, every frame once as fields and once as bytes:
//
//	c connect
//	  < timeout=30000 session=@c passwd=@c readOnly=0
//	  = 00000025 00000000 00007530 5e00000000000001 00000010 50000000000000005e00000000000001 00
//	c create /g data=hi
//	  < xid=1 zxid=+2 err=0 path=/g
//	  = 00000016 00000001 0000000000000002 00000000 00000002 2f67
//
// A verb that is the name of an opcode sends that request; [requestRecords] and [fields] list
// the fields and their defaults. The xid counts up from 1 on each connection unless the field
// xid says otherwise. Every request takes op= (another opcode), cut=N (leave out the last N
// bytes), tail=0xHEX (append bytes) and replies=N (answers to wait for, 1 if not given).
// Other verbs:
//
//	connect    dial if necessary and send a ConnectRequest; from=ADDR binds the local address, via=ADDR dials another host
//	dial       only dial
//	request    a request of any opcode: op=N, and its record as body=0xHEX
//	frame      a frame given as hexadecimal digits; the length is put in front
//	bytes      bytes as they are; no answer is waited for
//	pipe       the requests in the lines below, marked +, in one write
//	multi      multi with the operations in the lines below, marked +; multiRead likewise
//	event      wait for one event
//	closed     wait until the server closes the connection; any=1 leaves out what comes before that, where the real server
//	           sends something or not
//	halfclose  close the sending side
//	kill       close the connection
//	login      authenticate by SASL, with DIGEST-MD5 as user= with password=, or with a ticket of principal=; the answer says how that ended
//	expire     close the connection, and wait until its session has expired; the answer has the zxid of that
//	rebase     (on connection *) count zxids anew, 1000 higher
//
// Values are bare words, Go strings, "x"*1000 for repetition, 0x and hexadecimal digits where
// bytes are wanted, null, [] for an empty list and a,b for others. An ACL entry is
// scheme:id:perms. +3 is a zxid relative to the start of the script and @c the session that
// connection c got first.
//
// Nothing sleeps but expire, which asks the server until the session is gone: a step ends when its
// answers are there or the connection is closed, and a ping after another connection's write proves
// which events came and that no other did.
//
// # Normalisation
//
// Bytes that differ in every run are replaced, in the recording and when checking:
//
//   - a zxid by its distance from the last zxid before the script; 0 and -1 stay
//   - a time by the zxid of the transaction that made it, if every time seen with that zxid is the same
//   - a session id by 0x5e00000000000000 plus its number of appearance, a password by 0x50 and
//     the normalised session id if it is the one that belongs to the session
//   - children, ephemerals and identities are sorted, and digest entries side by side in an ACL with the same permissions, which may
//     have come from one auth entry; with the field sort=1 also the events of the step: all where the real server follows the order of
//     a hash table
//
// Fields longer than 256 bytes are shown as their length and SHA-256.
//
// # Deviations
//
// Where quoll answers differently on purpose, its own answer follows the recorded one:
//
//	quoll: the reason
//
// and the lines after that are compared when the script is played with -as quoll, and filled
// in by record -as quoll.
package script
