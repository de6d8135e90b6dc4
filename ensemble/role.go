package ensemble

import (
	"fmt"
	"strings"
)

// Role is what a server is in its ensemble. Mirrors the Java enum LearnerType.
type Role int

// The roles; a Participant votes, an Observer only learns.
const (
	Participant Role = iota
	Observer
)

// String returns the word of a server line.
func (r Role) String() string {
	if r == Observer {
		return "observer"
	}
	return "participant"
}

// ParseRole reads the word of a server line or of the key peerType, in any case.
func ParseRole(s string) (Role, error) {
	switch strings.ToLower(s) {
	case "observer":
		return Observer, nil
	case "participant":
		return Participant, nil
	}
	return 0, fmt.Errorf("%q is neither participant nor observer", s)
}
