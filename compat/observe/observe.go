// Package observe reads all that a client can see of a server's znodes.
package observe

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"

	"quoll/client"
	"quoll/jute"
)

// Znode is what a server shows of a znode.
type Znode struct {
	Data []byte
	Stat jute.Stat
	ACL  []jute.ACL
}

// Equal reports whether two znodes show the same; null and empty data differ.
func (z Znode) Equal(o Znode) bool {
	return bytes.Equal(z.Data, o.Data) && (z.Data == nil) == (o.Data == nil) && z.Stat == o.Stat && slices.Equal(z.ACL, o.ACL)
}

func (z Znode) String() string { return fmt.Sprintf("%.40q %+v %v", z.Data, z.Stat, z.ACL) }

// Tree reads every znode at or below roots, but not the one that skip names nor what is below it.
func Tree(c *client.Client, roots []string, skip string) (map[string]Znode, error) {
	all := map[string]Znode{}
	for todo := roots; len(todo) > 0; {
		found, next, err := level(c, todo)
		if err != nil {
			return nil, err
		}
		todo = nil
		for p, s := range found {
			all[p] = s
			for _, name := range next[p] {
				if child := path.Join(p, name); child != skip {
					todo = append(todo, child)
				}
			}
		}
	}
	return all, nil
}

// level reads the znodes of one level and the names of their children. It has all its requests under way at once.
func level(c *client.Client, paths []string) (map[string]Znode, map[string][]string, error) {
	found, children := make(map[string]Znode, len(paths)), make(map[string][]string, len(paths))
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
	for _, path := range paths {
		ask(jute.OpGetData, path, &jute.PathWatchRequest{Path: []byte(path)}, func(d *jute.Decoder) {
			var r jute.GetDataResponse
			r.Decode(d)
			found[path] = Znode{Data: r.Data, Stat: r.Stat}
			if r.Data != nil {
				found[path] = Znode{Data: append([]byte{}, r.Data...), Stat: r.Stat}
			}
		})
		ask(jute.OpGetACL, path, &jute.PathRequest{Path: []byte(path)}, func(d *jute.Decoder) {
			var r jute.GetACLResponse
			r.Decode(d)
			s := found[path]
			s.ACL = r.ACL
			found[path] = s
		})
		ask(jute.OpGetChildren, path, &jute.PathWatchRequest{Path: []byte(path)}, func(d *jute.Decoder) {
			children[path] = d.Strings()
		})
	}
	replies.Wait()
	return found, children, errors.Join(errs...)
}
