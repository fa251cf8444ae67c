// SPDX-License-Identifier: Apache-2.0

// Package history is the command kubectl macpool history.
package history

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/ledger"
)

// New is the command.
func New(f *cli.Factory) *cobra.Command {
	var output cli.Output
	c := &cobra.Command{
		Use:   "history (IP | MAC | CLAIM | POD)",
		Short: "Tell who had an address, newest first",
		Long: `Tell who had an address, newest first: which pod, by which claim, on which node, from when to when, and why it ended.

Of a claim or a pod it tells which addresses it had. A lease remembers its last 8 claims, and a claim its last 8 pods for as long as
there is the claim. A pod with dots before it is the last one of its claim: those before it are not recorded.`,
		Example: `  # Who had an IP, or a MAC
  kubectl macpool history 192.168.50.100
  kubectl macpool history 02:32:00:a8:32:64

  # Which addresses a claim had, with the evidence on which each time ended
  kubectl macpool history -n default db-0.iot.net1 -o wide`,
		Args:              cli.OneArgument("the IP, the MAC, or the name of the claim", "192.168.50.8"),
		ValidArgsFunction: f.CompleteHolder,
		RunE: func(c *cobra.Command, args []string) error {
			if err := output.Check(); err != nil {
				return err
			}
			q, s, err := f.Ask(c.Context(), args[0])
			if err != nil {
				return err
			}
			found := s.Find(q)
			if len(found) == 0 {
				return cli.NoAddress(q, s)
			}
			return output.Write(f.Out, newAnswer(f, s, q, found))
		},
	}
	output.AddTo(c)
	return c
}

// answer is the record of the addresses that were asked for.
type answer struct {
	Query     string   `json:"query"`
	Addresses []record `json:"addresses"`

	f *cli.Factory
}

// record is that of one address.
type record struct {
	Segment string          `json:"segment"`
	Lease   string          `json:"lease,omitempty"`
	MAC     string          `json:"mac"`
	IPs     []string        `json:"ips,omitempty"`
	Tenures []ledger.Tenure `json:"tenures"`
	// RecordedSince is since when no tenure is missing.
	RecordedSince time.Time `json:"recordedSince"`
}

func newAnswer(f *cli.Factory, s *ledger.Snapshot, q ledger.Query, found []ledger.Address) *answer {
	a := &answer{Query: q.String(), f: f}
	for _, address := range found {
		r := record{Segment: address.Name.Segment, MAC: address.MAC.String(), Tenures: []ledger.Tenure{}, RecordedSince: s.Reach(address)}
		for _, ip := range address.IPs {
			r.IPs = append(r.IPs, ip.String())
		}
		if address.Lease != nil {
			r.Lease = address.Lease.Name
		}
		for _, t := range s.Tenures(address) {
			if o := q.Object; o.Name == "" || o.Namespace == t.Namespace && (o.Name == t.Claim || o.Name == t.PodName) {
				r.Tenures = append(r.Tenures, t)
			}
		}
		a.Addresses = append(a.Addresses, r)
	}
	return a
}

// Names are the leases.
func (a *answer) Names() []string {
	var names []string
	for _, r := range a.Addresses {
		if r.Lease != "" {
			names = append(names, "maclease.macpool.dev/"+r.Lease)
		}
	}
	return names
}

// Print writes a table for each address.
func (a *answer) Print(w io.Writer, wide bool) error {
	p := a.f.Palette()
	for i, r := range a.Addresses {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		title := strings.Join(append(slices.Clone(r.IPs), r.MAC), "  ")
		if _, err := fmt.Fprintf(w, "%s  %s\n", p.Bold(cli.Line(title)), p.Faint(cli.Line("(segment "+r.Segment+")"))); err != nil {
			return err
		}
		if len(r.Tenures) == 0 {
			if _, err := fmt.Fprintln(w, "Nobody had it."); err != nil {
				return err
			}
		} else if err := cli.Tenures(w, a.f, r.Tenures, wide); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w, p.Faint("What was before "+a.f.Stamp(r.RecordedSince)+" may be missing.")); err != nil {
			return err
		}
	}
	return nil
}
