package crash

import (
	"errors"
	"fmt"
	"path"
	"sync"

	"quoll/client"
	"quoll/jute"
)

// observe reads every znode at or below the given ones, but not below those that skip names.
func observe(c *client.Client, roots []string, skip string) (map[string]seen, error) {
	all := map[string]seen{}
	for level := roots; len(level) > 0; {
		found, next, err := observeLevel(c, level)
		if err != nil {
			return nil, err
		}
		level = nil
		for p, s := range found {
			all[p] = s
			for _, name := range next[p] {
				if child := path.Join(p, name); child != skip {
					level = append(level, child)
				}
			}
		}
	}
	return all, nil
}

// observeLevel has all its requests under way at once.
func observeLevel(c *client.Client, level []string) (map[string]seen, map[string][]string, error) {
	found, children := make(map[string]seen, len(level)), make(map[string][]string, len(level))
	var mu sync.Mutex
	var errs []error
	var replies sync.WaitGroup
	ask := func(op jute.Op, path string, req client.Body, use func(d *jute.Decoder)) {
		replies.Add(1)
		err := c.Send(op, req, func(r client.Reply) {
			defer replies.Done()
			d := jute.NewDecoder(r.Body)
			mu.Lock()
			defer mu.Unlock()
			if r.Err == nil {
				use(&d)
			}
			if err := errors.Join(r.Err, d.Err()); err != nil {
				errs = append(errs, fmt.Errorf("%v %s: %w", op, path, err))
			}
		})
		if err != nil {
			replies.Done()
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		}
	}
	for _, path := range level {
		ask(jute.OpGetData, path, &jute.PathWatchRequest{Path: []byte(path)}, func(d *jute.Decoder) {
			var r jute.GetDataResponse
			r.Decode(d)
			found[path] = seen{data: r.Data, stat: r.Stat}
			if r.Data != nil {
				found[path] = seen{data: append([]byte{}, r.Data...), stat: r.Stat}
			}
		})
		ask(jute.OpGetACL, path, &jute.PathRequest{Path: []byte(path)}, func(d *jute.Decoder) {
			var r jute.GetACLResponse
			r.Decode(d)
			s := found[path]
			s.acl = r.ACL
			found[path] = s
		})
		ask(jute.OpGetChildren, path, &jute.PathWatchRequest{Path: []byte(path)}, func(d *jute.Decoder) {
			children[path] = d.Strings()
		})
	}
	replies.Wait()
	return found, children, errors.Join(errs...)
}
