// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

// R-L2, F30: a stranger has the address that a pod is to get. It is named, the address is set aside, and the pod comes up with another one.
func TestStrangerHasTheAddress(t *testing.T) {
	for family, subnets := range map[string][]v1alpha1.Subnet{
		"IPv4": nil, "IPv6": {{CIDR: "fd00:50::/64"}},
	} {
		t.Run(family, func(t *testing.T) {
			f, s := newFixture(t, subnets...), newSegment()
			n := s.startNode(t)
			pod := f.newPod(t, "web", n.name, "")
			before := f.prebind(t, n, pod)
			ip := before.Status.IPs[0]
			s.set(func() { s.uses[ip] = rogueMAC })
			resp := n.ask(t, f.onVLAN("c1", pod))
			if resp.Error != nil {
				t.Fatal(*resp.Error)
			}
			if got := resp.Lease.IPs[0].Address.Addr().String(); got == ip {
				t.Fatalf("attached with %s, which a stranger has", got)
			}
			lease := f.lease(t, before.Status.LeaseName)
			if c := lease.Spec.Conflict; c == nil || c.MAC != rogueMAC || c.NodeName != n.name || lease.Spec.ReleasedAt == nil ||
				lease.Spec.History[0].Reason != v1alpha1.EndConflicted {
				t.Errorf("the lease is %+v", lease.Spec)
			}
			after := f.claimOf(t, pod)
			if after.Status.LeaseName != resp.Lease.Name || after.Status.Holder == nil || after.Status.Holder.PodUID != pod.UID {
				t.Errorf("the claim is %+v", after.Status)
			}
			f.awaitEvent(t, pod, problem.AddressConflict)
			f.awaitEvent(t, after, problem.AddressConflict)
			if asked := s.probes(ip); asked != 2 {
				t.Errorf("it was asked for %d times, want twice (T9)", asked)
			}
			if got := resp.Lease.IPs[0].Address.Addr().String(); s.probes(got) != 1 {
				t.Errorf("%s was asked for %d times", got, s.probes(got))
			}
		})
	}
}

// R-L2: who insists on an address is told who has it, and gets it when the stranger is silent: one that asks for it, and the ordinal of a
// StatefulSet whose pods have had it.
func TestStrangerHasTheOnlyAddress(t *testing.T) {
	f, s := newFixture(t), newSegment()
	n := s.startNode(t)
	for name, tc := range map[string]struct {
		set  string
		wish string
	}{
		"asking-0": {wish: "192.168.50.77"},
		"db-0":     {set: "db"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := f.newPod(t, name, n.name, tc.set)
			req := f.onVLAN("first-"+name, pod)
			ip := tc.wish
			if tc.wish != "" {
				req.Wish.IPs = []string{tc.wish}
			} else {
				resp := n.ask(t, req)
				if resp.Error != nil {
					t.Fatal(*resp.Error)
				}
				ip = resp.Lease.IPs[0].Address.Addr().String()
				del(t, n, req.ContainerID)
				f.awaitNoHolder(t, pod)
				f.deletePod(t, pod)
				pod = f.newPod(t, name, n.name, tc.set)
				n.clock.ahead.Add(int64(2 * time.Minute)) // the verdict of before is old
				req = f.onVLAN("second-"+name, pod)
			}
			s.set(func() { s.uses[ip] = rogueMAC })
			wantProblem(t, n.ask(t, req), problem.AddressConflict)
			claim := f.claimOf(t, pod)
			lease := f.lease(t, claim.Status.LeaseName)
			if c := lease.Spec.Conflict; claim.Status.IPs[0] != ip || c == nil || c.MAC != rogueMAC || lease.Spec.ReleasedAt != nil {
				t.Errorf("the claim has %+v, the lease is %+v", claim.Status, lease.Spec)
			}
			s.set(func() { delete(s.uses, ip) })
			req.ContainerID = "third-" + name
			resp := n.ask(t, req)
			if resp.Error != nil || resp.Lease.IPs[0].Address.Addr().String() != ip {
				t.Errorf("when the stranger is silent: %+v", resp)
			}
		})
	}
}

// What answers with the leased MAC is not taken for a stranger as long as it may be a pod of ours: the same pod's sandbox of before, the one
// that had the address a moment ago. Somebody with MAC and address of a lease that nobody has held is another cluster (R-B3).
func TestOwnPodsAreNoStrangers(t *testing.T) {
	f, s := newFixture(t), newSegment()
	n := s.startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	first := n.ask(t, f.onVLAN("c1", pod))
	if first.Error != nil {
		t.Fatal(*first.Error)
	}
	ip, mac := first.Lease.IPs[0].Address.Addr().String(), first.Lease.MAC
	s.set(func() { s.uses[ip] = mac })
	if again := n.ask(t, f.onVLAN("c2", pod)); again.Error != nil {
		t.Errorf("the pod's next sandbox was refused: %+v", *again.Error)
	}
	del(t, n, "c1")
	del(t, n, "c2")
	f.awaitNoHolder(t, pod)
	f.deletePod(t, pod)
	n.clock.ahead.Add(int64(verdictLife))
	f.must(t, f.endedNow(t, n, pod))
	pod = f.newPod(t, "db-0", n.name, "db")
	wantProblem(t, n.ask(t, f.onVLAN("c3", pod)), problem.OldInterfaceAlive)
	if lease := f.lease(t, first.Lease.Name); lease.Spec.Conflict != nil {
		t.Errorf("the lease is marked: %+v", lease.Spec)
	}
	s.set(func() { delete(s.uses, ip) })
	if resp := n.ask(t, f.onVLAN("c4", pod)); resp.Error != nil || resp.Lease.Name != first.Lease.Name {
		t.Errorf("when the old interface is gone: %+v", resp)
	}

	fresh := f.newPod(t, "web", n.name, "")
	claim := f.prebind(t, n, fresh)
	s.set(func() { s.uses[claim.Status.IPs[0]] = claim.Status.MAC })
	resp := n.ask(t, f.onVLAN("c5", fresh))
	if resp.Error != nil || resp.Lease.Name == claim.Status.LeaseName {
		t.Errorf("beside another cluster's pod: %+v", resp)
	}
	if lease := f.lease(t, claim.Status.LeaseName); lease.Spec.Conflict == nil || lease.Spec.Conflict.MAC != claim.Status.MAC {
		t.Errorf("the lease is %+v", lease.Spec)
	}
}

// endedNow moves the end of the pod's hold to now, as the node's clock has it.
func (f *fixture) endedNow(t *testing.T, n *node, pod *corev1.Pod) error {
	t.Helper()
	claim := f.claimOf(t, pod)
	claim.Status.PreviousHolders[0].Until.Time = n.clock.Now()
	return f.Status().Update(t.Context(), claim)
}

// R-L5, F33: Probe gives addresses out where the VLAN cannot be asked; Strict waits for carrier and for the gateway, of which the first answers
// may be lost, and gives up with a sentence.
func TestStrict(t *testing.T) {
	f, s := newFixture(t), newSegment()
	n := s.startNode(t)
	down := fmt.Errorf("asking on link %s: %w", vlanLink, wire.ErrLinkDown)
	s.set(func() { s.fail = down })
	if resp := n.ask(t, f.onVLAN("c1", f.newPod(t, "probe", n.name, ""))); resp.Error != nil {
		t.Errorf("Probe, without carrier: %+v", *resp.Error)
	}

	f.detect(t, v1alpha1.ConflictStrict)
	eventually(t, "the pool's mode in the cache", func() error {
		pool := &v1alpha1.MacPool{}
		err := n.agent.cluster.cache.Get(t.Context(), client.ObjectKeyFromObject(f.pool), pool)
		if err == nil && pool.Generation != f.pool.Generation {
			err = errors.New("not yet")
		}
		return err
	})
	pod := f.newPod(t, "strict", n.name, "")
	unnamed := f.addition("c2", pod)
	wantProblem(t, n.ask(t, unnamed), problem.AddressNotProbed)
	f.awaitEvent(t, pod, problem.AddressNotProbed)
	carried := start(t, n, f.onVLAN("c3", pod))
	eventually(t, "a wait for carrier", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.asked) < 4 {
			return errors.New("not yet")
		}
		return nil
	})
	s.set(func() { s.fail = nil }) // carrier, and silence: the gateway's answers are lost
	eventually(t, "the gateway to be asked for again", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		asked := 0
		for _, q := range s.asked {
			if q.Question && q.IPs[0].String() == "192.168.50.1" {
				asked++
			}
		}
		if asked < 8 {
			return errors.New("not yet")
		}
		return nil
	})
	ip := f.claimOf(t, pod).Status.IPs[0]
	if s.probes(ip) > 0 {
		t.Error("the silence was about to be believed before the gateway was heard")
	}
	s.set(func() { s.uses["192.168.50.1"] = "02:00:00:00:00:01" })
	if resp := <-carried; resp.Error != nil {
		t.Errorf("when the gateway answers: %+v", *resp.Error)
	}
	if s.probes(ip) != 1 {
		t.Errorf("the address was asked for %d times", s.probes(ip))
	}

	s.set(func() { delete(s.uses, "192.168.50.1") })
	silent := start(t, n, f.onVLAN("c4", f.newPod(t, "silent", n.name, "")))
	wantProblem(t, <-silent, problem.GatewaySilent)
	s.set(func() { s.fail = down })
	dark := start(t, n, f.onVLAN("c5", f.newPod(t, "dark", n.name, "")))
	wantProblem(t, <-dark, problem.AddressNotProbed)
}

// The address that is asked for at random is one of the subnet's, whatever its size, and small subnets are left out.
func TestControlAddress(t *testing.T) {
	for cidr, want := range map[string]bool{
		"192.168.50.0/24": true, "10.0.0.0/8": true, "192.168.50.32/27": true, "192.168.50.16/28": false, "192.168.50.4/30": false, "fd00:50::/64": true,
		"fd00:50::40/122": true, "fd00:50::8/126": false,
	} {
		pool := &v1alpha1.MacPool{Spec: v1alpha1.MacPoolSpec{Subnets: []v1alpha1.Subnet{{CIDR: v1alpha1.CIDR(cidr)}}}}
		s := newSegment()
		s.all = rogueMAC
		v := newVerdicts(&Agent{ask: s.ask})
		for range 100 {
			control, all := v.answersForAll(t.Context(), &inquiry{verdictKey: verdictKey{link: vlanLink}, mac: "02:32:00:a8:32:08"}, pool, rogueMAC)
			if all != want || want && !netip.MustParsePrefix(cidr).Contains(control) {
				t.Fatalf("%s: asked for %s, %t; want %t", cidr, control, all, want)
			}
		}
	}
}
