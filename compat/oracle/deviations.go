package oracle

import (
	"strconv"

	"quoll/compat/script"
)

// deviation is where quoll answers differently on purpose. If that is a matter of one request, ZooKeeper is sent another one in its place, which it
// answers as quoll does the first, so that both sides go on from the same state; else the generator does not make it.
type deviation struct {
	name, reason string
	matches      func(q *script.Call) bool
	java         func(q script.Call) script.Call // nil if the generator leaves it out
}

// deviations is section 7.4 of docs/spec/client-protocol.md, as far as the generator could make it: all that may differ.
var deviations = []deviation{
	{
		name: "createTTL of a plain znode", reason: "the mode of a createTTL without a time to live is always refused: a negative ttl would stop ZooKeeper, any other makes a plain znode",
		matches: func(q *script.Call) bool {
			return q.Verb == "createTTL" && number(q, "flags", 5) >= 0 && number(q, "flags", 5) < 5
		},
		java: func(q script.Call) script.Call { return with(q, "flags", "7") },
	},
	{
		name: "deleteContainer from a client", reason: "it deletes without asking for a permission; quoll refuses it like an opcode that does not exist",
		matches: func(q *script.Call) bool { return q.Verb == "deleteContainer" },
		java:    unknown,
	},
	{
		name: "createSession from a client", reason: "it makes a second session on the connection; quoll refuses it like an opcode that does not exist",
		matches: func(q *script.Call) bool { return q.Verb == "createSession" },
		java:    unknown,
	},
	{name: "unreadable quota where quotas are enforced", reason: "ZooKeeper fails each write below it with MarshallingError, quoll ignores it"},
	{name: "writes behind a setACL", reason: "ZooKeeper checks a write against the old ACL while a setACL before it is still on its way, if that is so by chance; quoll always against the new one"},
	{name: "createContainer of an ephemeral", reason: "a container is made, but as long as that is on its way ZooKeeper refuses children to it, as if it were an ephemeral; quoll does not"},
	{name: "ACL entry without an id in a multi", reason: "the multi fails as a whole without a transaction, but ZooKeeper goes on as if the operations before were under way; quoll takes them back"},
	{name: "quota counters that went wrong", reason: "counters that a client has set, or that were there before the limits, are off; ZooKeeper counts anew at a start as far as its snapshot has them, quoll always"},
	{name: "renewal with a wrong password", reason: "ZooKeeper closes the live connection of the session before it looks at the password, quoll leaves it alone"},
	{name: "limits: ", reason: "answers above 16 MiB, transactions too large to be read back, more than 100 identities, unread output, watched paths above 128 MiB"},
}

// unknown is a request of an opcode that does not exist.
func unknown(q script.Call) script.Call { return call("request", "op", "999") }

// forJava is what ZooKeeper is sent in place of a step.
func forJava(s *script.Step) *script.Step {
	q, changed := replace(s.Request)
	if !changed {
		return s
	}
	return script.NewStep(s.Conn, q)
}

func replace(q script.Call) (script.Call, bool) {
	for _, d := range deviations {
		if d.java != nil && d.matches(&q) {
			return d.java(q), true
		}
	}
	if q.Verb != "pipe" {
		return q, false // inside a multi a request may mean something else
	}
	changed := false
	var parts []script.Call
	for _, p := range q.Parts {
		p, c := replace(p)
		parts = append(parts, p)
		changed = changed || c
	}
	q.Parts = parts
	return q, changed
}

// number is a field's value.
func number(q *script.Call, name string, otherwise int) int {
	for _, f := range q.Fields {
		if f.Name == name {
			n, _ := strconv.Atoi(f.Value)
			return n
		}
	}
	return otherwise
}

// with is the call with another value of a field.
func with(q script.Call, name, value string) script.Call {
	fields := []script.Field{{Name: name, Value: value}}
	for _, f := range q.Fields {
		if f.Name != name {
			fields = append(fields, f)
		}
	}
	q.Fields = fields
	return q
}
