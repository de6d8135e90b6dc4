package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"regexp"
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

// program is what the command line asks for.
type program struct {
	comparison
	short   bool
	list    bool
	pattern string
	output  string
	from    string
}

func parse(args []string) (*program, error) {
	p := new(program)
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	servers := fs.String("servers", "java,quoll,floor", "servers to start and compare, of java, quoll and floor")
	fs.StringVar(&p.pattern, "rows", "", "regular expression: measure all rows whose name matches, not those of the default table")
	fs.BoolVar(&p.short, "short", false, "few rows, each measured once for 2 s unless told otherwise: about a minute")
	fs.BoolVar(&p.list, "list", false, "print the names of all rows, those of the default table with a star, and end")
	fs.IntVar(&p.rounds, "rounds", 3, "how often each row is measured on each server; the longest rows are measured once")
	fs.DurationVar(&p.duration, "duration", 5*time.Second, "of each measurement of a load")
	fs.DurationVar(&p.warmup, "warmup", time.Second, "before each measurement of a load")
	fs.Uint64Var(&p.seed, "seed", 1, "of the random order of keys and operations")
	fs.IntVar(&p.scale, "scale", 1, "divide numbers of znodes and sessions above 1000, and the times of rows that have their own, to try the rows out")
	fs.StringVar(&p.entry.work, "work", "", "directory in which the servers' data comes, and so the disk (default that of temporary files)")
	fs.StringVar(&p.heap, "heap", "1g", "heap of the JVM; it is fixed where memory is not what is measured, and larger in the rows of many znodes")
	fs.StringVar(&p.output, "o", "", "page for the report, NAME.md; NAME.json gets every figure of every round, as soon as it is there, and NAME.svg the plot (default: the report to stdout)")
	fs.StringVar(&p.from, "from", "", "JSON files of earlier runs, with commas between: their rows are in the report as well, and without -rows nothing is measured")
	addrs := fs.String("addr", "", "host:port of a server that runs already, or of each member of an ensemble with commas between: measure only that")
	pids := fs.String("pid", "", "processes of those servers, with commas between, if their CPU time is wanted")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if p.rounds < 1 || p.duration <= 0 || p.warmup < 0 || p.scale < 1 {
		return nil, errors.New("rounds, duration and scale must be positive, and warmup not negative")
	}
	if p.output != "" && !strings.HasSuffix(p.output, ".md") {
		return nil, fmt.Errorf("-o: %q does not end in .md", p.output)
	}
	if p.short {
		given := make(map[string]bool)
		fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if !given["rounds"] {
			p.rounds = 1
		}
		if !given["duration"] {
			p.duration = 2 * time.Second
		}
		if !given["warmup"] {
			p.warmup = time.Second / 2
		}
	}
	p.servers = strings.Split(*servers, ",")
	for _, name := range p.servers {
		if place(name) < 0 || entrants[name] == nil {
			return nil, fmt.Errorf("-servers: %q is none of java, quoll and floor", name)
		}
	}
	if *addrs != "" {
		p.given.addrs = strings.Split(*addrs, ",")
		p.servers = []string{*addrs}
	}
	if *pids != "" {
		for _, s := range strings.Split(*pids, ",") {
			pid, err := strconv.Atoi(s)
			if err != nil || pid < 1 {
				return nil, fmt.Errorf("-pid: %q is no process", s)
			}
			p.given.pids = append(p.given.pids, pid)
		}
	}
	return p, nil
}

// chosen is the rows that are measured.
func (p *program) chosen() ([]row, error) {
	pattern, err := regexp.Compile(p.pattern)
	if err != nil {
		return nil, fmt.Errorf("-rows: %w", err)
	}
	var rows []row
	for _, r := range table {
		wanted := !r.rare
		switch {
		case p.pattern != "":
			wanted = pattern.MatchString(r.name)
		case p.from != "":
			wanted = false
		case p.short:
			wanted = r.short
		}
		if n := len(p.given.addrs); n > 0 {
			wanted = wanted && r.load != nil && n == max(1, r.stage.members)
		}
		if wanted && len(p.cast(r.stage)) > 0 {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 && p.from == "" {
		return nil, fmt.Errorf("no row of that name can be measured on %s", strings.Join(p.servers, ", "))
	}
	return rows, nil
}

func run(args []string) error {
	p, err := parse(args)
	if err != nil {
		return err
	}
	if p.list {
		for _, r := range table {
			mark := " *"
			if r.rare {
				mark = ""
			}
			fmt.Println(r.name + mark)
		}
		return nil
	}
	rows, err := p.chosen()
	if err != nil {
		return err
	}
	p.results = new(results)
	if p.from != "" {
		for _, name := range strings.Split(p.from, ",") {
			if err := p.results.load(name); err != nil {
				return err
			}
		}
	}
	name := strings.TrimSuffix(p.output, ".md")
	p.save = func() error {
		if p.output == "" {
			return nil
		}
		return p.results.write(name + ".json")
	}
	if len(rows) > 0 {
		if err := p.measure(rows, args); err != nil {
			return err
		}
	}
	var report bytes.Buffer
	p.results.report(&report)
	if p.output == "" {
		_, err := os.Stdout.Write(report.Bytes())
		return err
	}
	if err := p.save(); err != nil {
		return err
	}
	page, err := os.ReadFile(p.output)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	picture := fmt.Appendf(nil, "![How many times better quoll is than Java, row by row](%s.svg)\n\n", filepath.Base(name))
	if err := os.WriteFile(p.output, into(page, append(picture, report.Bytes()...)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(name+".svg", plot(p.results.lines()), 0o644)
}

// measure adds a run to the results.
func (p *program) measure(rows []row, args []string) (err error) {
	// The servers inherit the limit: as many open files as this user may have.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	files.Cur = files.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w", files.Max, err)
	}
	if p.entry.work, err = os.MkdirTemp(p.entry.work, "quoll-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(p.entry.work)
	e, err := survey(p.entry.work)
	if err != nil {
		return err
	}
	e.Command = strings.TrimSpace("go run ./bench " + strings.Join(args, " "))
	e.Heap, e.Rounds, e.Duration, e.Warmup, e.Seed, e.Scale = p.heap, p.rounds, p.duration.String(), p.warmup.String(), p.seed, p.scale
	p.results.Runs = append(p.results.Runs, e)
	swap := swapped()
	save := p.save
	p.save = func() error {
		now := &p.results.Runs[len(p.results.Runs)-1]
		now.Seconds, now.Swapped = time.Since(e.Began).Seconds(), swapped()-swap
		return save()
	}
	return p.run(rows)
}
