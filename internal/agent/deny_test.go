// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// otherLink leads to another VLAN, on which nobody answers.
const otherLink = "eth0.51"

// TestT9OneAnswersForAll attacks T9: a pod with CAP_NET_ADMIN answers for every address of the VLAN, as a router with proxy ARP does, so that no pod
// gets one. It is named, no address is set aside for it, and the agent goes on: pods on other VLANs get theirs, and those of this one with
// detection switched off.
func TestT9OneAnswersForAll(t *testing.T) {
	f, s := newFixture(t), newSegment()
	other := newFixture(t)
	s.silent = otherLink
	n := s.startNode(t)
	s.set(func() { s.all = rogueMAC })
	pod := f.newPod(t, "web", n.name, "")
	wantProblem(t, n.ask(t, f.onVLAN("c1", pod)), problem.ProxyAnswers)
	f.awaitEvent(t, pod, problem.ProxyAnswers)
	for _, lease := range f.leases(t) {
		if lease.Spec.Conflict != nil {
			t.Errorf("lease %s is marked", lease.Name)
		}
	}

	elsewhere := other.addition("c-other", other.newPod(t, "web", n.name, ""))
	elsewhere.Link = otherLink
	if resp := n.ask(t, elsewhere); resp.Error != nil {
		t.Errorf("on another VLAN: %+v", *resp.Error)
	}
	if resp := n.ask(t, agentapi.Request{Command: agentapi.Status, Network: "iot-vlan", Pool: other.pool.Name}); resp.Error != nil {
		t.Errorf("STATUS: %+v", *resp.Error)
	}

	f.detect(t, v1alpha1.ConflictOff)
	eventually(t, "an ADD when detection is off", func() error {
		resp := n.ask(t, f.onVLAN(fmt.Sprintf("c%d", unique.Add(1)), pod))
		if resp.Error != nil {
			return fmt.Errorf("%+v", *resp.Error)
		}
		return nil
	})
}

// TestT10ManyConflicts attacks T10: a device that has nearly all addresses does not make a node try them all. After so many conflicts the pods are told, the
// VLAN is asked no more for a minute (RFC 5227), and then again: when the device is gone, pods get their addresses.
func TestT10ManyConflicts(t *testing.T) {
	f, s := newFixture(t), newSegment()
	n := s.startNode(t)
	s.set(func() {
		for i := 2; i < 255; i++ { // but for the one that is asked for at random, each is another device's
			s.uses[fmt.Sprintf("192.168.50.%d", i)] = fmt.Sprintf("02:00:00:00:01:%02x", i)
		}
	})
	pod := f.newPod(t, "web", n.name, "")
	add := func() agentapi.Response { return n.ask(t, f.onVLAN(fmt.Sprintf("c%d", unique.Add(1)), pod)) }
	for range 4 {
		wantProblem(t, add(), problem.TooManyConflicts)
	}
	f.awaitEvent(t, pod, problem.TooManyConflicts)
	marked := 0
	for _, lease := range f.leases(t) {
		if lease.Spec.Conflict != nil {
			marked++
		}
	}
	if marked < maxConflicts || marked >= maxConflicts+maxAddresses {
		t.Errorf("%d addresses were set aside", marked)
	}
	asked := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.asked)
	}
	before := asked()
	wantProblem(t, add(), problem.TooManyConflicts)
	if after := asked(); after != before {
		t.Errorf("the VLAN was asked %d times more", after-before)
	}

	s.set(func() { clear(s.uses) })
	n.clock.ahead.Add(int64(conflictWindow))
	eventually(t, "an address when the device is gone", func() error {
		if resp := add(); resp.Error != nil {
			return fmt.Errorf("%+v", *resp.Error)
		}
		return nil
	})
}

// TestT23BackupInASecondCluster attacks T23: a backup of a cluster that is alive is restored into another one on the same VLAN. Leases and claims
// say there that the addresses are its own, and even that who had them was ended by force. No pod gets an address that a pod of the first
// cluster uses: it is asked for, answers with the leased MAC, and what the backup says is no leave to go beside it. When the first
// cluster's pod is gone, who insists on the address gets it.
func TestT23BackupInASecondCluster(t *testing.T) {
	for name, set := range map[string]string{"web": "", "db-0": "db"} {
		t.Run(name, func(t *testing.T) {
			f, s := newFixture(t), newSegment()
			n := s.startNode(t)
			first := f.newPod(t, name, n.name, set)
			claim := f.prebind(t, n, first)
			ip, mac := claim.Status.IPs[0], claim.Status.MAC
			lease := f.lease(t, claim.Status.LeaseName)
			f.deletePod(t, first)
			f.restore(t, n, claim, lease)
			s.set(func() { s.uses[ip] = mac })

			pod := f.newPod(t, name, n.name, set)
			got := ""
			eventually(t, "the stranger to be seen", func() error {
				resp := n.ask(t, f.onVLAN(fmt.Sprintf("c%d", unique.Add(1)), pod))
				switch {
				case resp.Error == nil:
					got = resp.Lease.IPs[0].Address.Addr().String()
					return nil
				case isProblem(resp, problem.AddressConflict) == nil && set != "":
					return nil
				}
				return fmt.Errorf("%+v", *resp.Error)
			})
			if got == ip {
				t.Fatalf("pod %s has %s, which a pod of the first cluster uses", name, ip)
			}
			if set == "" { // it has another address, and the one that is in use is set aside
				if c := f.lease(t, lease.Name).Spec.Conflict; c == nil || c.MAC != mac {
					t.Errorf("the mark of the lease of %s is %+v", ip, c)
				}
				return
			}
			s.set(func() { delete(s.uses, ip) })
			eventually(t, "the address when the first cluster's pod is gone", func() error {
				resp := n.ask(t, f.onVLAN(fmt.Sprintf("c%d", unique.Add(1)), pod))
				if resp.Error != nil || resp.Lease.IPs[0].Address.Addr().String() != ip {
					return fmt.Errorf("%+v", resp)
				}
				return nil
			})
		})
	}
}

// restore makes claim and lease again as from an old backup of another cluster, where the last hold was ended by force. Its nodes have the
// names that those of this one have: a lease of a node that is not its own an agent leaves to the manager (R-S2).
func (f *fixture) restore(t *testing.T, n *node, claim *v1alpha1.MacClaim, lease *v1alpha1.MacLease) {
	t.Helper()
	for _, object := range []client.Object{claim.DeepCopy(), lease.DeepCopy()} {
		object.SetFinalizers(nil)
		f.must(t, f.Update(t.Context(), object))
		f.must(t, f.Delete(t.Context(), object))
		eventually(t, "the object of before to be gone", func() error {
			if err := f.Get(t.Context(), client.ObjectKeyFromObject(object), object); client.IgnoreNotFound(err) != nil || err == nil {
				return errors.Join(errors.New("not yet"), err)
			}
			return nil
		})
	}
	past := claim.CreationTimestamp.Add(-24 * time.Hour)
	lease.Spec.LeasedAt.Time, lease.Spec.PodName, lease.Spec.NodeName = past, "", n.name
	lease.Spec.History = []v1alpha1.LeaseHistory{{
		Namespace: claim.Namespace, Claim: claim.Name, PodName: "before", NodeName: "node-a", Reason: v1alpha1.EndForced,
	}}
	lease.Spec.History[0].From.Time, lease.Spec.History[0].To.Time = past, past.Add(time.Hour)
	status := claim.Status.DeepCopy()
	status.Holder = nil
	status.PreviousHolders = []v1alpha1.PreviousHolder{{PodName: "before", PodUID: "uid", NodeName: "node-a", Generation: 1, Reason: v1alpha1.EndForced}}
	status.PreviousHolders[0].Since.Time, status.PreviousHolders[0].Until.Time = past, past.Add(time.Hour)
	for _, object := range []client.Object{claim, lease} {
		object.SetUID("")
		object.SetResourceVersion("")
		f.must(t, f.Create(t.Context(), object))
	}
	claim.Status = *status
	f.must(t, f.Status().Update(t.Context(), claim))
}
