package shell

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/peterh/liner"
)

// isTerminal reports whether lines can be edited on f.
func isTerminal(f *os.File) bool {
	_, err := liner.TerminalMode()
	return f == os.Stdin && err == nil && liner.TerminalSupported()
}

// historyFile is where a terminal's lines are kept, below the home directory.
const historyFile = ".quoll_history"

// terminal edits lines. Its second result stores the history.
func (s *Shell) terminal() (read func(prompt string) (string, error), done func()) {
	s.interruption = true // to end would leave the terminal as the editor has set it
	editor := liner.NewLiner()
	editor.SetCtrlCAborts(true)
	editor.SetTabCompletionStyle(liner.TabPrints)
	editor.SetWordCompleter(s.complete)
	file := ""
	if home, err := os.UserHomeDir(); err == nil {
		file = filepath.Join(home, historyFile)
		if f, err := os.Open(file); err == nil {
			editor.ReadHistory(f)
			f.Close()
		}
	}
	read = func(prompt string) (string, error) {
		for {
			line, err := editor.Prompt(prompt)
			switch {
			case errors.Is(err, liner.ErrPromptAborted): // Ctrl-C gives up the line only
				continue
			case err != nil:
				return "", io.EOF
			}
			if strings.TrimSpace(line) != "" && !strings.HasPrefix(strings.TrimSpace(line), "addauth") { // which has a secret
				editor.AppendHistory(line)
			}
			return line, nil
		}
	}
	return read, func() {
		editor.Close()
		if file == "" {
			return
		}
		if f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
			editor.WriteHistory(f)
			f.Close()
		}
	}
}

// Completion asks the server, but not for long, and shows no more than a screen can.
const (
	completionPatience = 2 * time.Second
	maxCompletions     = 200
)

// complete finds what the word at pos can become: a path if it begins with a slash, else a command.
func (s *Shell) complete(line string, pos int) (head string, completions []string, tail string) {
	start := strings.LastIndexAny(line[:pos], " \t") + 1
	head, word, tail := line[:start], line[start:pos], line[pos:]
	candidates := commandNames()
	if strings.HasPrefix(word, "/") {
		candidates = s.paths(word)
	}
	for _, c := range candidates {
		if strings.HasPrefix(c, word) && len(completions) < maxCompletions {
			completions = append(completions, c)
		}
	}
	return head, completions, tail
}

// paths are the children of the directory part of word.
func (s *Shell) paths(word string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
	defer cancel()
	dir := word[:strings.LastIndexByte(word, '/')]
	if dir == "" {
		dir = "/"
	}
	names, _, err := s.zk.Children(ctx, dir, false)
	if err != nil {
		return nil
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = join(dir, name)
	}
	return names
}
