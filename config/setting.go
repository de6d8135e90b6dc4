package config

import (
	"fmt"
	"os"
	"strconv"

	"quoll/config/properties"
)

// Origin says where a setting came from.
type Origin struct {
	// Source is the path of a file, the name of an environment variable, "--set", or "command line".
	Source string
	// Line is the line in the file, from 1; 0 elsewhere.
	Line int
}

// String returns source:line, or the source alone.
func (o Origin) String() string {
	if o.Line == 0 {
		return o.Source
	}
	return o.Source + ":" + strconv.Itoa(o.Line)
}

// setting is one key with its value and place.
type setting struct {
	key, value string
	origin     Origin
}

// errorf makes an error that names place and key.
func (s setting) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", s.origin, s.key, fmt.Errorf(format, args...))
}

// readProperties parses the Java properties file at path.
func readProperties(path string) (settings []setting, text string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	lines, err := properties.Parse(properties.Latin1(data))
	if err != nil {
		return nil, "", fmt.Errorf("%s:%w", path, err)
	}
	for _, l := range lines {
		settings = append(settings, setting{l.Key, l.Value, Origin{path, l.Number}})
	}
	return settings, string(data), nil
}
