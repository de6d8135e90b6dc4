package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestVariablesAreListed: every QUOLL_* that code or the Makefile mentions is in the table of CONTRIBUTING.md, and nothing else is.
func TestVariablesAreListed(t *testing.T) {
	variable := regexp.MustCompile(`\bQUOLL_[A-Z_]*[A-Z]\b`)
	page, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{} // and whether it is used
	for _, name := range variable.FindAllString(string(page), -1) {
		listed[name] = false
	}
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..", d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir() || filepath.Base(path) == "variables_test.go" || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".sh" && d.Name() != "Makefile":
			return nil
		}
		text, err := os.ReadFile(path)
		for _, name := range variable.FindAllString(string(text), -1) {
			if _, ok := listed[name]; !ok {
				t.Errorf("%s of %s is not in CONTRIBUTING.md", name, path)
			}
			listed[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, used := range listed {
		if !used {
			t.Errorf("%s is in CONTRIBUTING.md and nobody uses it", name)
		}
	}
}
