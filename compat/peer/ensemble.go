package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// StartEnsemble starts one server of each of the kinds as the members 1, 2 and so on of one ensemble, and returns when all of
// them serve. opts.Work must be given: member N has its directory there under that number. opts.Dir and opts.Port are not
// looked at. On an error no server is left.
func StartEnsemble(opts Options, kinds ...Kind) ([]*Server, error) {
	config := []string{"initLimit=10", "syncLimit=5"}
	for i := range kinds {
		var ports [2]int
		for j := range ports {
			var err error
			if ports[j], err = FreePort(); err != nil {
				return nil, err
			}
		}
		config = append(config, fmt.Sprintf("server.%d=127.0.0.1:%d:%d", i+1, ports[0], ports[1]))
	}
	servers, errs := make([]*Server, len(kinds)), make([]error, len(kinds))
	var up sync.WaitGroup
	for i, kind := range kinds {
		if kind.Name == "java" {
			// A member whose program is not there would be waited for by all others.
			if _, err := Classpath("zookeeper"); err != nil {
				return nil, fmt.Errorf("member %d: %w", i+1, err)
			}
		}
	}
	for i, kind := range kinds {
		// Together, since none serves before a quorum is there.
		up.Go(func() {
			o := opts
			o.Work = filepath.Join(opts.Work, strconv.Itoa(i+1))
			o.Dir, o.Port, o.member = filepath.Join(o.Work, "data"), 0, true
			o.Config = append(config[:len(config):len(config)], opts.Config...)
			if errs[i] = os.MkdirAll(o.Dir, 0o755); errs[i] != nil {
				return
			}
			if errs[i] = os.WriteFile(filepath.Join(o.Dir, "myid"), fmt.Appendln(nil, i+1), 0o644); errs[i] != nil {
				return
			}
			if servers[i], errs[i] = kind.Start(o); errs[i] != nil {
				errs[i] = fmt.Errorf("member %d: %w", i+1, errs[i])
			}
		})
	}
	up.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, s := range servers {
			if s != nil {
				err = errors.Join(err, s.Close())
			}
		}
		return nil, err
	}
	return servers, nil
}

// Ensemble is StartEnsemble for a test, with the promises that Java makes of one server.
func Ensemble(t testing.TB, opts Options, kinds ...Kind) []*Server {
	t.Helper()
	if opts.Work == "" {
		opts.Work = t.TempDir()
	}
	servers, err := StartEnsemble(opts, kinds...)
	Check(t, err)
	for i, s := range servers {
		t.Cleanup(func() { finish(t, fmt.Sprintf("member %d, %s,", i+1, s.kind), s) })
	}
	return servers
}
