package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"
)

// word is one row of the four-letter words.
type word struct {
	name  string
	bytes string // on the wire, where that is not the name
	// run writes the answer; nil for what is known and does nothing.
	run func(c *conn, w *bufio.Writer)
	// idle is the answer of a server that does not serve; empty for a word that works all the same.
	idle string
}

// notServing is what a server says that looks for a leader, or that leads and takes no clients.
const notServing = "This ZooKeeper instance is not currently serving requests\n"

// wordTable is the list of everything that can be asked without a session (FourLetterCommands).
var wordTable = []word{
	{name: "conf", run: (*conn).wordConf, idle: notServing},
	{name: "cons", run: (*conn).wordCons, idle: notServing},
	{name: "crst", run: (*conn).wordCrst, idle: notServing},
	{name: "dirs", run: (*conn).wordDirs, idle: notServing},
	{name: "dump", run: (*conn).wordDump, idle: notServing},
	{name: "envi", run: (*conn).wordEnvi},
	{name: "gtmk", run: (*conn).wordGtmk},
	{name: "hash", run: (*conn).wordHash, idle: strings.TrimSuffix(notServing, "\n")},
	{name: "isro", run: (*conn).wordIsro, idle: "null"},
	{name: "mntr", run: (*conn).wordMntr, idle: notServing},
	{name: "ruok", run: func(_ *conn, w *bufio.Writer) { w.WriteString("imok") }},
	{name: "srst", run: (*conn).wordSrst, idle: notServing},
	{name: "srvr", run: (*conn).wordSrvr, idle: notServing},
	{name: "stat", run: (*conn).wordStat, idle: notServing},
	{name: "stmk", run: (*conn).wordStmk},
	{name: "wchc", run: (*conn).wordWchc, idle: notServing},
	{name: "wchp", run: (*conn).wordWchp, idle: notServing},
	{name: "wchs", run: (*conn).wordWchs, idle: notServing},
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
		fourLetterWords[w.bytes] = w
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
	case word.run != nil:
		word.run(c, w)
	}
	_ = w.Flush()
	c.hangUp()
	c.flush()
}

// wordOutput writes the answer to a word. Each Write is a packet.
type wordOutput struct{ c *conn }

var errAskerGone = errors.New("who asked is gone")

func (o wordOutput) Write(p []byte) (int, error) {
	// Who does not read the answer is not waited for.
	_ = o.c.net.SetWriteDeadline(time.Now().Add(o.c.s.opts.SessionlessCnxnTimeout))
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
