package admin

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"quoll/client"
	"quoll/compat/peer"
	"quoll/jute"
)

// TestSnapshotsAreExchanged has each of the two restored with a snapshot that the other one streams.
func TestSnapshotsAreExchanged(t *testing.T) {
	peer.RequireJVM(t)
	javaAdmin, java := restorable(t, peer.Java, peer.Options{})
	quollAdmin, quoll := restorable(t, peer.Quoll, peer.Options{})
	set(t, java, "/from", "java")
	set(t, quoll, "/from", "quoll")
	ofJava, ofQuoll := snapshot(t, javaAdmin), snapshot(t, quollAdmin)
	restore(t, javaAdmin, ofQuoll)
	restore(t, quollAdmin, ofJava)
	check(t, java, "/from", "quoll")
	check(t, quoll, "/from", "java")
}

// TestRestoreIsOnTheDisk kills quoll right behind a restore and a write: Apache ZooKeeper finds the restored state on the directory, with that write, and so does quoll.
func TestRestoreIsOnTheDisk(t *testing.T) {
	peer.RequireJVM(t)
	dir := t.TempDir()
	admin, s := restorable(t, peer.Quoll, peer.Options{Dir: dir})
	set(t, s, "/a", "before")
	earlier := snapshot(t, admin)
	for i := range 100 {
		set(t, s, "/a", fmt.Sprint("after ", i))
	}
	set(t, s, "/gone", "")
	restore(t, admin, earlier)
	set(t, s, "/new", "1")
	must(t, s.Kill())
	look := func(s *peer.Server) {
		check(t, s, "/a", "before")
		check(t, s, "/gone", "nothing")
		check(t, s, "/new", "1")
	}
	java := peer.Java(t, peer.Options{Dir: dir})
	look(java)
	set(t, java, "/java", "1")
	must(t, java.Kill())
	must(t, s.Restart())
	look(s)
	check(t, s, "/java", "1")
}

// TestRestoreOfAMember: ZooKeeper restores the one member that is asked, which is another state machine than the others from then on. quoll refuses, and says what to do.
func TestRestoreOfAMember(t *testing.T) {
	peer.RequireJVM(t)
	for _, kind := range peer.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			var mu sync.Mutex
			admins := map[string]string{} // by the addresses for clients
			member := peer.Kind{Name: kind.Name, Start: func(o peer.Options) (*peer.Server, error) {
				port, err := peer.FreePort()
				if err != nil {
					return nil, err
				}
				o.Config = append(o.Config, "admin.enableServer=true", "admin.serverAddress=127.0.0.1", fmt.Sprint("admin.serverPort=", port))
				s, err := kind.Start(o)
				if err == nil {
					mu.Lock()
					admins[s.Addr()] = fmt.Sprintf("http://127.0.0.1:%d/commands/", port)
					mu.Unlock()
				}
				return s, err
			}}
			servers := peer.Ensemble(t, peer.Options{}, member, member, member)
			set(t, servers[0], "/a", "before")
			one := admins[servers[0].Addr()]
			connected(t, servers[0], func(c *client.Client) { must(t, c.Sync(t.Context(), "/a")) })
			earlier := snapshot(t, one)
			set(t, servers[0], "/a", "after")
			status, answer := ask(t, "POST", one+"restore", earlier)
			refuses := status == http.StatusServiceUnavailable && bytes.Contains(answer, []byte("quoll restore"))
			if kind.Name == "java" && status != http.StatusOK || kind.Name == "quoll" && !refuses {
				t.Errorf("%d %s", status, answer)
			}
			for i, s := range servers {
				want := "after"
				if i == 0 && kind.Name == "java" {
					want = "before"
				}
				connected(t, s, func(c *client.Client) { must(t, c.Sync(t.Context(), "/a")) })
				check(t, s, "/a", want)
			}
		})
	}
}

// restorable starts a server with an AdminServer, whose address it returns.
func restorable(t *testing.T, start func(testing.TB, peer.Options) *peer.Server, o peer.Options) (string, *peer.Server) {
	t.Helper()
	port, err := peer.FreePort()
	must(t, err)
	o.Config = []string{"admin.enableServer=true", "admin.serverAddress=127.0.0.1", fmt.Sprint("admin.serverPort=", port)}
	return fmt.Sprintf("http://127.0.0.1:%d/commands/", port), start(t, o)
}

func request(t *testing.T, method, url string, body []byte) []byte {
	t.Helper()
	status, answer := ask(t, method, url, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %.500s", method, url, status, answer)
	}
	return answer
}

func ask(t *testing.T, method, url string, body []byte) (status int, answer []byte) {
	t.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	must(t, err)
	r.Header.Set("Authorization", "digest a:b")
	response, err := http.DefaultClient.Do(r)
	must(t, err)
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	must(t, err)
	return response.StatusCode, answer
}

func snapshot(t *testing.T, admin string) []byte {
	t.Helper()
	return request(t, "GET", admin+"snapshot", nil)
}

func restore(t *testing.T, admin string, snapshot []byte) {
	t.Helper()
	request(t, "POST", admin+"restore", snapshot)
}

func connected(t *testing.T, s *peer.Server, do func(*client.Client)) {
	t.Helper()
	c, err := client.Connect(t.Context(), s.Addr(), client.Options{Timeout: patience})
	must(t, err)
	defer c.Close()
	do(c)
}

func set(t *testing.T, s *peer.Server, path, data string) {
	t.Helper()
	connected(t, s, func(c *client.Client) {
		if _, err := c.Exists(t.Context(), path, false); err != nil {
			_, err := c.Create(t.Context(), path, []byte(data), client.OpenACL, jute.ModePersistent)
			must(t, err)
			return
		}
		_, err := c.Set(t.Context(), path, []byte(data), -1)
		must(t, err)
	})
}

func check(t *testing.T, s *peer.Server, path, want string) {
	t.Helper()
	connected(t, s, func(c *client.Client) {
		got, _, err := c.Get(t.Context(), path, false)
		if err != nil {
			got = []byte("nothing")
		}
		if string(got) != want {
			t.Errorf("%s at %s has %q, not %q (%v)", path, s.Kind(), got, want, err)
		}
	})
}
