package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(log.Ltime)
	floorIfAsked()
	if err := run(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		log.Fatal("bench: ", err)
	}
}

// The rows that are not loads, by the names that -rows matches.
const (
	rowStart  = "start"
	rowMemory = "memory"
	rowIdle   = "idle"
)

// shortRows are those of -short.
var shortRows = regexp.MustCompile(`^((get|set)/(1x1|50x20)/100B|start)$`)

// program is what the command line asks for.
type program struct {
	comparison
	short   bool
	list    bool
	pattern string
	output  string
	addr    string
	pid     int
	znodes  int
	clients int
}

func parse(args []string) (*program, error) {
	p := &program{comparison: comparison{versions: make(map[string]string)}}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	servers := fs.String("servers", "java,quoll", "servers to start and compare, of java, quoll and floor")
	fs.StringVar(&p.pattern, "rows", "", "regular expression: measure all rows whose name matches, not those of the default table")
	fs.BoolVar(&p.short, "short", false, "few rows, each measured once for 3 s unless told otherwise: about a minute")
	fs.BoolVar(&p.list, "list", false, "print the names of all rows, those of the default table with a star, and end")
	fs.IntVar(&p.rounds, "rounds", 3, "how often each row is measured on each server")
	fs.DurationVar(&p.duration, "duration", 5*time.Second, "of each measurement")
	fs.DurationVar(&p.warmup, "warmup", time.Second, "before each measurement")
	fs.Uint64Var(&p.seed, "seed", 1, "of the random order of keys and operations")
	fs.StringVar(&p.entry.work, "work", "", "directory in which the servers' data comes, and so the disk (default that of temporary files)")
	fs.StringVar(&p.heap, "heap", "1g", "heap of the JVM, fixed in the loads and the most it may take in the other rows")
	fs.IntVar(&p.znodes, "znodes", 1_000_000, "znodes of the memory row")
	fs.IntVar(&p.clients, "clients", 10_000, "connections of the idle row")
	fs.StringVar(&p.output, "o", "", "file for the report (default stdout)")
	fs.StringVar(&p.addr, "addr", "", "host:port of a server that runs already: measure only that")
	fs.IntVar(&p.pid, "pid", 0, "process of that server, if its CPU time is wanted")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if p.rounds < 1 || p.duration <= 0 || p.warmup < 0 || p.znodes < 1 || p.clients < 1 {
		return nil, errors.New("rounds, duration, znodes and clients must be positive, and warmup not negative")
	}
	if p.short {
		given := make(map[string]bool)
		fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if !given["rounds"] {
			p.rounds = 1
		}
		if !given["duration"] {
			p.duration = 3 * time.Second
		}
	}
	p.servers = strings.Split(*servers, ",")
	for _, name := range p.servers {
		if entrants[name] == nil {
			return nil, fmt.Errorf("-servers: %q is none of java, quoll and floor", name)
		}
	}
	return p, nil
}

// chosen reports whether the row of that name is measured.
func (p *program) chosen() (func(name string, usual bool) bool, error) {
	pattern, err := regexp.Compile(p.pattern)
	if err != nil {
		return nil, fmt.Errorf("-rows: %w", err)
	}
	return func(name string, usual bool) bool {
		switch {
		case p.pattern != "":
			return pattern.MatchString(name)
		case p.short:
			return shortRows.MatchString(name)
		}
		return usual
	}, nil
}

func run(args []string) error {
	p, err := parse(args)
	if err != nil {
		return err
	}
	chosen, err := p.chosen()
	if err != nil {
		return err
	}
	if p.list {
		for _, r := range rows() {
			mark := ""
			if r.usual() {
				mark = " *"
			}
			fmt.Println(r.String() + mark)
		}
		fmt.Printf("%s *\n%s *\n%s *\n", rowStart, rowMemory, rowIdle)
		return nil
	}
	var loads []row
	for _, r := range rows() {
		if chosen(r.String(), r.usual()) {
			loads = append(loads, r)
		}
	}
	if p.entry.work, err = os.MkdirTemp(p.entry.work, "quoll-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(p.entry.work)
	var report bytes.Buffer
	if p.addr != "" {
		err = p.one(&report, loads)
	} else {
		err = p.compare(&report, loads, chosen)
	}
	if err != nil {
		return err
	}
	if p.output == "" {
		_, err = os.Stdout.Write(report.Bytes())
		return err
	}
	return os.WriteFile(p.output, report.Bytes(), 0o644)
}

// one measures a server that runs already.
func (p *program) one(w *bytes.Buffer, loads []row) error {
	var all [][]figures
	for i, r := range loads {
		var samples []figures
		for round := range p.rounds {
			name := fmt.Sprintf("bench-%d-%02d-%03d", os.Getpid(), round, i)
			f, err := measure(p.addr, p.pid, name, r, p.timing, p.seed)
			if err != nil {
				return fmt.Errorf("%s: %w", r, err)
			}
			log.Printf("round %d/%d  %-24s %s", round+1, p.rounds, r, f)
			samples = append(samples, f)
		}
		all = append(all, []figures{median(samples)})
	}
	reportLoads(w, []string{p.addr}, loads, all)
	return nil
}

// compare starts the servers and measures them.
func (p *program) compare(w *bytes.Buffer, loads []row, chosen func(string, bool) bool) error {
	// The servers inherit the limit: as many open files as this user may have.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	files.Cur = files.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w", files.Max, err)
	}
	facts := machine(p.entry.work)
	var (
		all    [][]figures
		others []other
		err    error
	)
	if len(loads) > 0 {
		if all, err = p.loads(loads); err != nil {
			return err
		}
	}
	for _, row := range []struct {
		name string
		run  func() ([]other, error)
	}{
		{rowStart, p.starts},
		{rowMemory, func() ([]other, error) { return p.memories(p.znodes) }},
		{rowIdle, func() ([]other, error) { return p.idles(p.clients) }},
	} {
		if !chosen(row.name, true) || len(p.stateful()) == 0 {
			continue
		}
		more, err := row.run()
		if err != nil {
			return err
		}
		others = append(others, more...)
	}
	fmt.Fprintf(w, "# %s side by side\n\nWritten by `go run ./bench %s`; `go doc ./bench` says how it measures.\n\n",
		strings.Join(p.servers, " and "), strings.Join(os.Args[1:], " "))
	for _, name := range p.servers {
		facts = append(facts, name+": "+p.versions[name])
	}
	facts = append(facts, fmt.Sprintf("%v after %v of warm-up, median of %d rounds, seed %d; heap of the JVM %s; zoo.cfg has %s, the rest is default",
		p.duration, p.warmup, p.rounds, p.seed, p.heap, strings.Join(config, ", ")))
	for _, f := range facts {
		fmt.Fprintf(w, "- %s\n", f)
	}
	fmt.Fprintln(w)
	if len(all) > 0 {
		reportLoads(w, p.servers, loads, all)
	}
	if len(others) > 0 {
		reportOthers(w, p.stateful(), others)
	}
	return nil
}
