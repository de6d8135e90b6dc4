package peer

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"quoll/client"
)

// Options describe a standalone server. The zero value is a server on a free port with an
// empty data directory.
type Options struct {
	// Dir is the dataDir, made if it is not there. Empty means a new one under Work. It is
	// never removed unless it lies under Work: a server of the other kind may start on it next.
	Dir string

	// Work is where zoo.cfg and the log go. Empty means a temporary directory that Close removes.
	Work string

	// Port is the client port; 0 means a free one.
	Port int

	// Config are further lines of zoo.cfg, key=value. They come after the lines written here,
	// and the last line of a key wins.
	Config []string

	// Flags are JVM flags, for example -Djute.maxbuffer=4194304. quoll gets them through
	// SERVER_JVMFLAGS and takes the -D ones.
	Flags []string

	// Heap is the -Xmx of the Java server; empty means 256m. quoll has no such limit.
	Heap string

	// member is set for the members of an ensemble.
	member bool

	// Env are further environment variables, NAME=value.
	Env []string

	// Binary is the quoll to start; empty means the one under test.
	Binary string
}

// Kind is a kind of server.
type Kind struct {
	Name  string // java or quoll
	Start func(Options) (*Server, error)
}

// Kinds are the servers that every test of a behaviour common to both ranges over, the control
// first.
var Kinds = []Kind{{"java", StartJava}, {"quoll", StartQuoll}}

// Server is a standalone server in a process of its own. Kill, Stop and Restart, PID and Log
// are those of its process; Start and Restart return when the server serves.
type Server struct {
	Process
	kind string
	addr string
	dir  string
	temp string // removed by Close, if not empty

	member bool // of an ensemble
}

// StartJava starts Apache ZooKeeper 3.9.5. The error wraps ErrMissing if it is not on this
// machine.
func StartJava(opts Options) (*Server, error) {
	cp, err := Classpath("zookeeper")
	if err != nil {
		return nil, err
	}
	heap := opts.Heap
	if heap == "" {
		heap = "256m"
	}
	return start("java", opts, func(s *Server, cfg string) {
		s.Args = append([]string{"java", "-Xmx" + heap}, opts.Flags...)
		s.Args = append(s.Args, "-cp", cp, "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg)
	})
}

// StartQuoll builds quoll and starts it with the same zoo.cfg that StartJava would write.
func StartQuoll(opts Options) (*Server, error) {
	bin, err := opts.Binary, error(nil)
	if bin == "" {
		bin, err = binary()
	}
	if err != nil {
		return nil, err
	}
	return start("quoll", opts, func(s *Server, cfg string) {
		s.Args = []string{bin, "server", cfg}
		s.Env = append(s.Env, "SERVER_JVMFLAGS="+strings.Join(opts.Flags, " "))
	})
}

func start(kind string, opts Options, command func(s *Server, cfg string)) (*Server, error) {
	s := &Server{kind: kind, member: opts.member}
	work := opts.Work
	if work == "" {
		temp, err := os.MkdirTemp("", "quoll-peer-")
		if err != nil {
			return nil, err
		}
		s.temp, work = temp, temp
	}
	if err := s.start(work, opts, command); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(work string, opts Options, command func(s *Server, cfg string)) error {
	work, err := filepath.Abs(work)
	if err != nil {
		return err
	}
	s.dir = opts.Dir
	if s.dir == "" {
		s.dir = filepath.Join(work, "data")
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	port := opts.Port
	if port == 0 {
		if port, err = FreePort(); err != nil {
			return err
		}
	}
	s.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	lines := append([]string{
		"tickTime=2000",
		"dataDir=" + s.dir,
		"clientPort=" + strconv.Itoa(port),
		"clientPortAddress=127.0.0.1",
		// Otherwise two servers on one machine would fight for port 8080.
		"admin.enableServer=false",
	}, opts.Config...)
	cfg := filepath.Join(work, s.kind+".cfg")
	if err := os.WriteFile(cfg, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	s.Env = opts.Env
	s.Process.Dir = work
	s.LogPath = filepath.Join(work, s.kind+".log")
	s.Ready = s.serving
	command(s, cfg)
	return s.Start()
}

// serving is nil once the server serves clients; a member of an ensemble does when it has a leader, and opens sessions.
func (s *Server) serving() error {
	// Short, because the Java server may leave a connection unanswered that comes while it starts.
	answer, err := s.fourLetter("srvr", time.Second)
	if err != nil {
		return err
	}
	if !strings.Contains(answer, "Mode: ") {
		return fmt.Errorf("srvr answers %q", answer)
	}
	if !s.member {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := client.Connect(ctx, s.addr, client.Options{})
	if err != nil {
		return err
	}
	return c.Close()
}

// FourLetter sends a four-letter word and returns the whole answer.
func (s *Server) FourLetter(word string) (string, error) {
	return s.fourLetter(word, 20*time.Second)
}

func (s *Server) fourLetter(word string, timeout time.Duration) (string, error) {
	return AskWord(s.addr, word, timeout)
}

// AskWord sends a four-letter word to any server and returns the whole answer.
func AskWord(addr, word string, timeout time.Duration) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	if _, err := conn.Write([]byte(word)); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// Kind is java or quoll.
func (s *Server) Kind() string { return s.kind }

// Addr is the client address, host:port.
func (s *Server) Addr() string { return s.addr }

// Dir is the absolute path of the dataDir.
func (s *Server) Dir() string { return s.dir }

// Close kills the server and removes the directory that was made for it, if any.
func (s *Server) Close() error {
	if err := s.Kill(); err != nil {
		return err
	}
	if s.temp == "" {
		return nil
	}
	return os.RemoveAll(s.temp)
}
