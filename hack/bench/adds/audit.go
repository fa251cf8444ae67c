// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"strings"

	"github.com/macpool/macpool/hack/bench/rig"
)

// request is what requests have in common that are counted together.
type request struct{ who, what string }

// asked is how many requests there were, and the octets of the objects in them and in their answers.
type asked struct{ count, sent, received float64 }

// next are the requests of macpool's parts since the last call.
func next(log *rig.AuditLog) (map[request]asked, error) {
	requests, err := log.Next()
	if err != nil {
		return nil, err
	}
	all := map[request]asked{}
	for _, one := range requests {
		account, ours := strings.CutPrefix(one.User, "system:serviceaccount:macpool-system:")
		if !ours || isRoutine(one) {
			continue
		}
		r := request{account, one.Verb + " " + one.Resource}
		sum := all[r]
		sum.count++
		sum.sent += float64(one.Sent)
		sum.received += float64(one.Received)
		all[r] = sum
	}
	return all, nil
}

// isRoutine tells whether it is asked every some seconds however many pods there are: the processes' own reports and leases, and whether there is an
// answer at all.
func isRoutine(r rig.Request) bool {
	switch r.Resource {
	case "macnodes", "macnodes/status", "nodes", "leases":
		return true
	}
	return strings.Contains(r.URI, "limit=1&") || strings.HasSuffix(r.URI, "limit=1")
}
