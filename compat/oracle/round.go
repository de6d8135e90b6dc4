package oracle

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"quoll/compat/peer"
	"quoll/compat/script"
)

// everybody is the connection of a step that concerns both servers.
const everybody = "*"

// handovers are the verbs of such steps. All stop both servers, compare what is in their files, start servers and compare what those show.
var handovers = map[string]struct{ killed, swapped bool }{
	"restart":       {},
	"kill":          {killed: true},
	"swap":          {swapped: true},
	"kill-and-swap": {killed: true, swapped: true},
}

// newRound is the programs of a round with handovers between them: an own restart first, then each server on the other's directory. It has
// at least ops operations, and ends with a handover.
func newRound(rng *rand.Rand, f *flavour, ops int) [][]*script.Step {
	g := &generator{rng: rng, flavour: f}
	var round [][]*script.Step
	for i, handover := range []string{g.pickWord("restart", "kill"), g.pickWord("swap", "kill-and-swap"), g.pickWord("swap", "kill-and-swap")} {
		for n := 0; n < ops*(i+1)/3-ops*i/3; {
			p := g.program()
			round = append(round, p)
			n += count(p)
		}
		round = append(round, []*script.Step{script.NewStep(everybody, call(handover))})
	}
	return round
}

// count is the number of operations of a program: requests and handshakes.
func count(program []*script.Step) (n int) {
	for _, s := range program {
		switch s.Request.Verb {
		case "pipe":
			n += len(s.Request.Parts)
		case "kill", "closed":
		default:
			n++
		}
	}
	return n
}

// difference is the first that the two sides do not agree in.
type difference struct {
	program, step int // where it is in the round
	text          string
}

// play runs a round on fresh servers until the two sides differ or done is called with each program's steps and answers.
func play(f *flavour, round [][]*script.Step, done func(program []*script.Step, answers [][]string)) (*difference, error) {
	tracks, err := newTracks(f)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, t := range tracks {
			t.close()
		}
	}()
	ends := map[string]bool{}
	for i, program := range round {
		if program[0].Conn == everybody {
			if text := handOver(tracks, program[0].Request.Verb); text != "" {
				return &difference{i, 0, text}, nil
			}
			continue
		}
		answers, errs := both(tracks, func(t *track) (answers [][]string, err error) {
			for _, s := range program {
				a, err := t.step(s)
				if err != nil {
					return answers, err
				}
				answers = append(answers, a)
			}
			return answers, nil
		})
		java, quoll := 0, 1
		if tracks[0].kind.Name != "java" {
			java, quoll = 1, 0
		}
		for j, s := range program {
			if j >= len(answers[0]) || j >= len(answers[1]) {
				break
			}
			note(ends, s, answers[0][j])
			if want, got := canonical(s, ends, answers[java][j]), canonical(s, ends, answers[quoll][j]); !slices.Equal(want, got) {
				return &difference{i, j, fmt.Sprintf("%s\njava\n\t%s\nquoll\n\t%s", strings.Join(s.Source, "\n"), strings.Join(want, "\n\t"), strings.Join(got, "\n\t"))}, nil
			}
		}
		if errs[0] != nil && errs[1] != nil && len(answers[0]) == len(answers[1]) {
			return nil, fmt.Errorf("%s: %w", program[len(answers[0])].Source[0], errs[0]) // the program is wrong
		}
		if errs[0] != nil || errs[1] != nil {
			at := min(len(answers[0]), len(answers[1]))
			return &difference{i, at, fmt.Sprintf("%s\n%v\n%v", strings.Join(program[at].Source, "\n"), errs[0], errs[1])}, nil
		}
		if done != nil {
			done(program, answers[java])
		}
	}
	return nil, nil
}

// newTracks starts ZooKeeper on one track and quoll on the other.
func newTracks(f *flavour) (tracks []*track, err error) {
	for _, kind := range peer.Kinds {
		dir, err := os.MkdirTemp(memory(), "quoll-oracle-")
		if err != nil {
			return nil, err
		}
		tracks = append(tracks, &track{flavour: f, dir: dir, kind: kind})
	}
	if err = each(tracks, (*track).start); err != nil {
		for _, t := range tracks {
			t.close()
		}
	}
	return tracks, err
}

// memory is a directory in memory, where there is one: what a disk does is the matter of other tests.
func memory() string {
	if _, err := os.Stat("/dev/shm"); err == nil {
		return "/dev/shm"
	}
	return ""
}

// both does something on both tracks at the same time.
func both[T any](tracks []*track, do func(*track) (T, error)) (results [2]T, errs [2]error) {
	other := make(chan struct{})
	go func() {
		results[1], errs[1] = do(tracks[1])
		close(other)
	}()
	results[0], errs[0] = do(tracks[0])
	<-other
	return results, errs
}

// each is both for what has no result.
func each(tracks []*track, do func(*track) error) error {
	_, errs := both(tracks, func(t *track) (struct{}, error) { return struct{}{}, do(t) })
	return errors.Join(errs[:]...)
}

// handOver is how the two sides differ after servers have been started anew; empty if they do not.
func handOver(tracks []*track, verb string) string {
	how := handovers[verb]
	compare := func(when string, read func(*track) (map[string]string, error)) string {
		facts, errs := both(tracks, read)
		for i, err := range errs {
			if err != nil {
				return fmt.Sprintf("%s: %s: %v", when, tracks[i].kind.Name, err)
			}
		}
		if list := unlike(facts[0], facts[1]); len(list) > 0 {
			return fmt.Sprintf("%s, %d differences, the first directory's under java:\n%s", when, len(list), strings.Join(list[:min(len(list), 10)], "\n"))
		}
		return ""
	}
	if text := compare("before "+verb, (*track).shows); text != "" {
		return text
	}
	if err := each(tracks, func(t *track) error { return t.stop(how.killed) }); err != nil {
		return fmt.Sprintf("%s: %v", verb, err)
	}
	if text := compare("in the files, "+verb, (*track).holds); text != "" {
		return text
	}
	if how.swapped {
		tracks[0].kind, tracks[1].kind = tracks[1].kind, tracks[0].kind
		for _, t := range tracks {
			t.mixed = t.mixed || t.kind.Name == "quoll"
		}
	}
	if err := each(tracks, (*track).start); err != nil {
		return fmt.Sprintf("%s: %v", verb, err)
	}
	if how.swapped {
		if text := compare("after "+verb, (*track).sound); text != "" {
			return text
		}
	}
	return compare("after "+verb, (*track).shows)
}

// note remembers the zxids at which sessions ended.
func note(ends map[string]bool, s *script.Step, answer []string) {
	if v := s.Request.Verb; v != "closeSession" && v != "expire" {
		return
	}
	for _, l := range answer {
		if _, after, ok := strings.Cut(l, " zxid="); ok {
			zxid, _, _ := strings.Cut(after, " ")
			ends[zxid] = true
		}
	}
}

// canonical is an answer with its frames in an order that both servers have to agree in.
func canonical(s *script.Step, ends map[string]bool, answer []string) []string {
	// A frame is what comes before, and including, its bytes.
	var frames [][]string
	for at, i := 0, 0; i < len(answer); i++ {
		if strings.HasPrefix(answer[i], "= ") || i == len(answer)-1 {
			frames = append(frames, answer[at:i+1])
			at = i + 1
		}
	}
	ending := func(f []string) string {
		rest, event := strings.CutPrefix(f[0], "< xid=-1 zxid=")
		zxid, _, _ := strings.Cut(rest, " ")
		if !event || !ends[zxid] {
			return ""
		}
		return zxid
	}
	for i := 0; i < len(frames); {
		j := i + 1
		if zxid := ending(frames[i]); zxid != "" {
			for j < len(frames) && ending(frames[j]) == zxid {
				j++
			}
			slices.SortFunc(frames[i:j], func(a, b []string) int { return strings.Compare(a[0], b[0]) })
		}
		i = j
	}
	if s.Request.Verb == "pipe" {
		slices.SortStableFunc(frames, func(a, b []string) int { return overtakes(b) - overtakes(a) })
	}
	return slices.Concat(frames...)
}

// overtakes is 1 for the answer to an auth or sasl.
func overtakes(frame []string) int {
	if strings.HasPrefix(frame[0], "< xid=-4 ") {
		return 1
	}
	return 0
}
