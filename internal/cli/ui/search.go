// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/ledger"
)

// found is an address or a claim that a search has found.
type found struct {
	Pool      string `json:"pool,omitempty"`
	Prefix    string `json:"prefix,omitempty"`
	Address   string `json:"address,omitempty"`
	Letter    string `json:"letter,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Claim     string `json:"claim,omitempty"`
	Pod       string `json:"pod,omitempty"`
}

// mostFound is how many results a person looks through.
const mostFound = 30

// search finds addresses and claims: an IP or MAC whole, whether it is leased or not, and any part of the IP, MAC, pod, claim or namespace of
// what is or was leased.
func (s *server) search(r *http.Request) (any, error) {
	a, err := s.asked(r)
	if err != nil {
		return nil, err
	}
	text := strings.ToLower(strings.TrimSpace(r.FormValue("q")))
	if text == "" {
		return nil, &refusal{http.StatusBadRequest, "nothing is searched for"}
	}
	var addresses []ledger.Address
	if q, err := ledger.ParseQuery(text, ""); err == nil && q.Object.Name == "" {
		addresses = a.Find(q)
	}
	hits := []found{}
	for _, address := range addresses {
		hits = append(hits, a.hit(address))
	}
	whole := len(hits)
	seen := map[string]bool{}
	for i := range a.objects.Leases {
		l := &a.objects.Leases[i]
		if binding.IsLock(l) || !leaseHas(l, text) {
			continue
		}
		if name, err := binding.NameOf(l); err == nil && !slices.ContainsFunc(addresses, func(x ledger.Address) bool { return x.Name == name }) {
			ref := l.Spec.ClaimRef
			seen[ref.Namespace+"/"+ref.Name] = seen[ref.Namespace+"/"+ref.Name] || l.Spec.ReleasedAt == nil
			hits = append(hits, found{Pool: l.Spec.PoolName, Address: name.Leased(), Namespace: ref.Namespace, Claim: ref.Name, Pod: l.Spec.PodName})
		}
	}
	for i := range a.objects.Claims {
		c := &a.objects.Claims[i]
		if seen[c.Namespace+"/"+c.Name] || !claimHas(c, text) {
			continue
		}
		hit := found{Pool: c.Spec.PoolRef.Name, Address: firstOf(c), Namespace: c.Namespace, Claim: c.Name}
		if c.Status.Holder != nil {
			hit.Pod = c.Status.Holder.PodName
		}
		if !slices.ContainsFunc(hits[:whole], func(h found) bool { return h.Pool == hit.Pool && h.Address == hit.Address }) {
			hits = append(hits, hit)
		}
	}
	slices.SortStableFunc(hits[whole:], func(x, y found) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Claim, y.Claim), cmp.Compare(x.Address, y.Address))
	})
	total := len(hits)
	hits = hits[:min(total, mostFound)]
	for i := range hits {
		a.complete(&hits[i])
	}
	return map[string]any{
		"hits": hits, "total": total,
		"hint": "No address, claim or pod on record has this in it. Write an IP, a MAC, or a part of the name of a pod, claim or namespace.",
	}, nil
}

func leaseHas(l *v1alpha1.MacLease, text string) bool {
	ref := l.Spec.ClaimRef
	if strings.Contains(ref.Namespace+"/"+ref.Name, text) || strings.Contains(l.Spec.PodName, text) || strings.Contains(string(l.Spec.MAC), text) {
		return true
	}
	return slices.ContainsFunc(l.Spec.IPs, func(ip v1alpha1.IPAddress) bool { return strings.Contains(string(ip), text) }) ||
		slices.ContainsFunc(l.Spec.History, func(h v1alpha1.LeaseHistory) bool {
			return strings.Contains(h.Namespace+"/"+h.Claim, text) || strings.Contains(h.PodName, text)
		})
}

func claimHas(c *v1alpha1.MacClaim, text string) bool {
	if strings.Contains(c.Namespace+"/"+c.Name, text) {
		return true
	}
	return slices.ContainsFunc(binding.Holders(c), func(h *v1alpha1.Holder) bool { return strings.Contains(h.PodName, text) }) ||
		slices.ContainsFunc(c.Status.PreviousHolders, func(h v1alpha1.PreviousHolder) bool { return strings.Contains(h.PodName, text) })
}
