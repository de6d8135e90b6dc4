package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages are all pages for readers, by their paths from the root of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/spec/*.md"} {
		files, err := filepath.Glob("../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(filepath.ToSlash(file), "../../")] = string(text)
		}
	}
	if len(all) < 15 {
		t.Fatalf("only %d pages", len(all))
	}
	return all
}

// runners are the files that run all commands of a page, and name it.
var runners = map[string]string{
	"README.md":        "scripts/readme.sh",
	"docs/ensemble.md": "scripts/readme.sh",
	"docs/monitor.md":  "scripts/readme.sh",
	"docs/operate.md":  "scripts/readme.sh",
	"docs/backup.md":   "cmd/quoll/backup_test.go",
	"docs/tools.md":    "cmd/quoll/tools_test.go",
}

// commandLine is a line that somebody would paste into a shell.
var commandLine = regexp.MustCompile(`^(\$ |sudo |\S*bin/\S+ |(quoll|docker|helm|kubectl|make|go|curl|echo|cat|mkdir|printf|export|openssl|systemctl|apt|nc|scripts/\S+|zk\w+\.sh) )`)

// TestPagesCommands: a command in a page stands in a block ```sh or ```console, and a block of the one kind or the other is run by a test or by `make readme`, unless its first
// line says why not: ```sh not run: why.
func TestPagesCommands(t *testing.T) {
	for page, text := range pages(t) {
		if strings.HasPrefix(page, "docs/spec/") {
			continue // what ZooKeeper does
		}
		fence, inside, blank := "", false, true
		for n, line := range strings.Split(text, "\n") {
			info, isFence := strings.CutPrefix(line, "```")
			indented := strings.HasPrefix(line, "    ") && !inside && blank
			switch {
			case isFence && inside:
				inside = false
			case isFence:
				inside, fence = true, info
				kind, why, notRun := strings.Cut(info, " not run: ")
				switch {
				case notRun && (kind != "sh" || why == ""):
					t.Errorf("%s:%d: ```%s", page, n+1, info)
				case !notRun && slices.Contains([]string{"sh", "console"}, info):
					runner, err := os.ReadFile("../../" + runners[page])
					if err != nil || !strings.Contains(string(runner), strings.TrimPrefix(page, "docs/")) {
						t.Errorf("%s:%d: nothing runs the commands of this page: say ```sh not run: and why, or have scripts/readme.sh run it", page, n+1)
					}
				}
			case inside && fence == "" && commandLine.MatchString(line), indented && commandLine.MatchString(strings.TrimSpace(line)):
				t.Errorf("%s:%d: a command outside of a block ```sh: %s", page, n+1, line)
			}
			blank = strings.TrimSpace(line) == "" || indented && blank
		}
		if inside {
			t.Errorf("%s: a block does not end", page)
		}
	}
	// What README.md shows is run line by line, so each line must be of a kind that the script looks for.
	readme := pages(t)["README.md"]
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		for line := range strings.Lines(block[1]) {
			if !regexp.MustCompile(`^(make (run|test)|bin/quoll cli .*)\n$`).MatchString(line) {
				t.Errorf("README.md: scripts/readme.sh does not run %q", line)
			}
		}
	}
}

// TestPagesLinks: what a page links to is there, the heading too, and README.md or a page that it links to leads to every page for users.
func TestPagesLinks(t *testing.T) {
	all := pages(t)
	anchors := map[string]map[string]bool{}
	for page, text := range all {
		anchors[page] = map[string]bool{}
		for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
			slug := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
			anchors[page][strings.ReplaceAll(strings.TrimSpace(slug), " ", "-")] = true
		}
	}
	linked := map[string]bool{}
	for page, text := range all {
		text = regexp.MustCompile("(?s)```.*?\n```|`[^`\n]*`").ReplaceAllString(text, "")
		for _, l := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(l[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.ToSlash(filepath.Join(filepath.Dir(page), target))
			}
			if _, err := os.Stat("../../" + path); err != nil {
				t.Errorf("%s: %s is not there", page, l[1])
				continue
			}
			if anchor != "" && anchors[path] != nil && !anchors[path][anchor] {
				t.Errorf("%s: %s has no heading %s", page, path, anchor)
			}
			if page == "README.md" {
				linked[path] = true
			}
		}
	}
	for page := range all {
		if strings.HasPrefix(page, "docs/") && !strings.HasPrefix(page, "docs/spec/") && !linked[page] {
			t.Errorf("README.md does not link %s", page)
		}
	}
}
