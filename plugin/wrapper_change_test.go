// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"net/netip"
	"testing"

	"github.com/macpool/macpool/internal/agentapi"
)

// A network changes its form while pods are attached to it, as it may when macpool is upgraded, and back. What was attached by the one passes the
// CHECK of the other, and its DEL leaves nothing; the pod's next ADD is served by the other.
func TestNetworkChangesItsForm(t *testing.T) {
	for main, fields := range map[string]string{"macvlan": macvlanMain, "bridge": bridgeMain} {
		chained := listOf("1.0.0", "{"+fields+","+poolIPAM+"}", chainedMain)
		wrapper := listOf("1.0.0", wrapped(fields))
		for name, forms := range map[string]struct {
			before, after string
			questions     int
		}{"to the wrapper": {chained, wrapper, 1}, "from the wrapper": {wrapper, chained, 2}} {
			t.Run(main+" "+name, func(t *testing.T) {
				lease := leaseOf(ip4(), agentapi.IP{Address: netip.MustParsePrefix("fd00:50::8/64")})
				a := newAgent(t, lease)
				n, p := newNode(t, a), newPod(t, "c1")
				before, after := network(t, forms.before), network(t, forms.after)
				if _, err := n.add(t, before, p); err != nil {
					t.Fatal(err)
				}
				checkAndRemove(t, n, a, after, p, "1.0.0", forms.questions)
				result, err := n.add(t, after, p)
				if err != nil {
					t.Fatal(err)
				}
				isRight(t, p, result, lease)
			})
		}
	}
}
