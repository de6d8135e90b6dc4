package admin

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"time"

	"quoll/client"
	"quoll/config"
	"quoll/jute"
	"quoll/server"
)

const (
	consoleURL = "/console/"
	// consoleHeader is on each request of the page that changes something. No other site's page can send it: a browser would ask this server first, which does not say yes.
	consoleHeader = "X-Quoll-Console"
	editTime      = 10 * time.Second // that a change may take
	maxLooks      = 2                // walks through the children of a znode at a time
)

//go:embed console
var consoleFiles embed.FS

// console makes the handler of the console: its page, which is the same for everybody and asks for nothing, and what the page asks for.
func (a *Server) console() http.Handler {
	mux := http.NewServeMux()
	page, err := fs.Sub(consoleFiles, "console")
	if err != nil {
		panic(err) // of the directory's name
	}
	mux.Handle("GET "+consoleURL, http.StripPrefix(consoleURL, http.FileServerFS(page)))
	a.looks = make(server.Room, maxLooks)
	mux.HandleFunc("GET "+consoleURL+"api/children", a.visited(func(v *server.Visitor, r *http.Request) (server.Facts, error) {
		if !a.looks.Enter(r.Context().Done()) {
			return nil, errBusy
		}
		defer a.looks.Leave()
		q := r.URL.Query()
		return v.Children(q.Get("path"), q.Get("after"), q.Get("contains"))
	}))
	mux.HandleFunc("GET "+consoleURL+"api/node", a.visited(func(v *server.Visitor, r *http.Request) (server.Facts, error) {
		return v.Node(r.URL.Query().Get("path"))
	}))
	mux.HandleFunc("GET "+consoleURL+"api/who", a.visited(func(v *server.Visitor, r *http.Request) (server.Facts, error) {
		return server.Facts{{Key: "ids", Value: v.Identities()}, {Key: "edit", Value: a.Config.AdminConsole == config.ConsoleEdit}}, nil
	}))
	for name, command := range server.ConsoleFacts {
		mux.HandleFunc("GET "+consoleURL+"api/"+name, a.visited(func(_ *server.Visitor, r *http.Request) (server.Facts, error) {
			if command.Heavy {
				if !a.turn.Enter(r.Context().Done()) {
					return nil, errBusy
				}
				defer a.turn.Leave()
			}
			return a.Server.Facts(command, r.URL.Query()), nil
		}))
	}
	for name, change := range changes {
		mux.HandleFunc("POST "+consoleURL+"api/"+name, a.editing(change))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

var errBusy = errors.New("other long answers are being made")

// statuses are those of errors; any other is one of the server.
var statuses = map[error]int{
	jute.ErrNoNode: http.StatusNotFound, jute.ErrNoAuth: http.StatusForbidden, jute.ErrBadVersion: http.StatusConflict, jute.ErrNodeExists: http.StatusConflict,
	jute.ErrNotEmpty: http.StatusConflict, jute.ErrBadArguments: http.StatusBadRequest, jute.ErrInvalidACL: http.StatusBadRequest,
	jute.ErrNoChildrenForEphemerals: http.StatusBadRequest, jute.ErrQuotaExceeded: http.StatusInsufficientStorage, jute.ErrConnectionLoss: http.StatusServiceUnavailable,
	errBusy: http.StatusServiceUnavailable, context.DeadlineExceeded: http.StatusServiceUnavailable,
}

// told answers with facts or an error.
func (a *Server) told(w http.ResponseWriter, r *http.Request, facts server.Facts, err error) {
	name := r.URL.Path[len(consoleURL+"api/"):]
	if err == nil {
		answer(w, http.StatusOK, name, facts)
		return
	}
	status, text := http.StatusInternalServerError, err.Error()
	for of, code := range statuses {
		if errors.Is(err, of) {
			status = code
		}
	}
	a.fail(w, status, name, text)
}

// visited answers with what a visitor is told.
func (a *Server) visited(tell func(*server.Visitor, *http.Request) (server.Facts, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if v := a.visitor(w, r); v != nil {
			facts, err := tell(v, r)
			a.told(w, r, facts, err)
		}
	}
}

// visitor is who asks; nil if that is answered already. It is somebody who may take a snapshot, with which all of the tree could be had: the console opens no other way to it.
func (a *Server) visitor(w http.ResponseWriter, r *http.Request) (v *server.Visitor) {
	a.identify(w, r, "console", func(credentials string) (err error) {
		v, err = a.Server.Visitor(credentials, r.RemoteAddr, r.TLS)
		return err
	})
	return v
}

// change is what the page sends to have something changed.
type change struct {
	Path string
	// Data is base64 in JSON; a null is null data.
	Data    []byte
	Version int32
	// Mode is persistent, sequential or container, and ACL world or auth: who may do everything with a new znode, everybody or who makes it.
	Mode, ACL string
}

// changes are what can be done to a znode. Each returns its path.
var changes = map[string]func(context.Context, *client.Client, *change) (string, error){
	"create": func(ctx context.Context, c *client.Client, ch *change) (string, error) {
		mode, known := map[string]jute.CreateMode{"persistent": jute.ModePersistent, "sequential": jute.ModePersistentSequential, "container": jute.ModeContainer}[ch.Mode]
		acl, listed := map[string][]jute.ACL{"world": client.OpenACL, "auth": {{Perms: jute.PermAll, Scheme: "auth"}}}[ch.ACL]
		if !known || !listed {
			return "", jute.ErrBadArguments
		}
		return c.Create(ctx, ch.Path, ch.Data, acl, mode)
	},
	"set": func(ctx context.Context, c *client.Client, ch *change) (string, error) {
		_, err := c.Set(ctx, ch.Path, ch.Data, ch.Version)
		return ch.Path, err
	},
	"delete": func(ctx context.Context, c *client.Client, ch *change) (string, error) {
		return ch.Path, c.Delete(ctx, ch.Path, ch.Version)
	},
}

// editing answers a change, which is that of a client: it has a session for as long as it takes.
func (a *Server) editing(do func(context.Context, *client.Client, *change) (string, error)) http.HandlerFunc {
	sameOrigin := http.NewCrossOriginProtection()
	return func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, text string) { a.fail(w, status, "console", text) }
		if a.Config.AdminConsole != config.ConsoleEdit {
			refuse(http.StatusForbidden, "admin.console=edit would allow it")
			return
		}
		if err := sameOrigin.Check(r); err != nil || r.Header.Get(consoleHeader) == "" {
			refuse(http.StatusForbidden, "only the console's own page may ask for it")
			return
		}
		v := a.visitor(w, r)
		if v == nil {
			return
		}
		if !a.edits.allow() {
			refuse(http.StatusTooManyRequests, "too soon after another change")
			return
		}
		var ch change
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 2*int64(a.Config.JuteMaxBuffer)+headerLimit)).Decode(&ch); err != nil {
			refuse(http.StatusBadRequest, "the change cannot be read")
			return
		}
		if err := client.ValidatePath(ch.Path); err != nil {
			refuse(http.StatusBadRequest, err.Error())
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), editTime)
		defer cancel()
		c, err := client.Connect(ctx, "console", client.Options{Timeout: editTime, Dial: func(context.Context, string) (net.Conn, error) { return v.Connect(), nil }})
		if err != nil {
			a.told(w, r, nil, jute.ErrConnectionLoss)
			return
		}
		defer c.Close()
		path, err := do(ctx, c, &ch)
		a.told(w, r, server.Facts{{Key: "path", Value: path}}, err)
	}
}
