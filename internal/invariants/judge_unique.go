// SPDX-License-Identifier: Apache-2.0

package invariants

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// one is what must be one owner's: an address or a MAC in a segment.
type one struct{ segment, what string }

// uniqueLeases is I1 of leases. The name of a lease makes its first address unique, and the name alone.
func (j *judge) uniqueLeases() {
	owners := map[one][]client.Object{}
	for i := range j.Leases {
		l := &j.Leases[i]
		if isReleased(l) || binding.IsLock(l) {
			continue
		}
		segment := segmentOf(l.Name)
		owners[one{segment, string(l.Spec.MAC)}] = append(owners[one{segment, string(l.Spec.MAC)}], l)
		for _, ip := range l.Spec.IPs {
			owners[one{segment, string(ip)}] = append(owners[one{segment, string(ip)}], l)
		}
	}
	j.several(owners, "leases", "Delete the lease whose claim no pod uses; macpool makes what is needed again.")
}

// uniqueClaims is I1 of claims that have a lease.
func (j *judge) uniqueClaims() {
	owners := map[one][]client.Object{}
	for i := range j.Claims {
		c := &j.Claims[i]
		if c.Status.LeaseName == "" {
			continue
		}
		segment := segmentOf(c.Status.LeaseName)
		for _, what := range append([]string{c.Status.MAC}, c.Status.IPs...) {
			owners[one{segment, what}] = append(owners[one{segment, what}], c)
		}
	}
	j.several(owners, "claims", "Delete the pod of the claim that the lease does not name, so that the claim gets another address.")
}

// several reports what has several owners, once for each group of them.
func (j *judge) several(owners map[one][]client.Object, kind, fix string) {
	type group struct {
		objects []client.Object
		shared  []string
	}
	groups := map[string]*group{}
	for what, objects := range owners {
		if len(objects) < 2 {
			continue
		}
		names := []string{what.segment}
		for _, o := range objects {
			names = append(names, o.GetNamespace()+"/"+o.GetName())
		}
		id := strings.Join(names, " ")
		if groups[id] == nil {
			groups[id] = &group{objects: objects}
		}
		groups[id].shared = append(groups[id].shared, what.what)
	}
	for _, id := range slices.Sorted(maps.Keys(groups)) {
		g := groups[id]
		slices.Sort(g.shared)
		names := make([]string, 0, len(g.objects))
		for _, o := range g.objects {
			name := o.GetName()
			if o.GetNamespace() != "" {
				name = o.GetNamespace() + "/" + name
			}
			names = append(names, name)
		}
		j.found.add("I1", settleWrite, g.objects, fmt.Sprintf("%s %s all have %s", kind, list(names), list(g.shared)), fix)
	}
}

// uniqueAttachments is I1 of what is attached: by the kernel, and where that could not be asked by the journal.
func (j *judge) uniqueAttachments() {
	owners := map[one][]*attachment{}
	for i := range j.attached {
		a := &j.attached[i]
		m, ips := a.MAC, a.IPs
		switch {
		case a.Instance != "": // its guest has what it was given
		case a.Kernel != nil:
			m, ips = a.Kernel.MAC, a.Kernel.IPs
		case a.Unseen == "":
			continue // there is no interface
		}
		segment := segmentOf(a.Lease)
		owners[one{segment, m}] = append(owners[one{segment, m}], a)
		for _, ip := range ips {
			if j.poolOf(segment, ip) == nil && j.leaseOf[one{segment, ip.String()}] == nil {
				continue // not an address that macpool has a say in
			}
			owners[one{segment, ip.String()}] = append(owners[one{segment, ip.String()}], a)
		}
	}
	said := map[[2]*attachment]bool{}
	for _, what := range slices.SortedFunc(maps.Keys(owners), func(a, b one) int { return slices.Compare([]string{a.segment, a.what}, []string{b.segment, b.what}) }) {
		all := owners[what]
		for i, a := range all {
			for _, b := range all[i+1:] {
				if said[[2]*attachment{a, b}] || j.mayShare(a, b) {
					continue
				}
				said[[2]*attachment{a, b}] = true
				j.found.add("I1", settleFence, j.objectsOf(a, b), fmt.Sprintf("%s and %s both have %s", a, b, what.what),
					"Delete the pod that is not the holder of the claim (kubectl get macleases "+a.Lease+").")
			}
		}
	}
}

// mayShare tells whether two interfaces may have one address: two containers of one pod, of which the runtime ends the first, and the two pods of
// a VM that migrates.
func (j *judge) mayShare(a, b *attachment) bool {
	if a.Claim != b.Claim {
		return false
	}
	return a.Pod.UID == b.Pod.UID || a.Instance != "" && a.Instance == b.Instance
}

// objectsOf are the claims of attachments, as far as they are there, and their pods.
func (j *judge) objectsOf(all ...*attachment) []client.Object {
	var objects []client.Object
	for _, a := range all {
		if c := j.claims[keyOf(v1alpha1.ClaimRef{Namespace: a.Claim.Namespace, Name: a.Claim.Name})]; c != nil && !slices.Contains(objects, client.Object(c)) {
			objects = append(objects, c)
		}
		if p := j.podNamed(a); p != nil {
			objects = append(objects, p)
		}
	}
	return objects
}
