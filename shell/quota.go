package shell

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quoll/client"
	"quoll/jute"
)

// Quotas live below quotaRoot: at the path they are for, a znode with the limits and one with what is used.
const (
	quotaRoot   = "/zookeeper/quota"
	quotaLimits = "zookeeper_limits"
	quotaStats  = "zookeeper_stats"
)

// quotaKeys are the keys of a quota by the option that sets them.
var quotaKeys = map[string]string{"n": "count", "b": "bytes", "N": "countHardLimit", "B": "byteHardLimit"}

// quota is the content of a quota znode (StatsTrack): values by key, -1 for none.
type quota map[string]int64

func (q quota) get(key string) int64 {
	if v, ok := q[key]; ok {
		return v
	}
	return -1
}

// String is the stored form: count and bytes, and the other keys sorted. The lone = before those makes old parsers ignore them.
func (q quota) String() string {
	text := fmt.Sprintf("count=%d,bytes=%d", q.get("count"), q.get("bytes"))
	var others []string
	for key, v := range q {
		if key != "count" && key != "bytes" {
			others = append(others, fmt.Sprintf(";%s=%d", key, v))
		}
	}
	if len(others) == 0 {
		return text
	}
	slices.Sort(others)
	return text + "=" + strings.Join(others, "")
}

func parseQuota(where string, data []byte) (quota, error) {
	q := quota{}
	for _, pair := range strings.FieldsFunc(string(data), func(r rune) bool { return r == ',' || r == ';' }) {
		parts := strings.Split(pair, "=")
		if len(parts) < 2 {
			return nil, fail("%s: %q is no quota", where, data)
		}
		text := parts[1]
		if text == "" {
			text = "-1"
		}
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fail("%s: %q is no quota", where, data)
		}
		q[parts[0]] = v
	}
	return q, nil
}

// readQuota reads a quota znode.
func (s *Shell) readQuota(p string) (quota, error) {
	data, _, err := s.zk.Get(s.ctx, p, false)
	if err != nil {
		return nil, explainAt(err, p)
	}
	return parseQuota(p, data)
}

// locatedError is an error of the server with the path that it is about.
type locatedError struct {
	error
	path string
}

func (e *locatedError) Unwrap() error { return e.error }

func explainAt(err error, p string) error {
	if err == nil {
		return nil
	}
	return &locatedError{err, p}
}

// explainLocated gives an error from explainAt its words.
func explainLocated(err error) error {
	var at *locatedError
	if errors.As(err, &at) {
		return explain(at.error, at.path)
	}
	return err
}

func (s *Shell) runListQuota(in *invocation) error {
	target := in.args[1]
	limits := quotaRoot + target + "/" + quotaLimits
	s.complain("absolute path is " + limits)
	if err := path(limits); err != nil {
		return err
	}
	limit, err := s.readQuota(limits)
	var used quota
	if err == nil {
		used, err = s.readQuota(quotaRoot + target + "/" + quotaStats)
	}
	if errors.Is(err, jute.ErrNoNode) {
		s.complain("quota for " + target + " does not exist.")
		return nil
	}
	if err != nil {
		return explainLocated(err)
	}
	s.print("Output quota for %s %v\nOutput stat for %s %v\n", target, limit, target, used)
	return nil
}

func (s *Shell) runDelQuota(in *invocation) error {
	target := in.args[1]
	parent := quotaRoot + target
	limits := parent + "/" + quotaLimits
	if err := path(limits); err != nil {
		return err
	}
	limit, err := s.readQuota(limits)
	if errors.Is(err, jute.ErrNoNode) {
		s.print("Quota does not exist for %s\n", target)
		return nil
	}
	if err != nil {
		return explainLocated(err)
	}
	for name := range in.values {
		limit[quotaKeys[name]] = -1
	}
	if len(in.values) > 0 {
		_, err := s.zk.Set(s.ctx, limits, []byte(limit.String()), -1)
		return explain(err, limits)
	}
	err = s.removeQuota(parent)
	if errors.Is(err, jute.ErrNoNode) {
		s.complain("quota for " + target + " does not exist.")
		return nil
	}
	return explainLocated(err)
}

// removeQuota removes what is at p, and then p and its ancestors as far as nothing else is below them.
func (s *Shell) removeQuota(p string) error {
	names, _, err := s.zk.Children(s.ctx, p, false)
	if err != nil {
		return explainAt(err, p)
	}
	for _, name := range names {
		if err := s.zk.Delete(s.ctx, join(p, name), -1); err != nil {
			return explainAt(err, join(p, name))
		}
	}
	for ; p != quotaRoot; p = p[:strings.LastIndexByte(p, '/')] {
		names, _, err := s.zk.Children(s.ctx, p, false)
		if err != nil {
			return explainAt(err, p)
		}
		if len(names) > 0 {
			return nil
		}
		if err := s.zk.Delete(s.ctx, p, -1); err != nil {
			return explainAt(err, p)
		}
	}
	return nil
}

func (s *Shell) runSetQuota(in *invocation) error {
	target := in.args[1]
	if strings.HasPrefix(target, quotaRoot) {
		s.complain("cannot set a quota under the path: " + quotaRoot)
		return nil
	}
	set := quota{"count": -1, "bytes": -1, "countHardLimit": -1, "byteHardLimit": -1}
	for name, text := range in.values {
		key, bits := quotaKeys[name], 64
		counts := name == "n" || name == "N"
		if counts {
			bits = 32
		}
		v, err := strconv.ParseInt(text, 10, bits)
		switch {
		case err != nil:
			s.complain("NumberFormatException happens when parsing the option value")
			return nil
		case counts && v <= 0:
			s.complain("the num quota must be greater than zero")
			return nil
		case v < 0:
			s.complain("the bytes quota must be greater than or equal to zero")
			return nil
		}
		set[key] = v
	}
	if err := path(target); err != nil {
		return err
	}
	return explainLocated(s.setQuota(target, set))
}

// setQuota puts the limits that are not -1 on target.
func (s *Shell) setQuota(target string, set quota) error {
	if _, err := s.zk.Exists(s.ctx, target, false); errors.Is(err, jute.ErrNoNode) {
		return fail("%s does not exist.", target)
	} else if err != nil {
		return explainAt(err, target)
	}
	if err := path(quotaRoot + target); err != nil {
		return err
	}
	if err := s.checkOtherQuotas(target); err != nil {
		return err
	}
	// Every ancestor must be there; others may make them at the same time.
	p := ""
	for name := range strings.SplitSeq(strings.Trim(quotaRoot+target, "/"), "/") {
		p += "/" + name
		_, err := s.zk.Exists(s.ctx, p, false)
		if errors.Is(err, jute.ErrNoNode) {
			_, err = s.zk.Create(s.ctx, p, nil, client.OpenACL, jute.ModePersistent)
		}
		if err != nil && !errors.Is(err, jute.ErrNodeExists) {
			return explainAt(err, p)
		}
	}
	limits, stats := p+"/"+quotaLimits, p+"/"+quotaStats
	limit, err := s.readQuota(limits)
	switch {
	case errors.Is(err, jute.ErrNoNode):
		if _, err := s.zk.Create(s.ctx, limits, []byte(set.String()), client.OpenACL, jute.ModePersistent); err != nil {
			return explainAt(err, limits)
		}
		none := quota{"count": 0, "bytes": 0}
		if _, err := s.zk.Create(s.ctx, stats, []byte(none.String()), client.OpenACL, jute.ModePersistent); err != nil {
			return explainAt(err, stats)
		}
		used, err := s.readQuota(stats)
		if err != nil {
			return err
		}
		s.warnOfQuota(set, used)
		return nil
	case err != nil:
		return err
	}
	for key, v := range set {
		if v > -1 {
			limit[key] = v
		}
	}
	used, err := s.readQuota(stats)
	if err != nil {
		return err
	}
	s.warnOfQuota(limit, used)
	_, err = s.zk.Set(s.ctx, limits, []byte(limit.String()), -1)
	return explainAt(err, limits)
}

// checkOtherQuotas refuses a quota above or below another one: the server counts for the deepest alone.
func (s *Shell) checkOtherQuotas(target string) error {
	own := quotaRoot + strings.TrimSuffix(target, "/")
	found := ""
	_, err := s.zk.Exists(s.ctx, own, false)
	if err == nil {
		err = s.visit(own, false, func(p string) {
			if limited, ok := strings.CutSuffix(p, "/"+quotaLimits); ok && limited != quotaRoot+target && found == "" {
				found = limited
			}
		})
	}
	if err != nil && !errors.Is(err, jute.ErrNoNode) {
		return explainAt(err, own)
	}
	if found != "" {
		return fail("%s has a child %s which has a quota", target, strings.TrimPrefix(found, quotaRoot))
	}
	for i := strings.LastIndexByte(own, '/'); i > len(quotaRoot); i = strings.LastIndexByte(own[:i], '/') {
		p := own[:i] + "/" + quotaLimits
		switch _, err := s.zk.Exists(s.ctx, p, false); {
		case err == nil:
			return fail("%s has a parent %s which has a quota", target, strings.TrimPrefix(own[:i], quotaRoot))
		case !errors.Is(err, jute.ErrNoNode):
			return explainAt(err, p)
		}
	}
	return nil
}

// warnOfQuota tells of limits that are exceeded already.
func (s *Shell) warnOfQuota(limit, used quota) {
	for _, row := range []struct{ name, used, soft, hard string }{
		{"count", "count", "count", "countHardLimit"}, {"bytes", "bytes", "bytes", "byteHardLimit"},
	} {
		have := used.get(row.used)
		if soft, hard := limit.get(row.soft), limit.get(row.hard); soft > -1 && soft < have || hard > -1 && hard < have {
			s.print("[Warning]: the %s quota you create is less than the existing %s:%d\n", row.name, row.name, have)
		}
	}
}
