package ensemble

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// log is where the processes of a kind write to.
func (m *Member) log(kind Kind) string { return filepath.Join(m.dir, string(kind)+".log") }

// Log is what the process that was started last has logged.
func (m *Member) Log() string {
	m.mu.Lock()
	name, began := m.log(m.kind), m.began
	m.mu.Unlock()
	return readFrom(name, began)
}

// readFrom is what a file has from an offset on, or the error.
func readFrom(name string, offset int64) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(data[min(offset, int64(len(data))):])
}

// tail is the last lines of the log.
func (m *Member) tail(lines int) string {
	all := strings.Split(strings.TrimRight(m.Log(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// The ways in which a learner is brought to the state of its leader.
const (
	Diff  = "DIFF"
	Trunc = "TRUNC"
	Snap  = "SNAP"
)

// brought are the words of a learner's log. A Java learner says in words of its own what packet came.
var brought = regexp.MustCompile(`Getting a (diff) |Getting a (snapshot) from leader|(Truncating) log to get in sync|msg="(TRUNC|SNAP) to `)

// Synchronized is how a member was last brought to the state of a leader, empty if no log says so. Of a DIFF quoll says nothing as a
// learner; then it is the leader that does.
func (e *Ensemble) Synchronized(m *Member) string {
	if all := brought.FindAllStringSubmatch(m.Log(), -1); len(all) > 0 {
		way := strings.Join(all[len(all)-1][1:], "")
		return map[string]string{"diff": Diff, "snapshot": Snap, "Truncating": Trunc, Trunc: Trunc, Snap: Snap}[way]
	}
	sent := regexp.MustCompile(fmt.Sprintf(`learner %d at \S+ gets DIFF|Sending DIFF .* for peer sid: %[1]d\b|Follower sid: %[1]d .*\n.*Sending DIFF`, m.ID))
	for _, leader := range e.Members {
		if leader != m && sent.MatchString(leader.Log()) {
			return Diff
		}
	}
	return ""
}

// complaints are lines that say that a peer sent what it must not, or that the server itself is wrong. ZooKeeper's servers log stack
// traces for each connection that ends; those are none.
var complaints = map[bool]*regexp.Regexp{
	false: regexp.MustCompile(`(?m)^.*(Digests are not matching|Exiting JVM with code [1-9]|ClassCastException|NullPointerException` +
		`|NegativeArraySize|OutOfBoundsException|OutOfMemoryError|Unreasonable (length|buffer)|Unsupported Txn|[Uu]nexpected (leader )?packet` +
		`|Committing zxid 0x.* but next pending|Got zxid 0x.* expected 0x([^1]|1[0-9a-f])|Leaders? epoch, .* is less than|Invalid (magic|packet)|InvalidMessageException).*$`),
	true: regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE|.*level=ERROR|.*cannot be read).*$`),
}

// epochBegins is what a learner before 3.9.4 says of a history that goes from one epoch to the next: that is no gap, whoever sent it.
var epochBegins = regexp.MustCompile(`Got zxid 0x[0-9a-f]+00000001 expected 0x`)

// lostLearner is what a Java server says of a client that renews its session at the moment in which the server loses its leader.
var lostLearner = regexp.MustCompile(`NullPointerException.*getLearner\(\)" is null`)

var (
	// mismatch is what a Java server says of a wrong digest, with the zxid.
	mismatch  = regexp.MustCompile(`Digests are not matching.*[vV]alue:(\d+)`)
	snapped   = regexp.MustCompile(`Getting a snapshot from leader`)
	quollLead = regexp.MustCompile(`msg="LEADING in epoch (\d+): serving`)
)

// ledByQuoll are the epochs that members have led as quoll.
func (e *Ensemble) ledByQuoll() map[int64]bool {
	led := map[int64]bool{}
	for _, m := range e.Members {
		data, _ := os.ReadFile(m.log(Quoll))
		for _, found := range quollLead.FindAllSubmatch(data, -1) {
			epoch, _ := strconv.ParseInt(string(found[1]), 10, 64)
			led[epoch] = true
		}
	}
	return led
}

// torn is what a Java server ends with if it was killed as a learner that had logged what the leader sent it, but not yet written currentEpoch (since ZOOKEEPER-4643 in
// this order). The operator must write the file. To raise it to the epoch of the log is safe: before a record of an epoch is the whole history with which it began.
var torn = regexp.MustCompile(`The current epoch, \d+, is older than the last zxid, (\d+)\n`)

// tornEpoch is the epoch that currentEpoch must have so that the server that wrote the log can start, 0 if that is not what has ended it.
func tornEpoch(log string) int64 {
	found := torn.FindStringSubmatch(log)
	if found == nil {
		return 0
	}
	zxid, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		return 0
	}
	return zxid >> 32
}

// amongJava reports whether a line is about a digest that a Java server has found wrong in a transaction of another one. Their snapshots are ahead of their zxid
// under load, and until a learner has caught up with one it says so; a quoll server knows.
func amongJava(line, before string, led map[int64]bool) bool {
	found := mismatch.FindStringSubmatch(line)
	if found == nil || !snapped.MatchString(before) {
		return false
	}
	zxid, err := strconv.ParseInt(found[1], 10, 64)
	return err == nil && !led[zxid>>32]
}

// Complaints are what the logs of all processes that the members ever had say of bytes of a peer that were wrong, and the processes
// that ended by themselves.
func (e *Ensemble) Complaints() (found []string) {
	led := e.ledByQuoll()
	for _, m := range e.Members {
		m.mu.Lock()
		found = append(found, m.died...)
		m.mu.Unlock()
		names, _ := filepath.Glob(m.log("*"))
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				found = append(found, err.Error())
				continue
			}
			kind := strings.TrimSuffix(filepath.Base(name), ".log")
			said := 0
			for _, at := range complaints[Kind(kind) == Quoll].FindAllIndex(data, -1) {
				line := string(data[at[0]:at[1]])
				if said == 4 || epochBegins.MatchString(line) || lostLearner.MatchString(line) || amongJava(line, string(data[:at[0]]), led) || ofTorn(line, data[:at[0]]) {
					continue
				}
				said++
				found = append(found, fmt.Sprintf("member %d (%s): %s", m.ID, kind, line))
			}
		}
	}
	return found
}

// ofTorn reports whether a line tells the end of a server for torn.
func ofTorn(line string, before []byte) bool {
	return strings.Contains(line, "Exiting JVM") && torn.Match(before[max(0, len(before)-8<<10):])
}

// Tails are the ends of all logs, to be shown with a failure.
func (e *Ensemble) Tails(lines int) string {
	var b strings.Builder
	for _, m := range e.Members {
		fmt.Fprintf(&b, "the log of %v ends:\n%s\n", m, m.tail(lines))
	}
	return b.String()
}
