package config

import (
	"regexp"
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

// hides reports whether the value of a Java system property must not be shown: by its name, or because it is no setting and a JAAS file has asked for it.
func (c *Config) hides(property string) bool {
	_, asked := c.asked.Load(property)
	return asked || secret(property)
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
		if c.hides(list[i][0]) {
			list[i][1] = Masked
		}
	}
	return list
}

// MaskedText is [Config.Text] without its secrets, and without comments that may have any.
func (c *Config) MaskedText() string {
	settings, err := properties.Parse(c.Text)
	if err != nil {
		return "" // it was read before
	}
	var b strings.Builder
	at := 0
	for _, s := range settings {
		b.WriteString(maskedComments(c.Text[at:s.Start]))
		if at = s.End; c.hides("zookeeper." + s.Key) {
			b.WriteString(s.Key + "=" + Masked)
		} else {
			b.WriteString(c.Text[s.Start:s.End])
		}
	}
	b.WriteString(maskedComments(c.Text[at:]))
	return b.String()
}

// maskedComments leaves out the lines of comments that speak of a secret: most likely it is a setting that was there once.
func maskedComments(text string) string {
	return line.ReplaceAllStringFunc(text, func(line string) string {
		if secret(line) {
			return "# " + Masked
		}
		return line
	})
}

var line = regexp.MustCompile("[^\r\n]+")
