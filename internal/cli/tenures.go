// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"io"
	"strings"

	"github.com/macpool/macpool/internal/ledger"
)

// Tenures writes a table of who had an address.
func Tenures(w io.Writer, f *Factory, tenures []ledger.Tenure, wide bool) error {
	headings := []string{"FROM", "TO", "NAMESPACE", "POD", "CLAIM", "NODE", "ENDED"}
	if wide {
		headings = append(headings, "INTERFACE", "POD-UID", "EVIDENCE")
	}
	rows := make([][]string, 0, len(tenures))
	for _, t := range tenures {
		to := "now"
		if !t.Lasts() {
			to = f.Stamp(t.To)
		}
		row := []string{f.Stamp(t.From), to, t.Namespace, podOf(t), t.Claim, Dash(t.NodeName), Dash(string(t.Reason))}
		if wide {
			row = append(row, Dash(t.Interface), Dash(string(t.PodUID)), Dash(t.Evidence))
		}
		rows = append(rows, row)
	}
	return Table(w, headings, rows)
}

// podOf is the pod of a tenure, as far as it is known.
func podOf(t ledger.Tenure) string {
	switch {
	case t.Grade == ledger.Held:
		return t.PodName
	case t.Grade == ledger.Unheld:
		return "(none)"
	case t.PodName != "":
		return "... " + t.PodName
	}
	return "(not recorded)"
}

// Dash is what stands in a table for nothing.
func Dash(s string) string {
	if strings.TrimSpace(s) == "" {
		return "-"
	}
	return s
}
