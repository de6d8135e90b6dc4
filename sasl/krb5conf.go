package sasl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/config"
)

// defaultKerberosFile is where the configuration of Kerberos is on Unix.
const defaultKerberosFile = "/etc/krb5.conf"

// Kerberos is the configuration of Kerberos: realms, their KDCs, and which realm is meant where none is named.
type Kerberos struct {
	file string
	conf *config.Config
}

// ReadKerberos reads a krb5.conf and what it includes; empty is /etc/krb5.conf. The errors name the file.
func ReadKerberos(path string) (*Kerberos, error) {
	if path == "" {
		path = defaultKerberosFile
	}
	k := &Kerberos{file: path}
	sections := kerberosSections{lines: map[string][]string{}}
	if err := sections.read(path, 0); err != nil {
		return nil, err
	}
	var err error
	k.conf, err = config.NewFromString(sections.text())
	var unsupported config.UnsupportedDirective
	if err != nil && !errors.As(err, &unsupported) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// DefaultRealm is the default_realm; empty if there is none.
func (k *Kerberos) DefaultRealm() string {
	if k == nil {
		return ""
	}
	return k.conf.LibDefaults.DefaultRealm
}

// kerberosSections gathers the lines of each section from a file and those that it includes: the library reads one file, in which a section is there once.
type kerberosSections struct {
	order []string
	lines map[string][]string
}

// maxIncludes is how deep files may include each other.
const maxIncludes = 10

func (s *kerberosSections) read(path string, depth int) error {
	if depth > maxIncludes {
		return fmt.Errorf("%s: files include each other too deep", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		switch {
		case word == "include":
			err = s.read(rest, depth+1)
		case word == "includedir":
			err = s.readDir(rest, depth+1)
		case strings.HasPrefix(word, "["):
			name, _, _ := strings.Cut(word[1:], "]")
			if section = name; !slices.Contains(s.order, section) {
				s.order = append(s.order, section)
			}
		default:
			s.lines[section] = append(s.lines[section], line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readDir reads the files of a directory that MIT Kerberos reads too.
func (s *kerberosSections) readDir(dir string, depth int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		plain := strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
		if !plain && (strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".conf")) {
			continue
		}
		if err := s.read(filepath.Join(dir, name), depth); err != nil {
			return err
		}
	}
	return nil
}

func (s *kerberosSections) text() string {
	var b strings.Builder
	for _, section := range s.order {
		fmt.Fprintf(&b, "[%s]\n%s\n", section, strings.Join(s.lines[section], "\n"))
	}
	return b.String()
}
