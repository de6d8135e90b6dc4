package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(log.Ltime)
	floorIfAsked()
	embeddedIfAsked()
	if err := run(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		log.Fatal("bench: ", err)
	}
}

// extra is a row that is not a load.
type extra struct {
	name  string   // what -rows matches
	usual bool     // it is in the default table
	arms  []string // what it compares, if not the servers
	run   func() ([]other, error)
}

func (p *program) extras() []extra {
	all := []extra{
		{"start", true, nil, p.starts},
		{"memory", true, nil, func() ([]other, error) { return p.memories(p.znodes) }},
		{"idle", true, nil, func() ([]other, error) { return p.idles(p.clients) }},
	}
	for _, s := range sizes {
		all = append(all,
			extra{"restart/" + s.name, s.restarts, nil, func() ([]other, error) { return p.restarts(s) }},
			extra{"snapshot/" + s.name, s.others, nil, func() ([]other, error) { return p.snapshots(s) }},
			extra{"store/" + s.name, s.others, []string{storeOff, storeOn}, func() ([]other, error) { return p.stores(s) }})
	}
	return all
}

// shortRows are those of -short.
var shortRows = regexp.MustCompile(`^((get|set)/(1x1|50x20)/100B|start)$`)

// program is what the command line asks for.
type program struct {
	comparison
	short   bool
	list    bool
	pattern string
	output  string
	at      target // servers that run already, if there are addresses
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
	addrs := fs.String("addr", "", "host:port of a server that runs already, or of each member of an ensemble with commas between: measure only that")
	pids := fs.String("pid", "", "processes of those servers, with commas between, if their CPU time is wanted")
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
	if *addrs != "" {
		p.at.addrs = strings.Split(*addrs, ",")
	}
	if *pids != "" {
		for _, s := range strings.Split(*pids, ",") {
			pid, err := strconv.Atoi(s)
			if err != nil || pid < 1 {
				return nil, fmt.Errorf("-pid: %q is no process", s)
			}
			p.at.pids = append(p.at.pids, pid)
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
		for _, e := range p.extras() {
			mark := ""
			if e.usual {
				mark = " *"
			}
			fmt.Println(e.name + mark)
		}
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
	if p.at.addrs != nil {
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

// one measures the servers that run already with the rows that are for so many.
func (p *program) one(w *bytes.Buffer, loads []row) error {
	loads = slices.DeleteFunc(loads, func(r row) bool { return r.servers != len(p.at.addrs) })
	if len(loads) == 0 {
		return fmt.Errorf("-addr: no row is for %d servers, or -rows matches none", len(p.at.addrs))
	}
	var all [][]figures
	for i, r := range loads {
		var samples []figures
		for round := range p.rounds {
			name := fmt.Sprintf("bench-%d-%02d-%03d", os.Getpid(), round, i)
			f, err := measure(p.at, name, r, p.timing, p.seed)
			if err != nil {
				return fmt.Errorf("%s: %w", r, err)
			}
			log.Printf("round %d/%d  %-24s %s", round+1, p.rounds, r, f)
			samples = append(samples, f)
		}
		all = append(all, []figures{median(samples)})
	}
	reportLoads(w, []string{strings.Join(p.at.addrs, ",")}, loads, all)
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
		tables bytes.Buffer // of the loads, a table for each number of servers
		others []other
		arms   bytes.Buffer // the tables of the rows that do not compare servers
	)
	for _, members := range []int{1, ensembleSize} {
		part := slices.DeleteFunc(slices.Clone(loads), func(r row) bool { return r.servers != members })
		servers := p.servers
		if members > 1 {
			servers = p.stateful()
		}
		if len(part) == 0 || len(servers) == 0 {
			continue
		}
		all, err := p.loads(part, servers, members)
		if err != nil {
			return err
		}
		reportLoads(&tables, servers, part, all)
		if members > 1 {
			facts = append(facts, fmt.Sprintf("a row of %d servers: an ensemble on this machine, with %s; connections spread over all of them, CPU time summed over them", members, strings.Join(ensembleSettings, ", ")))
		}
	}
	for _, row := range p.extras() {
		if !chosen(row.name, row.usual) || len(p.stateful()) == 0 || row.arms != nil && !slices.Contains(p.servers, "quoll") {
			continue
		}
		more, err := row.run()
		if err != nil {
			return err
		}
		if row.arms != nil {
			reportOthers(&arms, row.arms, more)
			continue
		}
		others = append(others, more...)
	}
	fmt.Fprintf(w, "# %s side by side\n\nWritten by `go run ./bench %s`; `go doc ./bench` says how it measures.\n\n",
		strings.Join(p.servers, " and "), strings.Join(os.Args[1:], " "))
	for _, name := range p.servers {
		if version := p.versions[name]; version != "" {
			facts = append(facts, name+": "+version)
		}
	}
	facts = append(facts, fmt.Sprintf("%v after %v of warm-up, median of %d rounds, seed %d; heap of the JVM %s; zoo.cfg has %s, the rest is default",
		p.duration, p.warmup, p.rounds, p.seed, p.heap, strings.Join(settings, ", ")))
	for _, f := range facts {
		fmt.Fprintf(w, "- %s\n", f)
	}
	fmt.Fprintln(w)
	w.Write(tables.Bytes())
	if len(others) > 0 {
		reportOthers(w, p.stateful(), others)
	}
	w.Write(arms.Bytes())
	return nil
}
