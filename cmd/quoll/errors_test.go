package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestErrorsAreExplained: what a server logs at ERROR has a line in docs/operate.md, which may leave out what is behind a semicolon or a colon.
func TestErrorsAreExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "compat" || d.Name() == "bench" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || method.Sel.Name != "Error" {
				return true
			}
			first := call.Args[0]
			for { // the beginning of what is put together
				sum, ok := first.(*ast.BinaryExpr)
				if !ok {
					break
				}
				first = sum.X
			}
			text, ok := first.(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: a message that is no constant", path)
				return true
			}
			message, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			found++
			message, _, _ = strings.Cut(message, ";")
			if message, _, _ := strings.Cut(message, ": it"); !strings.Contains(string(page), "`"+message) {
				t.Errorf("%s: %q is not in docs/operate.md", path, message)
			}
			return true
		})
		return nil
	})
	if err != nil || found < 20 {
		t.Errorf("%d messages: %v", found, err)
	}
}
