package admin

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"quoll/config"
	"quoll/ratelog"
	"quoll/server"
	"quoll/tlsconf"
)

const answerBuffer = 32 << 10

// Options say what to serve, and where.
type Options struct {
	Config *config.Config
	Server *server.Server
	// Logger gets what an operator should know.
	Logger *slog.Logger
}

// Server is a running AdminServer.
type Server struct {
	Options
	*endpoint
	commands map[string]*server.Command // by each name
	listing  []byte
	// turn is the server's: one long answer is made at a time.
	turn      server.Room
	streams   server.Room
	snapshots limiter
	restores  limiter
	edits     limiter
	looks     server.Room
	page      http.Handler    // the console; nil for none
	rated     *ratelog.Logger // of what clients can bring about as often as they like
}

// Start opens the port and serves it. Its errors name the key that is wrong.
func Start(o Options) (*Server, error) {
	c := o.Config
	a := &Server{
		Options: o, commands: map[string]*server.Command{}, turn: o.Server.Turn(), streams: make(server.Room, maxStreams), rated: ratelog.New(o.Logger),
		snapshots: limiter{interval: c.AdminRateLimiterInterval / 1000}, // as ZooKeeper's, which takes the number for microseconds here
		restores:  limiter{interval: c.AdminRateLimiterInterval},
		edits:     limiter{interval: c.AdminRateLimiterInterval / 1000},
	}
	if c.AdminConsole != config.ConsoleOff {
		a.page = a.console()
	}
	var names []string
	for _, command := range server.Commands() {
		names = append(names, command.Names[0])
		for _, name := range command.Names {
			a.commands[name] = command
		}
	}
	slices.Sort(names)
	for _, name := range names {
		a.listing = fmt.Appendf(a.listing, "<a href=\"%s\">%s</a>\n<br/>\n", html.EscapeString(c.AdminCommandURL+"/"+name), name)
	}
	stores, err := readStores(c, o.Logger)
	if err != nil {
		return nil, err
	}
	var configure func() *tls.Config
	if stores != nil {
		configure = func() *tls.Config {
			own := stores.Config().Clone()
			own.NextProtos = []string{"http/1.1"}
			return own
		}
	}
	a.endpoint, err = serve(settings{
		keys: "admin.serverAddress, admin.serverPort", host: c.AdminAddress, number: c.AdminPort, idle: c.AdminIdleTimeout, tls: configure,
		unified: !c.AdminForceHTTPS, insecure: o.Server.Metrics().InsecureAdmin.Inc, handler: a.handle, log: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	if stores != nil {
		a.endpoint.port.wg.Go(func() {
			<-a.endpoint.port.closed
			stores.Close()
		})
	}
	if stores != nil && c.QuorumCertReload {
		a.endpoint.port.wg.Go(func() { stores.Watch(a.endpoint.port.closed, o.Logger) })
	}
	o.Logger.Info(fmt.Sprintf("Started AdminServer on address %s, port %d and command URL %s", c.AdminAddress, c.AdminPort, c.AdminCommandURL), "listening", a.Addr())
	return a, nil
}

// Check reads the stores that the settings name for HTTPS, and says of them what a start says. The error is that of the start.
func Check(c *config.Config, log *slog.Logger) error {
	_, err := readStores(c, log)
	return err
}

// readStores reads the stores for HTTPS; without it there are none. The error is a config.Error.
func readStores(c *config.Config, log *slog.Logger) (*tlsconf.Server, error) {
	if !c.AdminEnabled || !c.AdminPortUnification && !c.AdminForceHTTPS {
		return nil, nil
	}
	stores := c.QuorumTLS
	stores.Protocol, stores.EnabledProtocols, stores.CipherSuites = "", []string{"TLSv1.2", "TLSv1.3"}, nil // those keys are for the quorum's ports only
	// So are ssl.quorum.crl and ssl.quorum.ocsp.
	stores.CRL, stores.OCSP = c.AdminCheckRevocation, false
	stores.ClientAuth = "none"
	if c.AdminNeedClientAuth {
		stores.ClientAuth = "need"
	}
	material, err := tlsconf.NewServer("ssl.quorum.", stores, log)
	if err != nil {
		return nil, &config.Error{Err: fmt.Errorf("the AdminServer needs the stores of the quorum's TLS for admin.forceHttps and admin.portUnification: %w", err)}
	}
	for _, note := range material.Notes() {
		log.Warn("AdminServer: " + note)
	}
	return material, nil
}

// handle answers a request.
func (a *Server) handle(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil {
		w.Header().Set("Strict-Transport-Security", "max-age=86400; includeSubDomains")
	}
	path, ok := strings.CutPrefix(r.URL.Path, a.Config.AdminCommandURL)
	switch {
	case ok && (path == "" || path[0] == '/'):
	case a.page != nil && strings.HasPrefix(r.URL.Path+"/", consoleURL):
		a.page.ServeHTTP(w, r)
		return
	default:
		http.NotFound(w, r)
		return
	}
	path, _, _ = strings.Cut(path, ";") // parameters of the path
	name := strings.TrimPrefix(path, "/")
	post := false
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		post = true
	case http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, POST, TRACE, OPTIONS")
		return
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if name == "" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if a.page != nil {
			w.Header().Set("Link", "<"+consoleURL+`>; rel="alternate"; title="console"`) // the list itself is ZooKeeper's to the byte
		}
		_, _ = w.Write(a.listing)
		return
	}
	a.run(w, r, name, post)
}

// run answers a command (Commands.runCommand).
func (a *Server) run(w http.ResponseWriter, r *http.Request, name string, post bool) {
	command := a.commands[name]
	switch {
	case command == nil:
		a.fail(w, http.StatusOK, name, "Unknown command: "+name)
		return
	case !command.Always && !a.Server.Active():
		a.fail(w, http.StatusOK, name, server.NotServing)
		return
	case command.Guarded && !a.admit(w, r, name):
		return
	case post != command.Post:
		allowed := "GET, HEAD"
		if command.Post {
			allowed = "POST"
		}
		w.Header().Set("Allow", allowed)
		a.fail(w, http.StatusMethodNotAllowed, command.Names[0], "the command needs "+allowed)
		return
	case command.Guarded && post:
		a.restore(w, r)
		return
	case command.Guarded:
		a.snapshot(w, r)
		return
	}
	if command.Heavy {
		if !a.turn.Enter(r.Context().Done()) {
			w.Header().Set("Retry-After", "10")
			a.fail(w, http.StatusServiceUnavailable, command.Names[0], "other long answers are being made")
			return
		}
		defer a.turn.Leave()
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
	}
	answer(w, http.StatusOK, command.Names[0], a.Server.Facts(command, r.URL.Query()))
}

// fail answers with an error, which may be one that only the status tells.
func (a *Server) fail(w http.ResponseWriter, status int, name, text string) {
	if text == "" {
		answer(w, status, name, nil)
		return
	}
	encode(w, status, server.Facts{{Key: "command", Value: name}, {Key: server.ErrorKey, Value: text}})
}

// answer writes facts, and behind them the command and that there was no error, unless the facts have one (CommandResponse.toMap).
func answer(w http.ResponseWriter, status int, name string, facts server.Facts) {
	failed := slices.ContainsFunc(facts, func(f server.Fact) bool { return f.Key == server.ErrorKey })
	facts = append(facts, server.Fact{Key: "command", Value: name})
	if !failed {
		facts = append(facts, server.Fact{Key: server.ErrorKey})
	}
	encode(w, status, facts)
}

func encode(w http.ResponseWriter, status int, facts server.Facts) {
	w.Header().Set("Content-Type", "application/json")
	out := &answerWriter{w: w, status: status}
	b := bufio.NewWriterSize(out, answerBuffer)
	encoder{b}.value(facts, 0)
	if !out.begun {
		w.Header().Set("Content-Length", strconv.Itoa(b.Buffered()))
	}
	_ = b.Flush()
}

// answerWriter sends the headers when there is something behind them, since the length of what fits into the buffer is one.
type answerWriter struct {
	w      io.Writer
	status int
	begun  bool
}

func (o *answerWriter) Write(p []byte) (int, error) {
	if !o.begun {
		o.begun = true
		o.w.(http.ResponseWriter).WriteHeader(o.status)
	}
	return o.w.Write(p)
}
