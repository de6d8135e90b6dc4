package server

import (
	"strings"
	"unicode/utf8"

	"quoll/tree"
)

// validPath reports whether a znode may have this path (PathUtils.validatePath).
func validPath(path string) bool {
	if path == "/" {
		return true
	}
	if path == "" || path[0] != '/' || path[len(path)-1] == '/' {
		return false
	}
	start := 1
	for i := 1; i <= len(path); {
		if i == len(path) || path[i] == '/' {
			switch path[start:i] {
			case "", ".", "..":
				return false
			}
			i++
			start = i
			continue
		}
		if b := path[i]; b < utf8.RuneSelf {
			if b < 0x20 || b == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(path[i:])
		if r <= 0x9f || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0 {
			return false
		}
		i += n
	}
	return true
}

// addressable reports whether a path can be split into parent and name: all that create checks before it looks for the parent.
func addressable(path string) bool {
	return strings.IndexByte(path, '/') >= 0 && strings.IndexByte(path, 0) < 0
}

// undeletable are the znodes that no client can delete.
var undeletable = map[string]bool{"/": true, tree.ZookeeperPath: true, tree.QuotaPath: true, tree.ConfigPath: true}

// treePath is the path as package tree has it: the root is the empty string.
func treePath(path string) string {
	if path == "/" {
		return tree.RootPath
	}
	return path
}
