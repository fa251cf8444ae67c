// SPDX-License-Identifier: Apache-2.0

// Package export is kubectl macpool export: who has which address, in the words of whatever else has to know it.
package export

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
)

// format is a form of output.
type format struct {
	name, about string
	write       func(io.Writer, *export) error
	// subnets: the format states networks, which only the pools know.
	subnets bool
	// lasting: only what comes again has a place in it.
	lasting bool
	// addressed: a lease that is a MAC alone has no place in it.
	addressed bool
	// domain is whether names may, or must, be given a domain.
	domain domainUse
}

type domainUse int

const (
	domainUnused domainUse = iota
	domainOptional
	domainNeeded
)

func formats() []format {
	return []format{
		{name: "kea", about: "reservations of Kea, DHCPv4 and DHCPv6, by subnet", write: kea, subnets: true},
		{name: "dnsmasq", about: "dhcp-host lines of dnsmasq", write: dnsmasq},
		{name: "isc", about: "host declarations of ISC dhcpd", write: isc},
		{name: "csv", about: "all that is known, for a spreadsheet or a script", write: table, domain: domainOptional},
		{name: "hosts", about: "lines of /etc/hosts", write: hosts, addressed: true, domain: domainOptional},
		{name: "netbox-csv", about: "the bulk import of IP addresses of NetBox", write: netbox, subnets: true, addressed: true, domain: domainOptional},
		{name: "external-dns", about: "DNSEndpoints of external-dns", write: externalDNS, addressed: true, domain: domainNeeded},
		{name: "claims", about: "MacClaims with their addresses written down, to be kept in Git", write: claims, lasting: true},
	}
}

func formatNames() []string {
	var names []string
	for _, f := range formats() {
		names = append(names, f.name)
	}
	return names
}

// options are the flags.
type options struct {
	format, domain string
	allNamespaces  bool
}

// New is the command export.
func New(f *cli.Factory) *cobra.Command {
	var o options
	var list strings.Builder
	for _, form := range formats() {
		fmt.Fprintf(&list, "  %-13s %s\n", form.name, form.about)
	}
	c := &cobra.Command{
		Use:   "export [POOL...] --format FORMAT",
		Short: "Write who has which address for DHCP servers, DNS, NetBox, spreadsheets or Git",
		Long: `Write who has which address for DHCP servers, DNS, NetBox, spreadsheets or Git.

Claims are exported as soon as they are bound, whether there is a pod yet or not, of all namespaces that you may read or of the one
that -n names. What was released is not. The formats are:

` + list.String() + `
Hosts are named after their workloads, or their claims if they are for none, and sorted by address. Of hosts that would have one name
each has its namespace in it, too. What is left out is said on standard error.`,
		Example: `  # Reservations for the DHCP server of the VLAN, of one pool
  kubectl macpool export iot --format dnsmasq

  # All addresses, for a spreadsheet
  kubectl macpool export --format csv > addresses.csv

  # Names in DNS, by external-dns
  kubectl macpool export --format external-dns --domain iot.example.org | kubectl apply -f -

  # The claims of a namespace with their addresses, for Git
  kubectl macpool export --format claims -n default > claims.yaml`,
		ValidArgsFunction: f.CompletePools,
		RunE:              func(c *cobra.Command, pools []string) error { return run(c.Context(), f, o, pools) },
	}
	c.Flags().StringVar(&o.format, "format", "", "What to write. One of: "+strings.Join(formatNames(), ", ")+".")
	c.Flags().StringVar(&o.domain, "domain", "", "The domain of the hosts' names. external-dns needs one.")
	c.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "Of all namespaces, whatever -n says. Without -n that is so anyway.")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formatNames(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

// export is what a format writes, and how.
type export struct {
	records []*record
	domain  string
	// pools are there if the format needs subnets.
	pools map[string]*v1alpha1.MacPool
	// jobs are the claims of Jobs' pods, if the format is of what lasts.
	jobs map[types.NamespacedName]bool
	// notes are what the person has to be told beside the output.
	notes []string
}

func (e *export) note(text string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(text, args...))
}

// subnet is the network of a record's address.
func (e *export) subnet(r *record, ip netip.Addr) (netip.Prefix, error) {
	name := r.claim.Spec.PoolRef.Name
	if pool, ok := e.pools[name]; ok {
		for _, s := range pool.Spec.Subnets {
			if prefix, err := netip.ParsePrefix(string(s.CIDR)); err == nil && prefix.Contains(ip) {
				return prefix, nil
			}
		}
	}
	return netip.Prefix{}, fmt.Errorf("address %s of claim %s lies in no subnet of pool %s, or the pool is gone: this format needs the subnet, csv and hosts do not", ip, r, name)
}

func run(ctx context.Context, f *cli.Factory, o options, pools []string) error {
	i := slices.IndexFunc(formats(), func(form format) bool { return form.name == o.format })
	if i < 0 {
		return fmt.Errorf("there is no format %q: write --format with one of %s", o.format, strings.Join(formatNames(), ", "))
	}
	form := formats()[i]
	if err := form.domain.check(form.name, o.domain); err != nil {
		return err
	}
	namespace := *f.Config.Namespace
	if o.allNamespaces {
		namespace = ""
	}
	atHand, err := f.Namespace()
	if err != nil {
		return err
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	e := &export{domain: o.domain}
	if err := e.read(ctx, c, form, pools, namespace, atHand); err != nil {
		return err
	}
	var out bytes.Buffer // a part of it would look like all of it
	if err := form.write(&out, e); err != nil {
		return err
	}
	if _, err := out.WriteTo(cli.ForTerminal(f.Out)); err != nil {
		return err
	}
	for _, note := range e.notes {
		if _, err := fmt.Fprintln(f.ErrOut, "note:", note); err != nil {
			return err
		}
	}
	return nil
}

// read collects what the format is about.
func (e *export) read(ctx context.Context, c client.Client, form format, pools []string, namespace, atHand string) error {
	all, unread, err := claimsIn(ctx, c, namespace, atHand)
	if err != nil {
		return err
	}
	if len(unread) > 0 {
		e.note("not read, since you may not list macclaims there: namespaces %s", strings.Join(unread, ", "))
	}
	if all, err = ofPools(ctx, c, all, pools); err != nil {
		return err
	}
	if form.subnets {
		var list v1alpha1.MacPoolList
		if err := c.List(ctx, &list); err != nil {
			return fmt.Errorf("listing pools, whose subnets this format needs: %w", err)
		}
		e.pools = map[string]*v1alpha1.MacPool{}
		for i := range list.Items {
			e.pools[list.Items[i].Name] = &list.Items[i]
		}
	}
	if err := e.take(all, form); err != nil {
		return err
	}
	if form.lasting {
		return e.findJobs(ctx, c)
	}
	return nil
}

// take makes the records of claims.
func (e *export) take(all []v1alpha1.MacClaim, form format) error {
	records, waiting, err := recordsOf(all)
	if err != nil {
		return err
	}
	for _, claim := range waiting {
		e.note("claim %s is left out: it has no address, kubectl describe macclaim says why", claim)
	}
	for _, r := range records {
		if form.addressed && len(r.ips) == 0 {
			e.note("claim %s is left out: it has a MAC alone, whose address is not macpool's", r)
			continue
		}
		e.records = append(e.records, r)
	}
	return nil
}

func (u domainUse) check(name, domain string) error {
	switch {
	case domain == "" && u == domainNeeded:
		return fmt.Errorf("format %s needs --domain, the domain that the names are in", name)
	case domain == "":
		return nil
	case u == domainUnused:
		return fmt.Errorf("format %s has no place for a domain: leave --domain out", name)
	}
	if wrong := validation.IsDNS1123Subdomain(domain); len(wrong) > 0 {
		return fmt.Errorf("%q is no domain: %s", domain, wrong[0])
	}
	return nil
}
