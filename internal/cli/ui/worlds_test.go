// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/binding"
)

// house is a small cluster with all that can be seen: a busy /24 with everything, a conflict, an empty pool, a /16, a pool of MACs alone, and
// a claim that waits.
func house(t *testing.T) *seed {
	t.Helper()
	s := newSeed(t)
	s.pool("cameras", 60, "192.168.60.0/24", []string{"192.168.60.100", "192.168.60.199"}, func(p *v1alpha1.MacPool) {
		p.Spec.Subnets[0].Gateway = "192.168.60.1"
	})
	s.iot()
	s.plant(9000)
	s.pool("dhcp", 70, "", nil, func(p *v1alpha1.MacPool) { p.Spec.Subnets = nil })
	s.counted()
	return s
}

// iot is a busy /24: VLAN 50.
func (s *seed) iot() {
	iot := *s.pool("iot", 50, "192.168.50.0/24", []string{"192.168.50.32", "192.168.50.239"}, func(p *v1alpha1.MacPool) {
		subnet := &p.Spec.Subnets[0]
		subnet.Gateway = "192.168.50.1"
		subnet.Ranges = append(subnet.Ranges, v1alpha1.PoolRange{ExplicitOnly: true, AddressRange: v1alpha1.AddressRange{Start: "192.168.50.8", End: "192.168.50.31"}})
		subnet.Exclude = []v1alpha1.AddressRange{{Start: "192.168.50.222"}, {Start: "192.168.50.64", End: "192.168.50.67"}}
		p.Spec.Reservations = []v1alpha1.Reservation{
			{IP: "192.168.50.10", ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: "home", Name: "printer"}},
			{IP: "192.168.50.200", ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: "home", Name: "doorbell"}},
			{IP: "192.168.50.201"},
		}
		p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{
			Type: v1alpha1.PoolAddressesInConflict, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonStrangers, LastTransitionTime: s.before(time.Hour),
			Message: "MP207: address 192.168.50.77 is in use by d8:3a:dd:41:08:9f, which is not ours",
		})
	})
	apps := []string{"esphome", "zigbee2mqtt", "frigate", "scrypted", "matter-server", "mqtt-broker", "node-red", "unifi", "plex", "grafana-agent"}
	s.claim(s.lease(&iot, 8, "home", "home-assistant-0", 41*24*time.Hour, nil))
	for i := range 118 {
		slot := allocator.Slot(32 + (i*37)%176)
		if slot >= 64 && slot < 68 || slot == 77 || slot == 200 || slot == 201 {
			continue
		}
		age := time.Duration(1+s.random.IntN(9*24*60)) * time.Minute
		l := s.lease(&iot, slot, []string{"home", "media", "lab"}[i%3], fmt.Sprintf("%s-%d", apps[i%10], i/10), age, nil)
		switch {
		case i%11 == 5:
			s.released(l, min(age/2, 40*time.Second), false)
		case i%13 == 6:
			s.released(l, age/3+2*time.Minute, true)
		default:
			s.claim(l).Spec.Workload = &v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: apps[i%10], Interface: "net1"}
		}
	}
	s.claim(s.lease(&iot, 245, "media", "jellyfin-0", 60*24*time.Hour, nil))
	s.lease(&iot, 77, "lab", "probe-3", 3*24*time.Hour, func(l *v1alpha1.MacLease) {
		s.released(l, 20*time.Hour, true)
		l.Spec.Conflict = &v1alpha1.Conflict{MAC: "d8:3a:dd:41:08:9f", NodeName: "node-2", SeenAt: s.before(54 * time.Minute)}
	})
	waiting := v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "scanner.iot.net1", UID: "scanner", CreationTimestamp: s.before(5 * time.Minute)}}
	waiting.Spec.PoolRef.Name = "iot"
	waiting.Spec.IPs = []v1alpha1.IPAddress{"192.168.50.77"}
	waiting.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ClaimReady, Status: metav1.ConditionFalse, Reason: "AddressConflict", LastTransitionTime: s.before(5 * time.Minute),
		Message: "MP207: address 192.168.50.77 is in use by d8:3a:dd:41:08:9f, which is not ours. Find that device and give it another address, or exclude the address from the pool",
	}}
	s.Claims = append(s.Claims, waiting)
}

// plant is a /16 with so many leases, in clusters as deployments make them.
func (s *seed) plant(leases int) {
	plant := *s.pool("plant", 20, "10.20.0.0/16", []string{"10.20.1.0", "10.20.239.255"}, func(p *v1alpha1.MacPool) { p.Spec.Subnets[0].Gateway = "10.20.0.1" })
	plan, err := binding.PlanOf(&plant)
	if err != nil {
		s.t.Fatal(err)
	}
	lines, used := []string{"press", "paint", "weld", "pack", "oven"}, map[allocator.Slot]bool{}
	for i := 0; len(used) < leases; i++ {
		start := allocator.Slot(256 + s.random.IntN(60000)) //nolint:gosec // G115: not negative
		for k := range 1 + s.random.IntN(90) {
			slot := start + allocator.Slot(k)
			if used[slot] {
				continue
			}
			used[slot] = true
			age := time.Duration(1+s.random.IntN(8*24*60)) * time.Minute
			l := s.leaseOf(plan, "plant", slot, lines[i%5], fmt.Sprintf("line-%d-%d", i, k), age, nil)
			switch s.random.IntN(40) {
			case 0:
				s.released(l, min(age/2, 30*time.Second), false)
			case 1, 2:
				s.released(l, age/3+2*time.Minute, true)
			}
			if len(used) == 700 {
				l.Spec.ReleasedAt, l.Spec.History = nil, nil
				l.Spec.Conflict = &v1alpha1.Conflict{MAC: "00:1b:1b:7a:10:02", NodeName: "node-4", SeenAt: s.before(10 * time.Minute)}
			}
		}
	}
}
