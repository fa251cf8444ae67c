// SPDX-License-Identifier: Apache-2.0

package export

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
)

// record is one lease, as a claim has it. A claim is enough: there need not be a pod yet.
type record struct {
	claim *v1alpha1.MacClaim
	mac   mac.Addr
	// ips are at most one of each family, IPv4 first; none of a lease of a MAC alone.
	ips []netip.Addr
	// host is a DNS label that no other record has.
	host string
}

// ip is the record's address of a family.
func (r *record) ip(is4 bool) (netip.Addr, bool) {
	for _, ip := range r.ips {
		if ip.Is4() == is4 {
			return ip, true
		}
	}
	return netip.Addr{}, false
}

// fqdn is the host's name in a domain; the bare name in none.
func (r *record) fqdn(domain string) string {
	if domain == "" {
		return r.host
	}
	return r.host + "." + domain
}

// String names the claim for messages.
func (r *record) String() string { return r.claim.Namespace + "/" + r.claim.Name }

// recordsOf are the leases of claims, in the order of their addresses, each with its name. waiting are the claims that have none, or have lost
// it to another: what such a claim's status says is that one's now.
func recordsOf(claims []v1alpha1.MacClaim) (records []*record, waiting []string, err error) {
	for i := range claims {
		c := &claims[i]
		r := &record{claim: c}
		if ready := apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ClaimReady); c.Status.LeaseName == "" ||
			ready != nil && ready.Reason == problem.LeaseLost.Reason {
			waiting = append(waiting, r.String())
			continue
		}
		if r.mac, err = mac.Parse(c.Status.MAC); err != nil {
			return nil, nil, fmt.Errorf("reading claim %s: %w", r, err)
		}
		for _, text := range c.Status.IPs {
			ip, err := netip.ParseAddr(text)
			if err == nil && (ip.Zone() != "" || ip.Is4In6()) { // a zone is any text, and would end in somebody's configuration
				err = fmt.Errorf("%q is no address of a VLAN", text)
			}
			if err != nil {
				return nil, nil, fmt.Errorf("reading claim %s: %w. Delete the claim if it has been tampered with", r, err)
			}
			r.ips = append(r.ips, ip)
		}
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b *record) int {
		return cmp.Or(
			cmp.Compare(len(b.ips), 0)-cmp.Compare(len(a.ips), 0), // MACs alone come last
			slices.CompareFunc(a.ips, b.ips, netip.Addr.Compare),
			cmp.Compare(a.mac.String(), b.mac.String()),
			cmp.Compare(a.String(), b.String()),
		)
	})
	slices.Sort(waiting)
	nameAll(records)
	return records, waiting, nil
}
