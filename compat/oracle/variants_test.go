package oracle

import (
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quoll/compat/script"
	"quoll/config"
	"quoll/server"
)

// variant is something that must not matter to any client.
type variant struct {
	name string
	// options changes those of a server in memory.
	options func(o *server.Options, dir string)
	// wrap is for what the network does.
	wrap func(net.Conn, *rand.Rand) net.Conn
	// split sends the requests of a pipe one by one.
	split bool
	// restart starts the server anew between two programs.
	restart bool
}

// variants are compared with a plain server in memory. A tree of another kind is a row here.
var variants = []variant{
	{name: "one request at a time", split: true},
	{name: "a few bytes at a time", wrap: func(c net.Conn, rng *rand.Rand) net.Conn { return &chopper{c, rng} }},
	{name: "on disk", options: onDisk, restart: true},
	{name: "on disk, with many checkpoints", restart: true, options: func(o *server.Options, dir string) {
		onDisk(o, dir)
		o.CheckpointBytes = 4096
	}},
	{name: "without digests", options: func(o *server.Options, _ string) { o.DigestEnabled = false }},
}

func onDisk(o *server.Options, dir string) {
	o.InMemory = false
	o.DataDir, o.DataLogDir = filepath.Join(dir, "data"), filepath.Join(dir, "data")
}

// chopper writes a few bytes at a time.
type chopper struct {
	net.Conn
	rng *rand.Rand
}

func (c *chopper) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		var m int
		m, err = c.Conn.Write(b[:min(len(b), 1+c.rng.IntN(40))])
		n, b = n+m, b[m:]
	}
	return n, err
}

// subject is a server of a variant with its player.
type subject struct {
	variant
	opts   server.Options
	server *server.Server
	player *script.Player
}

func newSubject(t *testing.T, f *flavour, v variant, rng *rand.Rand) *subject {
	t.Helper()
	options := f.options("")
	cfg, _, err := config.Load(config.Sources{Set: options.Config, Env: func(name string) string {
		if name == "SERVER_JVMFLAGS" {
			return strings.Join(options.Flags, " ")
		}
		return ""
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{variant: v, opts: server.Options{Config: cfg, InMemory: true}}
	if v.options != nil {
		v.options(&s.opts, t.TempDir())
	}
	addr := s.start(t)
	t.Cleanup(func() { s.server.Close() })
	if s.player, err = script.NewPlayer(addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.player.Close)
	if v.wrap != nil {
		s.player.Wrap = func(_ string, c net.Conn) net.Conn { return v.wrap(c, rng) }
	}
	return s
}

func (s *subject) start(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.opts.Listeners = []net.Listener{l}
	if s.server, err = server.Start(s.opts); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// play gives the answer to each step of a program.
func (s *subject) play(t *testing.T, program []*script.Step) (answers [][]string) {
	t.Helper()
	for _, step := range program {
		steps := []*script.Step{step}
		if s.split && step.Request.Verb == "pipe" {
			steps = nil
			for _, part := range step.Request.Parts {
				steps = append(steps, script.NewStep(step.Conn, part))
			}
		}
		var answer []string
		for _, one := range steps {
			a, err := s.player.Step(one)
			if err != nil {
				t.Fatalf("%s: %v", one.Source[0], err)
			}
			answer = append(answer, a...)
		}
		// A connection that has ended says so at each step.
		answer = slices.CompactFunc(answer, func(a, b string) bool { return a == b && a == "< closed" })
		answers = append(answers, answer)
	}
	return answers
}

// TestVariants plays the same programs on quoll in each variant.
func TestVariants(t *testing.T) {
	seed := seedSetting(t)
	for i := range flavours {
		f := &flavours[i]
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			plain := newSubject(t, f, variant{}, nil)
			var others []*subject
			for _, v := range variants {
				others = append(others, newSubject(t, f, v, rng))
			}
			g := &generator{rng: rng, flavour: f}
			for range 8 {
				program := g.program()
				want := plain.play(t, program)
				for _, s := range others {
					got := s.play(t, program)
					for j, step := range program {
						if !slices.Equal(want[j], got[j]) {
							t.Fatalf("%s:\n%s\nplain\n\t%s\nthis variant\n\t%s", s.name, strings.Join(step.Source, "\n"), strings.Join(want[j], "\n\t"), strings.Join(got[j], "\n\t"))
						}
					}
					if s.restart {
						if err := s.server.Close(); err != nil {
							t.Fatal(err)
						}
						s.player.Move(s.start(t))
					}
				}
			}
		})
	}
}
