// SPDX-License-Identifier: Apache-2.0

package who

import (
	"fmt"
	"io"
	"strings"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/ledger"
)

// shownTenures are how many of the history are shown; kubectl macpool history has all.
const shownTenures = 4

// Print writes a paragraph for each address.
func (a *answer) Print(w io.Writer, wide bool) error {
	for i := range a.Addresses {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := a.paragraph(w, &a.Addresses[i], wide); err != nil {
			return err
		}
	}
	return nil
}

func (a *answer) paragraph(w io.Writer, d *address, wide bool) error {
	p := a.f.Palette()
	title := strings.Join(append(append([]string(nil), d.IPs...), d.MAC), "  ")
	where := "segment " + d.Segment
	if d.Pool != "" {
		where = "pool " + d.Pool + ", " + where
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", p.Bold(cli.Line(title)), p.Faint(cli.Line("("+where+")")))
	if !a.now {
		fmt.Fprintf(&b, "  at %s:\n", a.f.Stamp(a.At))
	}
	for _, line := range a.state(d) {
		fmt.Fprintf(&b, "  %s\n", cli.Line(line))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	rest := d.History
	if a.now && len(d.Holders) > 0 && len(rest) >= len(d.Holders) {
		rest = rest[len(d.Holders):] // the newest are told
	}
	if !wide {
		rest = rest[:min(len(rest), shownTenures)]
	}
	if len(rest) > 0 {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := cli.Tenures(w, a.f, rest, wide); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", p.Faint(cli.Line("More: "+strings.Join(a.more(d), ", "))))
	return err
}

// state says who has the address, or why nobody does.
func (a *answer) state(d *address) []string {
	p := a.f.Palette()
	var lines []string
	for _, t := range d.Holders {
		lines = append(lines, a.holder(t))
	}
	if len(d.Holders) > 0 && d.Workload != nil && d.Workload.Kind != v1alpha1.WorkloadPod {
		lines = append(lines, fmt.Sprintf("for %s %s", d.Workload.Kind, d.Workload.Name))
	}
	switch d.State {
	case ledger.Leased:
	case ledger.OutOfRange:
		lines = append(lines, p.Odd(fmt.Sprintf("out of range: pool %s leases %s now; the lease is kept until it is released", d.Pool, d.ranges)))
	case ledger.Conflicted:
	case ledger.Cooling:
		line := "nobody: it cools down since " + a.f.Stamp(d.Since)
		if a.now {
			line += ", until about " + a.f.Stamp(d.Until)
		}
		if len(d.History) > 0 {
			line += fmt.Sprintf("; until then only claim %s/%s gets it", d.History[0].Namespace, d.History[0].Claim)
		}
		lines = append(lines, line)
	case ledger.Free, ledger.Reusable:
		lines = append(lines, "nobody: it is free")
	case ledger.OnRequest:
		lines = append(lines, "nobody: it is free, for a claim that asks for it (its range is explicitOnly)")
	case ledger.Reserved:
		if d.ReservedFor == "" {
			lines = append(lines, "nobody: pool "+d.Pool+" reserves it, for no claim")
		} else {
			lines = append(lines, "nobody: pool "+d.Pool+" reserves it for claim "+d.ReservedFor)
		}
	case ledger.Excluded:
		lines = append(lines, fmt.Sprintf("nobody: pool %s never leases it: it is %s", d.Pool, d.Why))
	case ledger.Outside:
		lines = append(lines, fmt.Sprintf("nobody: it is in the network of pool %s, and outside what the pool leases (%s)", d.Pool, d.ranges))
	case ledger.Unknown:
		lines = append(lines, p.Odd("not known: the record goes back to "+a.f.Stamp(d.RecordedSince)))
	}
	if c := d.Conflict; c != nil {
		lines = append(lines, p.Bad(fmt.Sprintf("a stranger uses it: %s, seen by node %s at %s (MP207)", c.MAC, c.NodeName, a.f.Stamp(c.SeenAt.Time))))
	}
	return lines
}

// holder is a tenure as a sentence.
func (a *answer) holder(t ledger.Tenure) string {
	var line string
	switch t.Grade {
	case ledger.Held:
		line = fmt.Sprintf("pod %s on node %s, interface %s, by claim %s", a.f.Palette().Good(t.Namespace+"/"+t.PodName), t.NodeName, t.Interface, t.Claim)
		if t.Interface == "" {
			line = strings.Replace(line, ", interface ", "", 1)
		}
	case ledger.Unheld:
		line = fmt.Sprintf("claim %s/%s, and no pod", t.Namespace, t.Claim)
	case ledger.ClaimOnly:
		line = fmt.Sprintf("claim %s/%s; which pod it was is not recorded", t.Namespace, t.Claim)
		if t.PodName != "" {
			line = fmt.Sprintf("claim %s/%s; of its pods only the last one is recorded, %s on node %s", t.Namespace, t.Claim, t.PodName, t.NodeName)
		}
	}
	if t.Lasts() {
		return fmt.Sprintf("%s, since %s (%s)", line, a.f.Stamp(t.From), a.f.Ago(t.From))
	}
	return fmt.Sprintf("%s, from %s to %s", line, a.f.Stamp(t.From), a.f.Stamp(t.To))
}

// more are the commands that tell the rest.
func (a *answer) more(d *address) []string {
	subject := d.MAC
	if len(d.IPs) > 0 {
		subject = d.IPs[0]
	}
	commands := []string{"kubectl macpool history " + subject}
	if len(d.Holders) > 0 && d.Holders[0].Lasts() {
		t := d.Holders[0]
		name := t.Claim
		if t.Grade == ledger.Held {
			name = t.PodName
		}
		commands = append(commands, fmt.Sprintf("kubectl macpool explain -n %s %s", t.Namespace, name))
	} else if d.Pool != "" {
		commands = append(commands, "kubectl macpool map "+d.Pool)
	}
	return commands
}
