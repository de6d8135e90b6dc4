package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"
)

// word is one row of what can be asked without a session: a four-letter word, a command of the AdminServer, or both where they tell the same.
type word struct {
	name  string // empty where there is no such word
	bytes string // on the wire, where that is not the name
	// run writes the answer; nil for what is known and does nothing.
	run func(c *conn, w *bufio.Writer)
	// long says that the answer has a line for each session or watch: one of them is made at a time.
	long bool
	// idle is the answer of a server that does not serve; empty for a word that works all the same.
	idle string
	// command is what the AdminServer offers; nil for nothing.
	command *Command
}

// notServing is what a server says that looks for a leader, or that leads and takes no clients.
const notServing = "This ZooKeeper instance is not currently serving requests\n"

// wordTable is the list of everything that can be asked without a session (FourLetterCommands, Commands).
var wordTable = []word{
	{name: "conf", run: (*conn).wordConf, idle: notServing, command: &Command{Names: []string{"configuration", "conf", "config"}, facts: (*Server).configurationFacts}},
	{name: "cons", run: (*conn).wordCons, long: true, idle: notServing, command: &Command{Names: []string{"connections", "cons"}, Heavy: true, facts: (*Server).connectionsFacts}},
	{name: "crst", run: (*conn).wordCrst, idle: notServing, command: &Command{Names: []string{"connection_stat_reset", "crst"}, facts: (*Server).resetConnectionsFacts}},
	{name: "dirs", run: (*conn).wordDirs, idle: notServing, command: &Command{Names: []string{"dirs"}, Heavy: true, facts: (*Server).dirsFacts}},
	{name: "dump", run: (*conn).wordDump, long: true, idle: notServing, command: &Command{Names: []string{"dump"}, Heavy: true, facts: (*Server).dumpFacts}},
	{name: "envi", run: (*conn).wordEnvi, command: &Command{Names: []string{"environment", "env", "envi"}, Always: true, facts: (*Server).environmentFacts}},
	{name: "gtmk", run: (*conn).wordGtmk, command: &Command{Names: []string{"get_trace_mask", "gtmk"}, Always: true, facts: (*Server).traceMaskFacts}},
	{name: "hash", run: (*conn).wordHash, idle: strings.TrimSuffix(notServing, "\n"), command: &Command{Names: []string{"hash"}, Heavy: true, facts: (*Server).hashFacts}},
	{command: &Command{Names: []string{"initial_configuration", "icfg"}, facts: (*Server).initialConfigurationFacts}},
	{name: "isro", run: (*conn).wordIsro, idle: "null", command: &Command{Names: []string{"is_read_only", "isro"}, facts: (*Server).readOnlyFacts}},
	{command: &Command{Names: []string{"last_snapshot", "lsnp"}, facts: (*Server).lastSnapshotFacts}},
	{command: &Command{Names: []string{"leader", "lead"}, facts: (*Server).leaderFacts}},
	{name: "mntr", run: (*conn).wordMntr, idle: notServing, command: &Command{Names: []string{"monitor", "mntr"}, facts: (*Server).monitorFacts}},
	{command: &Command{Names: []string{"observer_connection_stat_reset", "orst"}, facts: (*Server).resetObserversFacts}},
	{command: &Command{Names: []string{"observers", "obsr"}, facts: (*Server).observersFacts}},
	{command: &Command{Names: []string{"restore", "rest"}, Guarded: true, Post: true}},
	{name: "ruok", run: func(_ *conn, w *bufio.Writer) { w.WriteString("imok") }, command: &Command{Names: []string{"ruok"}, facts: noFacts}},
	{command: &Command{Names: []string{"snapshot", "snap"}, Guarded: true}},
	{name: "srst", run: (*conn).wordSrst, idle: notServing, command: &Command{Names: []string{"stat_reset", "srst"}, facts: (*Server).resetStatsFacts}},
	{name: "srvr", run: (*conn).wordSrvr, idle: notServing, command: &Command{Names: []string{"server_stats", "srvr"}, facts: (*Server).statsFacts}},
	{name: "stat", run: (*conn).wordStat, idle: notServing, command: &Command{Names: []string{"stats", "stat"}, Heavy: true, facts: (*Server).statFacts}},
	{name: "stmk", run: (*conn).wordStmk, command: &Command{Names: []string{"set_trace_mask", "stmk"}, Always: true, facts: (*Server).setTraceMaskFacts}},
	{command: &Command{Names: []string{"system_properties", "sysp"}, Always: true, facts: (*Server).systemPropertiesFacts}},
	{command: &Command{Names: []string{"voting_view"}, facts: (*Server).votingViewFacts}},
	{name: "wchc", run: (*conn).wordWchc, long: true, idle: notServing, command: &Command{Names: []string{"watches", "wchc"}, Heavy: true, facts: (*Server).watchesFacts}},
	{name: "wchp", run: (*conn).wordWchp, long: true, idle: notServing, command: &Command{Names: []string{"watches_by_path", "wchp"}, Heavy: true, facts: (*Server).watchesByPathFacts}},
	{name: "wchs", run: (*conn).wordWchs, long: true, idle: notServing, command: &Command{Names: []string{"watch_summary", "wchs"}, Heavy: true, facts: (*Server).watchSummaryFacts}},
	{command: &Command{Names: []string{"zabstate"}, Always: true, facts: (*Server).zabStateFacts}},
	{name: "telnet close", bytes: "\xff\xf4\xff\xfd"}, // what telnet sends for ^C
}

var fourLetterWords map[string]*word

func init() {
	fourLetterWords = map[string]*word{}
	for i := range wordTable {
		w := &wordTable[i]
		if w.bytes == "" {
			w.bytes = w.name
		}
		if w.name != "" {
			fourLetterWords[w.bytes] = w
		}
	}
}

// serveWord answers a four-letter word, if the whitelist has it; then the connection closes.
func (c *conn) serveWord(word *word) {
	c.s.stats.received.Add(1)
	c.received.Add(1)
	c.inWord.Store(true)
	w := bufio.NewWriterSize(wordOutput{c}, 8<<10)
	switch {
	case !c.s.allowedWords[word.name] && !c.s.allowedWords["*"]:
		w.WriteString(word.name + " is not executed because it is not in the whitelist.\n")
	case word.idle != "" && !c.s.Serving():
		w.WriteString(word.idle)
	case word.long && !c.s.turn.Enter(c.s.stop):
		w.WriteString(notYourTurn)
	case word.run != nil:
		if word.long {
			defer c.s.turn.Leave()
			c.answerBy = time.Now().Add(longAnswerTime)
		}
		word.run(c, w)
	}
	_ = w.Flush()
	c.hangUp()
	c.flush()
}

const (
	turnTime       = 10 * time.Second // that a long answer waits for others
	longAnswerTime = time.Minute      // that one may take, so that who reads slowly does not keep the others from theirs
	notYourTurn    = "Other long answers are being made\n"
)

// Room is as much as its capacity for what few may do at a time.
type Room chan struct{}

// Enter waits until there is room, but not long, and not when stop is closed. It reports whether there is; then Leave is to be called.
func (r Room) Enter(stop <-chan struct{}) bool {
	timer := time.NewTimer(turnTime)
	defer timer.Stop()
	select {
	case r <- struct{}{}:
		return true
	case <-timer.C:
	case <-stop:
	}
	return false
}

// Leave makes room for others.
func (r Room) Leave() { <-r }

// Turn has room for the one long answer that is being made, to a word or to a command of the AdminServer.
func (s *Server) Turn() Room { return s.turn }

// wordOutput writes the answer to a word. Each Write is a packet.
type wordOutput struct{ c *conn }

var errAskerGone = errors.New("who asked is gone")

func (o wordOutput) Write(p []byte) (int, error) {
	// Who does not read the answer is not waited for.
	deadline := time.Now().Add(o.c.s.opts.SessionlessCnxnTimeout)
	if by := o.c.answerBy; !by.IsZero() && by.Before(deadline) {
		deadline = by
	}
	_ = o.c.net.SetWriteDeadline(deadline)
	o.c.write(p, 1, nil)
	if !o.c.flush() {
		return 0, errAskerGone
	}
	return len(p), nil
}

func (c *conn) wordGtmk(w *bufio.Writer) { w.WriteString(strconv.FormatInt(c.s.traceMask.Load(), 10)) }

// wordStmk sets the trace mask, which quoll only remembers. The word is followed by the mask in 8 bytes; without them there is no answer.
func (c *conn) wordStmk(w *bufio.Writer) {
	for c.w-c.r < 8 {
		if c.fill() != nil {
			return
		}
	}
	c.s.traceMask.Store(int64(binary.BigEndian.Uint64(c.in[c.r:])))
	c.wordGtmk(w)
}
