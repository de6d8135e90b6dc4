package config

import (
	"slices"
	"strings"

	"quoll/config/properties"
)

// Masked stands for the value of a setting that is a secret.
const Masked = "******"

// secret reports whether a setting with the name is one that must not be shown. The path of a file with a password may be.
func secret(name string) bool {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, "passwordpath") {
		return false
	}
	return slices.ContainsFunc([]string{"password", "passwd", "secret", "superdigest"}, func(s string) bool { return strings.Contains(name, s) })
}

// SystemProperties returns what was set, from wherever, as name and value of Java system properties in the order of their names. Secrets are masked.
func (c *Config) SystemProperties() (list [][2]string) {
	for name, value := range c.Properties {
		list = append(list, [2]string{name, value})
	}
	for name, value := range c.properties {
		list = append(list, [2]string{name, value})
	}
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	for i := range list {
		if secret(list[i][0]) {
			list[i][1] = Masked
		}
	}
	return list
}

// MaskedText is [Config.Text] without its secrets.
func (c *Config) MaskedText() string {
	settings, err := properties.Parse(properties.Latin1([]byte(c.Text)))
	if err != nil {
		return "" // it was read before
	}
	lines := strings.SplitAfter(c.Text, "\n")
	for _, s := range settings {
		if !secret(s.Key) {
			continue
		}
		first := s.Number - 1
		last := first
		for last < len(lines)-1 && continued(lines[last]) {
			last++
		}
		end := "\n"
		if !strings.HasSuffix(lines[last], "\n") {
			end = ""
		}
		lines[first] = s.Key + "=" + Masked + end
		for i := first + 1; i <= last; i++ {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "")
}

// continued reports whether a line of a properties file goes on in the next one.
func continued(line string) bool {
	line = strings.TrimRight(line, "\r\n")
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}
