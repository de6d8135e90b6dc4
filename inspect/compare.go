package inspect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Comparison says which two snapshots to compare, and how.
type Comparison struct {
	Left, Right string
	// Bytes and Nodes are by how much a znode must differ to be printed: by more bytes of data in it and below it, or by more znodes below it.
	Bytes, Nodes int64
	// Debug prints every step.
	Debug bool
	// Input, if not nil, is where an operator says what to see next, a line at a time: nothing for the next layer, a number for the layer of
	// that depth, a path for what is right below it.
	Input io.Reader
}

// CompareSnapshots prints the znodes that differ in size or are in one of two snapshots alone, as Java's SnapshotComparer does. It holds all paths
// of both.
func CompareSnapshots(w io.Writer, c Comparison, o Options) error {
	out := bufio.NewWriter(w)
	cmp := comparer{Comparison: c, w: out}
	err := cmp.run(o)
	return errors.Join(err, out.Flush())
}

type comparer struct {
	Comparison
	w           *bufio.Writer
	left, right *layers
}

// layers are the znodes of a snapshot by their depth, each layer sorted by path.
type layers struct {
	*shape
	at [][]*shapeNode
}

func (c *comparer) run(o Options) (err error) {
	if c.left, err = c.load(c.Left, o); err != nil {
		return err
	}
	if c.right, err = c.load(c.Right, o); err != nil {
		return err
	}
	c.describe(c.left)
	c.describe(c.right)
	depth := max(len(c.left.at), len(c.right.at))
	if c.Input != nil {
		err = c.interact(depth)
	} else {
		c.thresholds()
		for i := range depth {
			c.layer(i)
		}
	}
	if err == nil {
		fmt.Fprintln(c.w, "All layers compared.")
	}
	return err
}

func (c *comparer) load(name string, o Options) (*layers, error) {
	begin := time.Now()
	s, err := o.shapeOf(name)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c.w, "Deserialized snapshot in %s in %f seconds\n", filepath.Base(name), time.Since(begin).Seconds())
	begin = time.Now()
	l := &layers{shape: s}
	for layer := []*shapeNode{s.root}; len(layer) > 0; {
		slices.SortFunc(layer, byPath)
		l.at = append(l.at, layer)
		var next []*shapeNode
		for _, n := range layer {
			next = append(next, n.children...)
		}
		layer = next
	}
	fmt.Fprintf(c.w, "Processed data tree in %f seconds\n", time.Since(begin).Seconds())
	return l, nil
}

func byPath(a, b *shapeNode) int { return strings.Compare(a.path, b.path) }

func (c *comparer) describe(l *layers) {
	fmt.Fprintf(c.w, "Node count: %d\nTotal size: %d\nMax depth: %d\n", len(l.nodes), l.root.bytes, len(l.at))
	for i, layer := range l.at {
		fmt.Fprintf(c.w, "Count of nodes at depth %d: %d\n", i, len(layer))
	}
	fmt.Fprintln(c.w)
}

func (c *comparer) thresholds() {
	fmt.Fprintf(c.w, "Printing analysis for nodes difference larger than %d bytes or node count difference larger than %d.\n", c.Bytes, c.Nodes)
}

// interact does what the lines of the input say.
func (c *comparer) interact(depths int) error {
	in := bufio.NewScanner(c.Input)
	for depth := 0; depth < depths; {
		fmt.Fprintf(c.w, "Current depth is %d\n"+
			"- Press enter to move to print current depth layer;\n"+
			"- Type a number to jump to and print all nodes at a given depth;\n"+
			"- Enter an ABSOLUTE path to print the immediate subtree of a node. Path must start with '/'.\n", depth)
		if err := c.w.Flush(); err != nil {
			return err
		}
		if !in.Scan() {
			return errors.Join(in.Err(), errors.New("the input ended before all layers were compared"))
		}
		input := in.Text()
		c.thresholds()
		if input == "" {
			c.layer(depth)
			depth++
		} else if strings.HasPrefix(input, "/") {
			fmt.Fprintf(c.w, "Analysis for node %s\n", input)
			c.below(input)
		} else if to, err := strconv.ParseInt(input, 10, 32); err != nil {
			fmt.Fprintf(c.w, "Input %s is not valid. Depth must be in range [0, %d]. Path must be an absolute path which starts with '/'.\n", input, depths-1)
		} else if to < 0 || int(to) >= depths {
			fmt.Fprintf(c.w, "Depth must be in range [0, %d]\n", depths-1)
			continue
		} else {
			depth = int(to)
			c.layer(depth)
		}
		fmt.Fprintln(c.w)
	}
	return nil
}

// layer compares the znodes of one depth.
func (c *comparer) layer(depth int) {
	fmt.Fprintf(c.w, "Analysis for depth %d\n", depth)
	at := func(l *layers) []*shapeNode {
		if depth < len(l.at) {
			return l.at[depth]
		}
		return nil
	}
	c.compare(at(c.left), at(c.right))
}

// below compares the children of one znode.
func (c *comparer) below(path string) {
	left, right := c.left.nodes[path], c.right.nodes[path]
	if left == nil && right == nil {
		fmt.Fprintf(c.w, "Path %s is neither found in left tree nor right tree.\n", path)
		return
	}
	children := func(n *shapeNode) []*shapeNode {
		if n == nil {
			return nil
		}
		return slices.SortedFunc(slices.Values(n.children), byPath)
	}
	c.compare(children(left), children(right))
}

// compare merges two lists that are sorted by path.
func (c *comparer) compare(left, right []*shapeNode) {
	for len(left) > 0 || len(right) > 0 {
		order := 0
		switch {
		case len(right) == 0:
			order = -1
		case len(left) == 0:
			order = 1
		default:
			order = byPath(left[0], right[0])
			c.debug("Comparing %s to %s", left[0].path, right[0].path)
			c.debug([]string{"left is less", "same", "right is less"}[order+1])
		}
		switch {
		case order < 0:
			c.only("left", left[0])
		case order > 0:
			c.only("right", right[0])
		default:
			c.both(left[0], right[0])
		}
		if order <= 0 {
			left = left[1:]
		}
		if order >= 0 {
			right = right[1:]
		}
	}
}

func (c *comparer) debug(format string, args ...any) {
	if c.Debug {
		fmt.Fprintf(c.w, format+"\n", args...)
	}
}

// filtered prints what is below the thresholds, for those who want to see it all the same.
func (c *comparer) filtered(format string, args ...any) {
	if c.Debug || c.Input != nil {
		fmt.Fprintf(c.w, "Filtered "+format+"\n", args...)
	}
}

func (c *comparer) only(side string, n *shapeNode) {
	if n.bytes > c.Bytes || n.below > c.Nodes {
		fmt.Fprintf(c.w, "Node %s found only in %s tree. Descendant size: %d. Descendant count: %d\n", n.path, side, n.bytes, n.below)
	} else {
		c.filtered("%s node %s of size %d", side, n.path, n.bytes)
	}
}

func (c *comparer) both(left, right *shapeNode) {
	bytes, below := right.bytes-left.bytes, right.below-left.below
	if max(bytes, -bytes) > c.Bytes || max(below, -below) > c.Nodes {
		fmt.Fprintf(c.w, "Node %s found in both trees. Delta: %d bytes, %d descendants\n", left.path, bytes, below)
	} else {
		c.filtered("node %s of left size %d, right size %d", left.path, left.bytes, right.bytes)
	}
}
