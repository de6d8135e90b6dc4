package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// figure is a number that a measurement gives, with its unit in the name. More is better where the unit is a rate, "/s" at the end, and less
// otherwise.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

func moreIsBetter(name string) bool { return strings.HasSuffix(name, "/s") }

// measurement is what one round of a row says of one server.
type measurement struct {
	Row     string    `json:"row"`
	Server  string    `json:"server"`
	Run     int       `json:"run"` // index in the runs
	Round   int       `json:"round"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"` // it took so long, with what had to be prepared
	// Others is how many processors were meanwhile busy with anything but this program and its servers.
	Others  float64  `json:"others"`
	Figures []figure `json:"figures"`
}

// String is the figures on one line.
func (m measurement) String() string {
	var all []string
	for _, f := range m.Figures {
		all = append(all, f.Name+" "+short(f.Value))
	}
	return fmt.Sprintf("%s; others %.2f", strings.Join(all, "; "), m.Others)
}

// environment is what the figures of a run depend on.
type environment struct {
	Command    string            `json:"command"`
	Began      time.Time         `json:"began"`
	Seconds    float64           `json:"seconds"`
	Processors int               `json:"processors"`
	Processor  string            `json:"processor"`
	Memory     string            `json:"memory"`
	Kernel     string            `json:"kernel"`
	Disk       string            `json:"disk"`
	SyncMicros float64           `json:"sync_micros"` // of 4 KB, median of 200
	JVM        string            `json:"jvm"`
	Go         string            `json:"go"`
	Commit     string            `json:"commit"`
	Versions   map[string]string `json:"versions"` // what each server says of itself
	Config     []string          `json:"config"`   // of every server, beside ports and directories
	Heap       string            `json:"heap"`
	Rounds     int               `json:"rounds"`
	Duration   string            `json:"duration"`
	Warmup     string            `json:"warmup"`
	Seed       uint64            `json:"seed"`
	Scale      int               `json:"scale"`
	Swapped    int64             `json:"swapped"` // pages written to swap during the run
}

// results is what runs have measured: what the program writes as JSON, and all that the report and the plot are made of.
type results struct {
	Runs         []environment `json:"runs"`
	Measurements []measurement `json:"measurements"`
}

// load adds the results of an earlier run.
func (r *results) load(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var more results
	if err := json.Unmarshal(b, &more); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, m := range more.Measurements {
		if m.Run < 0 || m.Run >= len(more.Runs) {
			return fmt.Errorf("%s: a measurement of run %d, of %d", name, m.Run, len(more.Runs))
		}
		m.Run += len(r.Runs)
		r.Measurements = append(r.Measurements, m)
	}
	r.Runs = append(r.Runs, more.Runs...)
	return nil
}

// write writes the results to a file, at once: a line for each run and each measurement.
func (r *results) write(name string) error {
	var b bytes.Buffer
	b.WriteString(`{"runs":[`)
	err := jsonLines(&b, r.Runs)
	b.WriteString(`],"measurements":[`)
	err = errors.Join(err, jsonLines(&b, r.Measurements))
	b.WriteString("]}\n")
	temp := name + ".tmp"
	if err := errors.Join(err, os.WriteFile(temp, b.Bytes(), 0o644)); err != nil {
		return err
	}
	return os.Rename(temp, name)
}

func jsonLines[T any](b *bytes.Buffer, all []T) error {
	for i, v := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b.Write(text)
	}
	b.WriteByte('\n')
	return nil
}

// line is a figure of a row on all servers: its value in each round.
type line struct {
	row     row
	figure  string
	servers []string
	rounds  map[string][]float64
}

// value is the median of the rounds; false if there is none.
func (l line) value(server string) (float64, bool) {
	if len(l.rounds[server]) == 0 {
		return 0, false
	}
	return middle(l.rounds[server]), true
}

// pair is the servers whose ratio the report gives: what is compared with, and what is compared.
func (l line) pair() (base, subject string) {
	if arms := l.row.stage.arms; arms != nil {
		return arms[0], arms[1]
	}
	return "java", "quoll"
}

// ratio is how many times the figure of the one is that of the other: of the medians, and in the rounds the least and the most. It is false where
// there is none, as when both are zero.
func (l line) ratio() (median, low, high float64, ok bool) {
	base, subject := l.pair()
	a, b := l.rounds[base], l.rounds[subject]
	if len(a) == 0 || len(a) != len(b) || middle(a) == 0 {
		return 0, 0, 0, false
	}
	var all []float64
	for i := range a {
		if a[i] != 0 {
			all = append(all, b[i]/a[i])
		}
	}
	return middle(b) / middle(a), slices.Min(all), slices.Max(all), true
}

// aim is what the figure is to reach; false if nothing was set.
func (l line) aim() (float64, bool) {
	for _, a := range l.row.aims {
		if a.figure == l.figure {
			return a.ratio, true
		}
	}
	return 0, false
}

// met reports whether a ratio reaches an aim.
func (l line) met(ratio, aim float64) bool {
	if moreIsBetter(l.figure) {
		return ratio >= aim
	}
	return ratio <= aim
}

// lines is every figure that was measured, in the order of the table. Of a row that several runs have measured the last one counts.
func (r *results) lines() (all []line) {
	for _, row := range table {
		last := -1
		for _, m := range r.Measurements {
			if m.Row == row.name {
				last = max(last, m.Run)
			}
		}
		first := len(all)
		for _, m := range r.Measurements {
			if m.Row != row.name || m.Run != last {
				continue
			}
			for _, f := range m.Figures {
				i := slices.IndexFunc(all[first:], func(l line) bool { return l.figure == f.Name })
				if i < 0 {
					i = len(all) - first
					all = append(all, line{row, f.Name, nil, map[string][]float64{}})
				}
				l := &all[first+i]
				if !slices.Contains(l.servers, m.Server) {
					l.servers = append(l.servers, m.Server)
				}
				l.rounds[m.Server] = append(l.rounds[m.Server], f.Value)
			}
		}
	}
	return all
}

// servers is the names of all that were measured, in the order in which the report shows them.
func (r *results) servers() (names []string) {
	for _, m := range r.Measurements {
		if !slices.Contains(names, m.Server) && m.Server != storeOff && m.Server != storeOn {
			names = append(names, m.Server)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return place(a) - place(b) })
	return names
}

// place is -1 for what is none of the three.
func place(server string) int {
	name, _, _ := strings.Cut(server, " ") // the second of its name has a number
	return slices.Index([]string{"java", "quoll", "floor"}, name)
}
