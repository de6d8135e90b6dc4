package shell

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quoll/client"
	"quoll/jute"
)

// IO are the streams of a shell. In is a terminal if it is an *os.File that is one.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string // nil means os.Getenv; see [Flags]
}

// Exit codes.
const (
	exitOK       = 0
	exitError    = 1
	exitNotFound = 127
)

// failure is the error of a command, with the exit code that goes with it.
type failure struct {
	text string
	code int
	lost bool // for want of a connection
}

func (f *failure) Error() string { return f.text }

func fail(format string, args ...any) error {
	return &failure{text: fmt.Sprintf(format, args...), code: exitError}
}

// errQuit ends the shell.
var errQuit = errors.New("quit")

// errNoServer is the error of a connection that -waitforconnection waited for in vain.
var errNoServer = explain(jute.ErrConnectionLoss, noPath)

// settings are the options in front of the command.
type settings struct {
	server, timeout, configuration string
	readOnly, wait                 bool
}

// switches has a row for each option of zkCli.sh.
var switches = map[string]struct {
	flag  func(*settings) *bool
	value func(*settings) *string
}{
	"-server":               {value: func(s *settings) *string { return &s.server }},
	"-timeout":              {value: func(s *settings) *string { return &s.timeout }},
	"-client-configuration": {value: func(s *settings) *string { return &s.configuration }},
	"-r":                    {flag: func(s *settings) *bool { return &s.readOnly }},
	"-waitforconnection":    {flag: func(s *settings) *bool { return &s.wait }},
}

// parse reads the options up to the command and returns what is left. What is not known is skipped, as zkCli.sh does, but not silently.
func (s *settings) parse(args []string, warn func(string)) []string {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name := args[0]
		args = args[1:]
		row, known := switches[name]
		switch {
		case !known:
			warn(fmt.Sprintf("Error: unknown option %s ignored", name))
		case row.flag != nil:
			*row.flag(s) = true
		case len(args) == 0:
			warn("Error: no argument found for option " + name)
		default:
			*row.value(s) = args[0]
			args = args[1:]
		}
	}
	return args
}

// Shell is one run. Commands run one at a time; events come on another goroutine.
type Shell struct {
	IO
	settings
	options     client.Options
	zk          *client.Client
	host        string // of the connection, as it was given
	lines       []string
	exit        int
	hideWatches atomic.Bool

	ctx          context.Context // of the command that runs
	interruption bool            // SIGINT ends the command, not the shell
}

// Run runs a shell with the arguments of zkCli.sh: options, and then a command, or nothing for a session that reads lines. It returns
// the exit code.
func Run(args []string, io IO) int {
	if io.Getenv == nil {
		io.Getenv = os.Getenv
	}
	io.Out = &lockedWriter{w: io.Out}
	s := &Shell{IO: io, ctx: context.Background(), settings: settings{server: "localhost:2181", timeout: "30000"}}
	line := s.settings.parse(args, s.complain)
	s.print("Connecting to %s\n", s.server)
	if err := s.start(); err != nil {
		s.report(err)
		return s.exit
	}
	// As with zkCli.sh the session outlives the shell, unless it is closed.
	defer func() {
		s.hideWatches.Store(true)
		s.zk.Abandon()
	}()
	if len(line) > 0 {
		s.run(line)
		return s.exit
	}
	s.interact()
	return s.exit
}

// lockedWriter lets events and commands share an output.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (s *Shell) start() error {
	ms, err := strconv.ParseInt(s.timeout, 10, 32)
	if err != nil {
		return fmt.Errorf("-timeout %s: not a number of milliseconds", s.timeout)
	}
	s.options = client.Options{Timeout: time.Duration(ms) * time.Millisecond, ReadOnly: s.readOnly, OnEvent: s.event}
	if err := s.configure(); err != nil {
		return err
	}
	return s.connect(s.server)
}

// connect leaves the server, if there is one, for another.
func (s *Shell) connect(host string) error {
	if _, _, err := client.ParseServers(host); err != nil {
		return fail("%v", err)
	}
	if s.zk != nil {
		s.zk.Close()
	}
	zk, err := client.New(host, s.options)
	if err != nil {
		return fail("%v", err)
	}
	s.zk, s.host = zk, host
	if !s.wait {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Timeout)
	defer cancel()
	if s.zk.WaitConnected(ctx) != nil {
		s.zk.Close()
		return errNoServer
	}
	return nil
}

// event prints what a watch has seen.
func (s *Shell) event(e client.Event) {
	if !s.hideWatches.Load() {
		fmt.Fprintf(s.Out, "\nWATCHER::\n\n%v\n", e)
	}
}

// print writes to standard output, after the events that came before.
func (s *Shell) print(format string, args ...any) {
	if s.zk != nil {
		s.zk.Settle()
	}
	fmt.Fprintf(s.Out, format, args...)
}

// complain writes a line to standard error.
func (s *Shell) complain(text string) { fmt.Fprintln(s.Err, text) }

// alive reports whether the client can still do anything.
func (s *Shell) alive() bool { return !s.zk.State().Final() }

var promptStates = map[client.State]string{
	client.StateConnecting: "CONNECTING", client.StateDisconnected: "CONNECTING", client.StateConnected: "CONNECTED",
	client.StateConnectedReadOnly: "CONNECTEDREADONLY", client.StateAuthFailed: "AUTH_FAILED", client.StateExpired: "CLOSED", client.StateClosed: "CLOSED",
}

// promptPatience is how long the prompt waits for a new connection, so that it shows CONNECTED where it can.
const promptPatience = 500 * time.Millisecond

func (s *Shell) prompt() string {
	if s.zk.State() == client.StateConnecting {
		ctx, cancel := context.WithTimeout(context.Background(), promptPatience)
		s.zk.WaitConnected(ctx)
		cancel()
	}
	s.zk.Settle()
	return fmt.Sprintf("[zk: %s(%s) %d] ", s.host, promptStates[s.zk.State()], len(s.lines))
}

// interact reads and runs lines.
func (s *Shell) interact() {
	s.print("Welcome to ZooKeeper!\nJLine support is enabled\n")
	readLine, done := s.lineReader()
	defer done()
	for {
		line, err := readLine(s.prompt())
		if err != nil {
			if err != io.EOF {
				s.complain(err.Error())
			}
			s.print("JLine support is disabled\n")
			return
		}
		line = unescape(line)
		if line == "" {
			continue
		}
		words := splitLine(line)
		s.lines = append(s.lines, line)
		if s.runInterruptibly(words) == errQuit {
			return
		}
		s.zk.Settle()
	}
}

func (s *Shell) runInterruptibly(words []string) error {
	if s.interruption {
		before := s.ctx
		ctx, stop := signal.NotifyContext(before, os.Interrupt)
		defer func() {
			stop()
			s.ctx = before
		}()
		s.ctx = ctx
	}
	return s.run(words)
}

// maxLine is the longest line of a script in bytes.
const maxLine = 64 << 20

// lineReader returns a function that shows a prompt and reads a line, and one to call at the end.
func (s *Shell) lineReader() (read func(prompt string) (string, error), done func()) {
	if f, ok := s.In.(*os.File); ok && isTerminal(f) {
		return s.terminal()
	}
	lines := bufio.NewScanner(s.In)
	lines.Buffer(nil, maxLine)
	read = func(prompt string) (string, error) {
		fmt.Fprint(s.Out, prompt)
		if !lines.Scan() {
			return "", cmp.Or(lines.Err(), io.EOF)
		}
		return lines.Text(), nil
	}
	return read, func() {}
}

// run runs a command, reports its error and sets the exit code.
func (s *Shell) run(words []string) error {
	err := s.dispatch(words)
	switch err {
	case errQuit:
	case nil:
		s.exit = exitOK
	default:
		s.report(err)
	}
	return err
}

// report prints an error and sets the exit code.
func (s *Shell) report(err error) {
	s.exit = exitError
	if f := (*failure)(nil); errors.As(err, &f) {
		s.exit = f.code
		if cause := s.zk.LastError(); f.lost && cause != nil { // as zkCli.sh logs it
			s.complain("WARN " + cause.Error())
		}
	}
	s.complain(err.Error())
}

func (s *Shell) dispatch(words []string) error {
	if len(words) == 0 {
		s.usage()
		return fail("No command entered")
	}
	if local, ok := locals[words[0]]; ok {
		err := local.run(s, words)
		// Even after such a command zkCli.sh says that it has no connection.
		if err == nil && !s.alive() {
			s.print("Not connected\n")
		}
		return err
	}
	cmd, ok := commands[words[0]]
	if !ok {
		s.usage()
		return &failure{text: "Command not found: Command not found " + words[0], code: exitNotFound}
	}
	if !s.alive() {
		s.print("Not connected\n")
		return nil
	}
	in, err := cmd.parse(s, words)
	if err != nil {
		return err
	}
	if len(in.args)-1 < cmd.min {
		return fail("%s", cmd.synopsis(words[0]))
	}
	return cmd.run(s, in)
}

// usage prints all commands.
func (s *Shell) usage() {
	s.complain("ZooKeeper -server host:port -client-configuration properties-file cmd args")
	for _, name := range commandNames() {
		s.complain("\t" + name + " " + commands[name].usage + locals[name].usage)
	}
}

func commandNames() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range maps.Keys(locals) {
			if !yield(name) {
				return
			}
		}
		for name := range maps.Keys(commands) {
			if !yield(name) {
				return
			}
		}
	})
}

// explanations has a row for each error code for which the shell has words of its own; %s is the path.
var explanations = map[jute.Code]string{
	jute.ErrNoNode:                  "Node does not exist: %s",
	jute.ErrNoChildrenForEphemerals: "Ephemerals cannot have children: %s",
	jute.ErrNodeExists:              "Node already exists: %s",
	jute.ErrNotEmpty:                "Node not empty: %s",
	jute.ErrNotReadOnly:             "Not a read-only call: %s",
	jute.ErrInvalidACL:              "Acl is not valid : %s",
	jute.ErrNoAuth:                  "Insufficient permission : %s",
	jute.ErrBadArguments:            "Arguments are not valid : %s",
	jute.ErrBadVersion:              "version No is not valid : %s",
	jute.ErrQuotaExceeded:           "Quota has exceeded : %s",
	jute.ErrReconfigInProgress:      "Another reconfiguration is in progress -- concurrent reconfigs not supported (yet)",
	jute.ErrNewConfigNoQuorum: "No quorum of new config is connected and up-to-date with the leader of last commmitted config - " +
		"try invoking reconfiguration after new servers are connected and synced",
}

// noPath stands where Java has no path.
const noPath = "null"

// explain gives an error of the client its words in the shell; nil stays nil. The path can be noPath or empty.
func explain(err error, path string) error {
	var code jute.Code
	if !errors.As(err, &code) {
		return err
	}
	text, ok := explanations[code]
	switch {
	case !ok && (path == noPath || path == ""):
		text = code.Error()
	case !ok:
		text = code.Error() + " for " + path
	default:
		text = strings.ReplaceAll(text, "%s", path)
	}
	return &failure{text: text, code: exitError, lost: code == jute.ErrConnectionLoss}
}
