// SPDX-License-Identifier: Apache-2.0

//go:build vlan

package vlan_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/e2e/vlan/guestapi"
)

// TestVLAN is one story, whose frames are judged at its end: pods of one pool on three nodes, beside them a pool with the same
// subnets on another VLAN, and a pod that moves.
func TestVLAN(t *testing.T) {
	t.Cleanup(func() { judgeWire(t) }) // however it went
	t.Run("parents", parentsAreReal)
	makeNetwork(t, "vlan50", vlanPods)
	makeNetwork(t, "vlan60", vlanOther)
	n := machines
	a := []*pod{
		run(t, newPod("a1", "vlan50", "192.168.50.11"), n[0]),
		run(t, newPod("a2", "vlan50", "192.168.50.12"), n[1]),
		run(t, newPod("a3", "vlan50", "192.168.50.13"), n[2]),
	}
	// One has the address of a2, one an address that nobody has on the other VLAN.
	b := []*pod{
		run(t, newPod("b1", "vlan60", "192.168.50.12"), n[0]),
		run(t, newPod("b2", "vlan60", "192.168.50.61"), n[1]),
	}
	t.Run("announcements", func(t *testing.T) {
		for _, p := range a {
			assertAnnounced(t, p, vlanPods)
		}
		for _, p := range b {
			assertAnnounced(t, p, vlanOther)
		}
	})
	t.Run("check", func(t *testing.T) {
		for _, p := range slices.Concat(a, b) {
			if err := p.node.Check(p.sandbox.ID); err != nil {
				t.Errorf("CHECK of %s on %s: %v", p.Name, p.node.Name, err)
			}
		}
		progress("CHECK agrees on every node")
	})
	t.Run("reach", func(t *testing.T) { reachOneAnother(t, a) })
	t.Run("isolation", func(t *testing.T) { isolated(t, a, b) })
	t.Run("move", func(t *testing.T) { move(t, a[1]) })
}

// parentsAreReal asks the kernel of each node what its parents are, so that no test here passes on anything else.
func parentsAreReal(t *testing.T) {
	want := []guestapi.Parent{
		{Name: "eth0.50", Kind: "vlan", VLAN: 50, Protocol: "802.1q", On: "eth0"},
		{Name: "eth0.60", Kind: "vlan", VLAN: 60, Protocol: "802.1q", On: "eth0"},
	}
	for _, m := range machines {
		got, err := m.Parents()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", m.Name, diff)
		}
		progress("%s has %+v", m.Name, got)
	}
}

// assertAnnounced waits until the switch has seen, at the port of the pod's node, the pod announce each of its addresses: a
// gratuitous ARP and an unsolicited neighbour advertisement, tagged, from the leased MAC and saying it.
func assertAnnounced(t *testing.T, p *pod, vlan int) {
	t.Helper()
	for _, ip := range p.ips() {
		eventually(t, fmt.Sprintf("%s announces %s", p.Name, ip), func(context.Context) error {
			frames := p.node.wire.Frames()
			found := slices.ContainsFunc(frames, func(f lab.Frame) bool {
				return f.VLAN == vlan && f.Announced == ip && f.AnnouncedMAC == p.mac() && f.Source == p.mac()
			})
			if !found {
				return fmt.Errorf("it is in none of the %d frames of %s", len(frames), p.node.Name)
			}
			return nil
		})
	}
	progress("%s has announced %v at %s in VLAN %d", p.Name, p.ips(), p.mac(), vlan)
}

func reachOneAnother(t *testing.T, pods []*pod) {
	t.Helper()
	for _, from := range pods {
		for _, to := range pods {
			if from != to {
				from.reach(t, to)
			}
		}
	}
	progress("all %d pods of VLAN %d reach one another over IPv4 and IPv6", len(pods), vlanPods)
}

// isolated : the same address is two pods', each reached on its own VLAN only; one that is on the other VLAN only is not
// reached at all.
func isolated(t *testing.T, a, b []*pod) {
	t.Helper()
	b[0].reach(t, b[1])
	b[1].reach(t, b[0])
	twin := a[1].ips()
	if diff := cmp.Diff(twin, b[0].ips(), cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
		t.Fatalf("a2 and b1 have not the same addresses: %s", diff)
	}
	for from, want := range map[*pod]*pod{a[0]: a[1], b[1]: b[0]} {
		for ip, mac := range from.entries(t, twin) {
			if mac != want.mac() {
				t.Errorf("%s has %s at %q, want %s of %s", from.Name, ip, mac, want.mac(), want.Name)
			}
		}
	}
	var all sync.WaitGroup
	for from, to := range map[*pod]*pod{a[2]: b[1], b[0]: a[2]} {
		for _, ip := range to.ips() {
			all.Go(func() {
				if rtt, err := from.node.Ping(from.sandbox.ID, ip, silence); err == nil {
					t.Errorf("%s, which is on another VLAN, was reached from %s in %s", ip, from.Name, rtt)
				}
			})
		}
	}
	all.Wait()
	progress("the pods of VLAN %d reach each other, and none of VLAN %d with the same addresses", vlanOther, vlanPods)
}

// move : a StatefulSet's pod goes from the first node to the third. The witness, on the second, reaches it with the first
// echo request, by the entry that it has: the MAC is the same, and the announcement has told the switch where it is now.
func move(t *testing.T, witness *pod) {
	t.Helper()
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: "db",
			Selector:    &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "db"}, Annotations: map[string]string{"k8s.v1.cni.cncf.io/networks": "vlan50"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "db", Image: "db"}}},
			},
		},
	}
	if err := cluster.Client.Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	first := run(t, lab.Replica(set, 0), machines[0])
	witness.reach(t, first)
	before := witness.entries(t, first.ips())

	first.stop(t)
	progress("db-0 is stopped on %s", first.node.Name)
	second := run(t, lab.Replica(set, 0), machines[2])
	witness.reach(t, second)
	after := witness.entries(t, first.ips())

	if second.mac() != first.mac() || !slices.Equal(second.ips(), first.ips()) {
		t.Errorf("db-0 moved from %s %v to %s %v", first.mac(), first.ips(), second.mac(), second.ips())
	}
	for _, ip := range first.ips() {
		if before[ip] != first.mac() || after[ip] != first.mac() {
			t.Errorf("%s had %s at %q before the move and %q after it, want %s", witness.Name, ip, before[ip], after[ip], first.mac())
		}
	}
	assertAnnounced(t, second, vlanPods)
	if err := second.node.Check(second.sandbox.ID); err != nil {
		t.Errorf("CHECK after the move: %v", err)
	}
	progress("db-0 is on %s, and %s reaches it by the entries that it had: %v", second.node.Name, witness.Name, after)
}

// judgeWire ends the captures and judges every frame.
func judgeWire(t *testing.T) {
	t.Helper()
	var frames []lab.Frame
	for _, m := range machines {
		sent, err := m.wire.Stop()
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, sent...)
	}
	v := judge(frames, allLeases(t, map[string]int{"vlan50": vlanPods, "vlan60": vlanOther}))
	for _, c := range v.complaints() {
		t.Error(c)
	}
	progress("at the switch: %s", v)
}

func sameAddresses(a, b []netip.Addr) bool {
	order := netip.Addr.Compare
	return slices.Equal(slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order))
}
