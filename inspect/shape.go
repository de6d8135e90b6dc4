package inspect

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"quoll/jute"
	"quoll/tree"
)

// shape is the tree of a snapshot without its data: paths and sizes.
type shape struct {
	noSink
	root  *shapeNode
	nodes map[string]*shapeNode // by path; the root is ""
}

type shapeNode struct {
	path     string
	size     int64
	children []*shapeNode // in the order of the file
	// Of a node and all below it, once totals has run: bytes of data, and how many are below it.
	bytes, below int64
}

func (s *shape) Node(path string, data []byte, _ int64, _ jute.StatPersisted) error {
	n := &shapeNode{path: path, size: int64(len(data))}
	if s.nodes[path] != nil {
		return fmt.Errorf("znode %q comes twice", path)
	}
	if path == tree.RootPath {
		s.root = n
	} else if parent := s.nodes[tree.ParentPath(path)]; parent != nil {
		parent.children = append(parent.children, n)
	} else {
		return fmt.Errorf("znode %q comes before its parent", path)
	}
	s.nodes[path] = n
	return nil
}

// shapeOf reads the shape of a snapshot.
func (o Options) shapeOf(name string) (*shape, error) {
	s := &shape{nodes: map[string]*shapeNode{}}
	if _, err := o.read(name, s); err != nil {
		return nil, err
	}
	// Without recursion: a tree may be as deep as it likes.
	order := []*shapeNode{s.root}
	for i := 0; i < len(order); i++ {
		order = append(order, order[i].children...)
	}
	for i := len(order) - 1; i >= 0; i-- {
		n := order[i]
		n.bytes += n.size
		for _, c := range n.children {
			n.bytes += c.bytes
			n.below += c.below + 1
		}
	}
	return s, nil
}

func (n *shapeNode) name() string { return n.path[strings.LastIndexByte(n.path, '/')+1:] }

// inHashOrder returns the children in the order in which Java's tools go through them.
func (n *shapeNode) inHashOrder() []*shapeNode {
	hashes := make([]uint32, len(n.children))
	for i, c := range n.children {
		hashes[i] = stringHash(c.name())
	}
	children := make([]*shapeNode, 0, len(n.children))
	for _, i := range hashOrder(hashes, 8) {
		children = append(children, n.children[i])
	}
	return children
}

// walk visits a node and those below it, children in hash order, and calls leave after the children of a node that has any.
func (n *shapeNode) walk(visit func(n *shapeNode, level int), leave func(n *shapeNode)) {
	type step struct {
		n     *shapeNode
		level int
		left  bool
	}
	for stack := []step{{n: n}}; len(stack) > 0; {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if top.left {
			leave(top.n)
			continue
		}
		visit(top.n, top.level)
		if len(top.n.children) == 0 {
			continue
		}
		stack = append(stack, step{n: top.n, left: true})
		children := top.n.inHashOrder()
		for i := len(children) - 1; i >= 0; i-- {
			stack = append(stack, step{n: children[i], level: top.level + 1})
		}
	}
}

// PrintSnapshotJSON prints the znodes of a snapshot and the lengths of their data in the format of ncdu, as SnapshotFormatter does with -json. It
// holds all paths. Now is the time stamp in the output.
func PrintSnapshotJSON(w io.Writer, name string, now time.Time, o Options) error {
	s, err := o.shapeOf(name)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `[1,0,{"progname":"SnapshotFormatter.java","progver":"0.01","timestamp":%d}`, now.UnixMilli())
	inode := 1000
	s.root.walk(func(n *shapeNode, _ int) {
		inode++
		name := n.name()
		if n == s.root {
			name = "/"
		}
		out.WriteByte(',')
		if len(n.children) > 0 {
			out.WriteByte('[')
		}
		fmt.Fprintf(out, `{"name":"%[1]s","asize":%[2]d,"dsize":%[2]d,"dev":0,"ino":%[3]d}`, quoteJSON(name), n.size, inode)
	}, func(*shapeNode) { out.WriteByte(']') })
	out.WriteByte(']')
	return out.Flush()
}

// quoteJSON escapes what JSON does not allow in a string, as Jackson's JsonStringEncoder does.
func quoteJSON(s string) []byte {
	short := map[rune]byte{'"': '"', '\\': '\\', '\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r'}
	var b []byte
	for _, r := range s {
		if c, ok := short[r]; ok {
			b = append(b, '\\', c)
		} else if r < ' ' {
			b = fmt.Appendf(b, `\u%04X`, r)
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// Summarize prints how many znodes and bytes of data are below a znode and each of its descendants that has children, as
// SnapshotRecursiveSummary does: down to so many levels below the first one, 0 for all of them. It holds all paths.
func Summarize(w io.Writer, name, path string, depth int, o Options) error {
	s, err := o.shapeOf(name)
	if err != nil {
		return err
	}
	start := s.nodes[path]
	if path == "/" {
		start = s.root
	}
	if start == nil {
		return fmt.Errorf("snapshot %s has no znode %s", name, path)
	}
	out := bufio.NewWriter(w)
	start.walk(func(n *shapeNode, level int) {
		if len(n.children) == 0 || depth != 0 && level > depth {
			return
		}
		shown := n.path
		if n == s.root {
			shown = path
		}
		tab := strings.Repeat("--", level)
		fmt.Fprintf(out, "%[1]s %[2]s\n%[1]s   children: %[3]d\n%[1]s   data: %[4]d\n", tab, shown, n.below, n.bytes)
	}, func(*shapeNode) {})
	out.WriteByte('\n')
	return out.Flush()
}
