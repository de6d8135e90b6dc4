package server

import (
	"fmt"
	"strings"

	"quoll/metrics"
	"quoll/tree"
)

// Version is what quoll tells clients that ask for ZooKeeper's version: monitoring parses it.
const Version = "3.9.5"

// defaultTraceMask is the trace mask of a new ZooKeeper server, which only gtmk and stmk show.
const defaultTraceMask = 306

// word is one row of the four-letter words.
type word struct {
	name string
	run  func(c *conn) string
}

var fourLetterWords map[string]*word

func init() {
	fourLetterWords = map[string]*word{}
	for _, w := range []word{
		{"ruok", func(*conn) string { return "imok" }},
		{"srvr", func(c *conn) string { return c.s.srvr() }},
	} {
		fourLetterWords[w.name] = &w
	}
}

// serveWord answers a four-letter word, if the whitelist has it; then the connection closes.
func (c *conn) serveWord(w *word) {
	c.s.stats.received.Add(1)
	c.received.Add(1)
	text := w.name + " is not executed because it is not in the whitelist.\n"
	if c.s.wordAllowed(w.name) {
		text = w.run(c)
	}
	c.send([]byte(text), 0, nil)
	c.hangUp()
	c.flush()
}

func (s *Server) wordAllowed(name string) bool {
	if name == "srvr" {
		return true
	}
	for _, allowed := range s.opts.FourLetterWhitelist {
		if allowed = strings.TrimSpace(allowed); allowed == name || allowed == "*" {
			return true
		}
	}
	return false
}

func (s *Server) srvr() string {
	l := s.stats.latencies()
	var nodes int
	s.readTree(func(t *tree.Tree) { nodes = t.Len() })
	return fmt.Sprintf("Zookeeper version: %s\nLatency min/avg/max: %d/%s/%d\nReceived: %d\nSent: %d\nConnections: %d\nOutstanding: %d\nZxid: %s\nMode: standalone\nNode count: %d\n",
		Version, l.min, metrics.JavaDouble(l.mean()), l.max, s.stats.received.Load(), s.stats.sent.Load(), len(s.connections()), s.outstanding.Load(),
		hex(s.lastZxid.Load()), nodes+1)
}

func (s *Server) registerGauges() {}
