// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io"
	"slices"

	"github.com/macpool/macpool/internal/cli"
)

// Report is what doctor has to say.
type Report struct {
	// Node is the node that it is limited to, if it is.
	Node string `json:"node,omitempty"`
	// Subjects are what was looked at, in the order in which a pod needs them.
	Subjects []Subject `json:"subjects"`

	palette cli.Palette
}

// Subject is a group of checks, and what they found.
type Subject struct {
	Name     string    `json:"name"`
	Findings []Finding `json:"findings"`
}

// count is how many findings there are of a severity.
func (r *Report) count(severity Severity) int {
	n := 0
	for _, s := range r.Subjects {
		n += s.count(severity)
	}
	return n
}

func (s *Subject) count(severity Severity) int {
	n := 0
	for _, f := range s.Findings {
		if f.Severity == severity {
			n++
		}
	}
	return n
}

// severities are in the order of how much they matter.
var severities = []Severity{Fault, Hint, Unchecked}

// marks are how they are written for people.
var marks = map[Severity]string{Fault: "FAULT", Hint: "hint", Unchecked: "not checked"}

func (r *Report) paint(severity Severity) string {
	switch severity {
	case Fault:
		return r.palette.Bad(marks[severity])
	case Hint:
		return r.palette.Odd(marks[severity])
	default:
		return r.palette.Faint(marks[severity])
	}
}

// Names are the objects that something is wrong with.
func (r *Report) Names() []string {
	var names []string
	for _, s := range r.Subjects {
		for _, f := range s.Findings {
			if f.Object != "" && f.Severity != Unchecked && !slices.Contains(names, f.Object) {
				names = append(names, f.Object)
			}
		}
	}
	return names
}

// Print writes it for people. Wide adds where more is to be read.
func (r *Report) Print(w io.Writer, wide bool) error {
	page := cli.NewPage(w)
	for _, s := range r.Subjects {
		status := r.palette.Good("ok")
		if worst := slices.IndexFunc(severities, func(x Severity) bool { return s.count(x) > 0 }); worst >= 0 {
			status = r.paint(severities[worst])
		}
		page.Line("%s  %s", r.palette.Bold(fmt.Sprintf("%-12s", s.Name)), status)
		for _, severity := range severities {
			for _, f := range s.Findings {
				if f.Severity == severity {
					r.printFinding(page, f, wide)
				}
			}
		}
	}
	page.Line("")
	page.Line("%s.", r.summary())
	return page.Err()
}

func (r *Report) printFinding(page *cli.Page, f Finding, wide bool) {
	text := f.What
	if f.Code != "" {
		text = f.Code + ": " + text
	}
	page.Line("  %s  %s.", r.paint(f.Severity), text)
	if f.Fix != "" {
		page.Line("      %s", f.Fix)
	}
	if wide && f.Object != "" {
		page.Line("      %s", r.palette.Faint("object: "+f.Object+inNamespace(f.Namespace)))
	}
	if wide && f.Page != "" {
		page.Line("      %s", r.palette.Faint("more: "+f.Page))
	}
}

func inNamespace(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " -n " + namespace
}

func (r *Report) summary() string {
	faults, hints, unchecked := r.count(Fault), r.count(Hint), r.count(Unchecked)
	text := "Nothing is wrong"
	if faults > 0 {
		text = plural(faults, "fault")
	}
	if hints > 0 {
		text += ", " + plural(hints, "hint")
	}
	if unchecked > 0 {
		text += ", " + fmt.Sprintf("%d not checked", unchecked)
	}
	return text
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
