// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

// migration is a VM that runs in a virt-launcher pod on one node, and another node to which it may go.
type migration struct {
	*fixture

	source, target *node
	pod            *corev1.Pod
	lease          agentapi.Lease

	mu   sync.Mutex
	told map[string]int // node -> how often it has announced an address
}

func newMigration(t *testing.T) *migration {
	t.Helper()
	m := &migration{fixture: newFixture(t), told: map[string]int{}}
	m.detect(t, v1alpha1.ConflictProbe)
	m.source, m.target = m.node(t), m.node(t)
	m.pod = m.launcher(t, "vm-1", m.source, "vmi-1")
	m.runs(t, m.source, "source", m.pod)
	return m
}

// node is one on which announcements are counted, whose VLAN answers for any address that the VM has: by the VM.
func (m *migration) node(t *testing.T) *node {
	t.Helper()
	n := newNode(t)
	name := n.name
	n.vlan = func(context.Context, string, wire.Query) (string, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.lease.MAC == "" {
			return "", nil // nobody is there yet
		}
		return m.lease.MAC, nil
	}
	n.equip = func(a *Agent) {
		a.announcer.announce = func(string, netip.Addr, string) (bool, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.told[name]++
			return true, nil
		}
		a.announcer.look = func(string, string) (links.State, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.lease.MAC == "" { // the answer is on its way to the test
				return links.State{MAC: "02:00:00:00:00:01"}, nil
			}
			return links.State{MAC: m.lease.MAC, Up: true}, nil
		}
	}
	n.start(t)
	n.awaitReady(t)
	return n
}

// launcher makes a pod as KubeVirt does.
func (m *migration) launcher(t *testing.T, name string, n *node, instance types.UID) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: m.namespace, Name: "virt-launcher-" + name,
			Labels: map[string]string{"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": string(instance), "vm.kubevirt.io/name": "vm"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "kubevirt.io/v1", Kind: "VirtualMachineInstance", Name: "vm", UID: instance, Controller: new(true), BlockOwnerDeletion: new(true),
			}},
		},
		Spec: corev1.PodSpec{NodeName: n.name, Containers: []corev1.Container{{Name: "compute", Image: "virt-launcher"}}},
	}
	m.must(t, m.Create(t.Context(), pod))
	return pod
}

// runs attaches the pod, in a network namespace that is there.
func (m *migration) runs(t *testing.T, n *node, container string, pod *corev1.Pod) agentapi.Lease {
	t.Helper()
	resp := n.ask(t, m.wants(container, pod))
	if resp.Error != nil {
		t.Fatalf("ADD of %s: %+v", container, *resp.Error)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease.MAC == "" {
		m.lease = *resp.Lease
	}
	return *resp.Lease
}

func (m *migration) wants(container string, pod *corev1.Pod) agentapi.Request {
	req := m.onVLAN(container, pod)
	req.NetNS = aliveNetNS
	return req
}

// are waits until these pods are the holder and the alternate, "" for none.
func (m *migration) are(t *testing.T, active, alternate string) {
	t.Helper()
	want := []string{active, alternate}
	eventually(t, "the holders", func() error {
		claim, got := m.claimOf(t, m.pod), []string{"", ""}
		for i, h := range []*v1alpha1.Holder{claim.Status.Holder, claim.Status.Alternate} {
			if h != nil {
				got[i] = strings.TrimPrefix(h.PodName, "virt-launcher-")
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

func (m *migration) announced(n *node) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told[n.name]
}

// R-G6, R-C16: the target of a migration gets what the source has while that has it, although the VLAN answers for it, and announces
// nothing; CHECK is right on both nodes, and no interface is removed. The source announced when it came.
func TestTargetOfAMigration(t *testing.T) {
	m := newMigration(t)
	eventually(t, "the announcements of the source", func() error {
		if n := m.announced(m.source); n != announcements {
			return fmt.Errorf("%d announcements", n)
		}
		return nil
	})
	target := m.launcher(t, "vm-2", m.target, "vmi-1")
	lease := m.runs(t, m.target, "target", target)
	want := m.lease
	want.Quiet = true
	if diff := cmp.Diff(want, lease, compareAddresses); diff != "" {
		t.Errorf("the target has another lease (-source +target):\n%s", diff)
	}
	m.are(t, "vm-1", "vm-2")
	for n, container := range map[*node]string{m.source: "source", m.target: "target"} {
		for range 3 {
			check := deletion(container)
			check.Command = agentapi.Check
			if resp := n.ask(t, check); resp.Error != nil {
				t.Errorf("CHECK of %s: %+v", container, *resp.Error)
			}
		}
		if resp := n.ask(t, m.wants(container, map[string]*corev1.Pod{"source": m.pod, "target": target}[container])); resp.Error != nil {
			t.Errorf("ADD of %s, repeated: %+v", container, *resp.Error)
		}
		if err := n.agent.fence.all(t.Context()); err != nil { // whose removing fails the test
			t.Error(err)
		}
	}
	// A new container of the target's pod, as after a sandbox that failed.
	m.runs(t, m.target, "target-2", target)
	del(t, m.target, "target")
	m.are(t, "vm-1", "vm-2")
	if n := m.announced(m.target); n != 0 {
		t.Errorf("the target has announced the address %d times", n)
	}
}

// R-G6, F38: DEL on one node clears that pod alone.
func TestMigrationEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		ends              func(t *testing.T, m *migration, target *corev1.Pod)
		active, alternate string
	}{
		"success": {func(t *testing.T, m *migration, _ *corev1.Pod) {
			t.Helper()
			del(t, m.source, "source")
			m.deletePod(t, m.pod)
		}, "vm-2", ""},
		"abort": {func(t *testing.T, m *migration, target *corev1.Pod) {
			t.Helper()
			del(t, m.target, "target")
			m.deletePod(t, target)
		}, "vm-1", ""},
		"switched, then success": {func(t *testing.T, m *migration, _ *corev1.Pod) {
			t.Helper()
			if _, err := m.binder().Promote(t.Context(), m.claimOf(t, m.pod)); err != nil {
				t.Fatal(err)
			}
			m.are(t, "vm-2", "vm-1")
			del(t, m.source, "source")
		}, "vm-2", ""},
		"both at once": {func(t *testing.T, m *migration, _ *corev1.Pod) {
			t.Helper()
			del(t, m.source, "source")
			del(t, m.target, "target")
		}, "", ""},
		"late DEL of the source, again": {func(t *testing.T, m *migration, _ *corev1.Pod) {
			t.Helper()
			del(t, m.source, "source")
			m.are(t, "vm-2", "")
			del(t, m.source, "source")
		}, "vm-2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMigration(t)
			target := m.launcher(t, "vm-2", m.target, "vmi-1")
			m.runs(t, m.target, "target", target)
			m.are(t, "vm-1", "vm-2")
			tc.ends(t, m, target)
			m.are(t, tc.active, tc.alternate)
			if leases := m.leases(t); len(leases) != 1 || leases[0].Spec.ReleasedAt != nil {
				t.Errorf("the leases are %+v", leases)
			}
		})
	}
}

// R-G6: 10 migrations in a row, back and forth; a third pod waits for the source of the migration before to go.
func TestTenMigrations(t *testing.T) {
	m := newMigration(t)
	from, to := m.source, m.target
	container, pod := "source", m.pod
	for i := range 10 {
		name := fmt.Sprintf("vm-%d", i+2)
		next := m.launcher(t, name, to, "vmi-1")
		lease := m.runs(t, to, name, next)
		if lease.MAC != m.lease.MAC || lease.Name != m.lease.Name {
			t.Fatalf("migration %d: lease %s", i, lease.Name)
		}
		del(t, from, container)
		m.are(t, name, "")
		m.deletePod(t, pod)
		from, to, container, pod = to, from, name, next
	}
}

// R-G6: the VM, started again on another node while its first pod is there still, is another instance, and waits; what is true of
// any two pods.
func TestRestartedVMIsNoMigration(t *testing.T) {
	m := newMigration(t)
	m.makeNode(t, m.source.name)
	again := m.launcher(t, "vm-2", m.target, "vmi-2")
	wantProblem(t, m.target.ask(t, m.wants("again", again)), problem.ClaimHeld)
	m.are(t, "vm-1", "")
}

// R-G6, F38: the target's pod goes before it was attached: its node's agent finds the alternate that is left over, and clears it alone.
func TestAlternateThatNeverCame(t *testing.T) {
	m := newMigration(t)
	target := m.launcher(t, "vm-2", m.target, "vmi-1")
	_, err := m.binder().SetHolder(t.Context(), m.claimOf(t, m.pod), v1alpha1.Holder{
		PodName: target.Name, PodUID: target.UID, NodeName: m.target.name, Interface: "net1", InstanceUID: binding.InstanceUID(target),
	})
	m.must(t, err)
	m.are(t, "vm-1", "vm-2")
	time.Sleep(3 * m.target.options.Times.ReapGrace) // long enough to be reaped, if its pod did not count
	m.are(t, "vm-1", "vm-2")
	m.deletePod(t, target)
	m.are(t, "vm-1", "")
}

// R-G6, R-G7: the alternate's hold was ended without its node's word: the node removes the interface, and the source's stays.
func TestLostAlternateIsFenced(t *testing.T) {
	m := newMigration(t)
	removed := make(chan string, 1)
	m.target.removing = func(link string) error { removed <- link; return nil }
	target := m.launcher(t, "vm-2", m.target, "vmi-1")
	m.runs(t, m.target, "target", target)
	claim := m.claimOf(t, m.pod)
	_, err := m.binder().ClearOneAsRead(t.Context(), claim, claim.Status.Alternate, binding.End{Reason: v1alpha1.EndForced, Evidence: "by the test"})
	m.must(t, err)
	select {
	case got := <-removed:
		if got != link(m.lease) {
			t.Errorf("removed was %s", got)
		}
	case <-time.After(patience):
		t.Error("the interface is still there")
	}
	m.are(t, "vm-1", "")
}
