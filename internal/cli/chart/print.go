// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/ledger"
)

// signs are what an address is drawn as. They are ASCII and tell all by themselves; colours only help.
var signs = map[ledger.State]struct{ sign, meaning string }{
	ledger.Leased:     {"#", "leased"},
	ledger.OutOfRange: {"@", "leased, and out of range since the pool was edited"},
	ledger.Conflicted: {"!", "in conflict with a stranger"},
	ledger.Cooling:    {"~", "cooling down"},
	ledger.Reusable:   {":", "free, with a record of who had it"},
	ledger.Free:       {".", "free"},
	ledger.OnRequest:  {",", "free for who asks for it"},
	ledger.Reserved:   {"r", "reserved"},
	ledger.Excluded:   {"x", "excluded"},
	ledger.Outside:    {" ", "in no range"},
	ledger.Unknown:    {"?", "not recorded"},
}

// group is how many signs stand together.
const group = 8

// columnsFor is how many signs a row has: a power of two that fits beside the label.
func columnsFor(width, label int) int {
	columns := 64
	for columns > group && label+2+columns+columns/group > width {
		columns /= 2
	}
	return columns
}

// Print writes the map, its legend, the counts, the largest holders and the outlook.
func (a *answer) Print(w io.Writer, wide bool) error {
	p := a.f.Palette()
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\n", p.Bold("pool "+a.Pool), p.Faint(fmt.Sprintf("VLAN %d, %s, at %s", a.VLAN, a.Prefix, a.f.Stamp(a.At))))
	used := a.grid(&b, p)
	fmt.Fprintln(&b)
	a.legend(&b, used)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return a.summary(w, wide)
}

// grid draws the cells, and returns the states that it has drawn.
func (a *answer) grid(b *strings.Builder, p cli.Palette) map[ledger.State]bool {
	used := map[ledger.State]bool{}
	label := 0
	for i := 0; i < len(a.Cells); i += a.columns {
		label = max(label, len(a.label(i)))
	}
	for row := 0; row < len(a.Cells); row += a.columns {
		var line strings.Builder
		for i := row; i < min(row+a.columns, len(a.Cells)); i++ {
			if i > row && i%group == 0 {
				line.WriteByte(' ')
			}
			line.WriteString(a.sign(&a.Cells[i], used, p))
		}
		fmt.Fprintf(b, "%-*s  %s\n", label, a.label(row), strings.TrimRight(line.String(), " "))
	}
	return used
}

// label is the first address of a row.
func (a *answer) label(i int) string {
	address, _, _ := strings.Cut(a.Cells[i].Prefix, "/")
	return address
}

// sign is that of a cell.
func (a *answer) sign(c *cell, drawn map[ledger.State]bool, p cli.Palette) string {
	if c.Counts == nil {
		drawn[c.State] = true
		return paint(p, c.State, signs[c.State].sign)
	}
	used := busy(c.Counts)
	all := used + c.Counts[ledger.Free] + c.Counts[ledger.Reusable] + c.Counts[ledger.OnRequest] + c.Counts[ledger.Reserved]
	switch {
	case c.Counts[ledger.Conflicted] > 0:
		return p.Bad("!")
	case c.Counts[ledger.Unknown] > 0 && used == 0:
		return "?"
	case all == 0:
		return " "
	case used == 0:
		return p.Faint(".")
	case used == all:
		return p.Good("#")
	}
	return p.Good(strconv.FormatUint(used*10/all, 10))
}

// busy is how many addresses of a prefix nobody else could get now.
func busy(c ledger.Counts) uint64 {
	return c[ledger.Leased] + c[ledger.OutOfRange] + c[ledger.Conflicted] + c[ledger.Cooling]
}

func paint(p cli.Palette, s ledger.State, text string) string {
	switch s {
	case ledger.Leased:
		return p.Good(text)
	case ledger.Conflicted:
		return p.Bad(text)
	case ledger.OutOfRange, ledger.Cooling:
		return p.Odd(text)
	case ledger.Excluded, ledger.Free:
		return p.Faint(text)
	default:
		return text
	}
}

// legend says what the signs mean that were drawn.
func (a *answer) legend(b *strings.Builder, used map[ledger.State]bool) {
	if a.CellSize > 1 {
		busiest := slices.MaxFunc(a.Cells, func(x, y cell) int { return cmp.Compare(busy(x.Counts), busy(y.Counts)) })
		fmt.Fprintf(b, "A sign is %d addresses: . none in use, 0 to 9 so many tenths, # all, ! some in conflict, blank none to lease.\n", a.CellSize)
		fmt.Fprintf(b, "To look into one: kubectl macpool map %s %s\n\n", a.Pool, busiest.Prefix)
		return
	}
	for _, state := range ledger.States() {
		if used[state] && state != ledger.Outside {
			fmt.Fprintf(b, "%s %s\n", signs[state].sign, signs[state].meaning)
		}
	}
	fmt.Fprintln(b)
}

func (a *answer) summary(w io.Writer, wide bool) error {
	var counts []string
	for _, state := range ledger.States() {
		if n := a.Counts[state]; n > 0 && state != ledger.Outside {
			counts = append(counts, fmt.Sprintf("%d %s", n, shortly(state)))
		}
	}
	if _, err := fmt.Fprintf(w, "The pool: %s.\n%s\n", strings.Join(counts, ", "), a.outlook()); err != nil {
		return err
	}
	if len(a.Namespaces) == 0 {
		return nil
	}
	var rows [][]string
	for _, share := range a.Namespaces {
		rows = append(rows, []string{share.Namespace, "(all)", strconv.Itoa(share.Leases)})
	}
	for _, share := range a.Workloads {
		rows = append(rows, []string{share.Namespace, share.Workload, strconv.Itoa(share.Leases)})
	}
	if !wide {
		rows = slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "(all)" && len(a.Namespaces) == 1 })
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return cli.Table(w, []string{"NAMESPACE", "WORKLOAD", "LEASES"}, rows)
}

func shortly(s ledger.State) string {
	switch s {
	case ledger.OutOfRange:
		return "out of range"
	case ledger.OnRequest:
		return "on request"
	case ledger.Conflicted:
		return "in conflict"
	case ledger.Reusable:
		return "free with a record"
	case ledger.Unknown:
		return "not recorded"
	default:
		return string(s)
	}
}

func (a *answer) outlook() string {
	o := a.Outlook
	days := fmt.Sprintf("%.0f days", o.Window.Hours()/24)
	switch {
	case o.Window == 0:
		return fmt.Sprintf("%d are available. How long they last is not known yet: the pool is younger than a day.", o.Available)
	case o.Days == nil:
		return fmt.Sprintf("%d are available, and it has not grown in %s.", o.Available, days)
	}
	return fmt.Sprintf("%d are available: %.0f days at the rate of the last %s, in which %d were added.", o.Available, *o.Days, days, o.Growth)
}
