package oracle

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"quoll/compat/peer"
	"quoll/compat/script"
)

// seedSetting is QUOLL_ORACLE_SEED: 1 if not set, drawn if 0.
func seedSetting(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(peer.Setting(t, "QUOLL_ORACLE_SEED", 1))
	if seed == 0 {
		seed = uint64(rand.Uint32())
	}
	t.Logf("QUOLL_ORACLE_SEED=%d", seed)
	return seed
}

// TestDeviations compares the table with that of the specification.
func TestDeviations(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/client-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range deviations {
		if !strings.Contains(string(page), " | "+d.name) {
			t.Errorf("section 7.4 has no row %q", d.name)
		}
	}
}

// roundSize is how many operations a round has at the most: enough that the start of its servers is a small part, and few enough that a difference can
// be made small.
const roundSize = 40000

// TestOracle plays random programs on ZooKeeper and quoll.
func TestOracle(t *testing.T) {
	peer.RequireJVM(t)
	total := int(peer.Setting(t, "QUOLL_ORACLE_OPS", 20000))
	seed := seedSetting(t)
	reached := coverage{}
	done, rounds, begin := 0, 0, time.Now()
	for ; done < total; rounds++ {
		f := &flavours[rounds%len(flavours)]
		ops := min(max((total-done)/max(1, len(flavours)-rounds), 2000), roundSize)
		round := newRound(rand.New(rand.NewPCG(seed, uint64(rounds))), f, ops)
		d, err := play(f, round, func(program []*script.Step, answers [][]string) {
			done += count(program)
			reached.add(program, answers)
		})
		if err != nil {
			t.Fatalf("seed %d, round %d (%s): %v", seed, rounds, f.name, err)
		}
		if d != nil {
			report(t, f, round, d, fmt.Sprintf("QUOLL_ORACLE_SEED=%d, round %d, after %d operations", seed, rounds, done))
		}
		if rounds%10 == 9 {
			t.Logf("%d operations in %d rounds, %v", done, rounds+1, time.Since(begin).Round(time.Second))
		}
	}
	t.Logf("%d operations in %d rounds, no difference, %v", done, rounds, time.Since(begin).Round(time.Second))
	t.Log("\n" + reached.String())
	for _, r := range requests {
		if reached[r.op.String()] == nil {
			t.Errorf("%v was never played", r.op)
		}
	}
}

// report prints a difference and the smallest script that still shows one, and ends the test.
func report(t *testing.T, f *flavour, round [][]*script.Step, d *difference, where string) {
	t.Helper()
	t.Logf("%s: difference in flavour %q, made smaller now: %s", where, f.name, d.text)
	small, d := minimize(f, round, d, int(peer.Setting(t, "QUOLL_ORACLE_ATTEMPTS", 150)))
	t.Fatalf("%s:\n%s\n%s", where, asScript(f, small), d.text)
}

// asScript is a round as compat/golden plays it, but for its handovers.
func asScript(f *flavour, round [][]*script.Step) string {
	var s script.Script
	options := f.options("")
	for _, setting := range slices.Concat(options.Config, options.Flags) {
		s.Lines = append(s.Lines, script.Line{Text: "server " + setting})
	}
	for _, program := range round {
		for _, step := range program {
			s.Lines = append(s.Lines, script.Line{Step: step})
		}
	}
	return string(s.Format())
}

// coverage counts what happened to the requests of each verb that were steps of their own, or were parts of others.
type coverage map[string]map[string]int

var errorCode = regexp.MustCompile(`^< .* err=(\S+)`)

func (c coverage) add(program []*script.Step, answers [][]string) {
	for i, s := range program {
		if s.Request.Verb == "pipe" {
			for _, p := range s.Request.Parts {
				c.count(p.Verb, "piped")
			}
			continue
		}
		result := "no reply"
		for _, l := range answers[i] {
			if m := errorCode.FindStringSubmatch(l); m != nil && !strings.HasPrefix(l, "< xid=-1 ") {
				result = m[1]
			} else if strings.Contains(l, " session=@") {
				result = "0"
			} else if strings.Contains(l, " session=0 ") {
				result = "refused"
			}
		}
		c.count(s.Request.Verb, result)
	}
}

func (c coverage) count(verb, result string) {
	if c[verb] == nil {
		c[verb] = map[string]int{}
	}
	c[verb][result]++
}

func (c coverage) String() string {
	var b strings.Builder
	for _, verb := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%-22s", verb)
		for _, result := range slices.Sorted(maps.Keys(c[verb])) {
			fmt.Fprintf(&b, " %s:%d", result, c[verb][result])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
