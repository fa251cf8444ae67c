// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// caught are violations that are wanted: those of a run that proves that the judges see them.
type caught struct {
	mu    sync.Mutex
	texts []string
}

func (c *caught) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts = append(c.texts, text)
}

func (c *caught) has(words ...string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range c.texts {
		all := true
		for _, word := range words {
			all = all && strings.Contains(text, word)
		}
		if all {
			return true
		}
	}
	return false
}

// proveJudges does by hand what must never be, and fails if a judge does not see it. A run without it would prove nothing: a judge
// that is blind finds no violation.
func (w *world) proveJudges(c *churn) {
	w.mu.Lock()
	w.caught = &caught{}
	w.mu.Unlock()
	n, here, there := w.nets[0], w.hosts[0], w.hosts[1]
	pod := lab.NewPod(load, "victim", n.name)
	if err := c.create(pod, here); err != nil {
		w.Errorf("proving the judges: %v", err)
		return
	}
	if err := w.await("the victim runs", time.Minute, func() error { return w.runs(here, pod) }); err != nil {
		w.Errorf("proving the judges: %v", err)
		return
	}
	victim := w.truth.snapshot(func(a *attempt) bool { return a.live() && a.sandbox.UID == pod.UID })[0]
	name := fmt.Sprintf("vlan-%d.%s", n.vlan, victim.ips[0])

	rogue := w.rogue(n, &victim, there, c)
	w.sees("scan: two interfaces with one MAC", victim.mac+" is up twice")
	w.sees("scan: two interfaces with one IP", victim.ips[0].String()+" is up twice")
	w.sees("wire: a MAC at a port where nobody has it", "a frame of type", victim.mac, "came in at "+there.Name)
	w.sees("probe: two answers", victim.ips[0].String()+" was answered for 2 times")
	w.sees("probe: two answers by IPv6", victim.ips[1].String()+" was answered for 2 times")

	lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := w.api.Delete(w.ctx, lease); err != nil {
		w.Errorf("proving the judges: %v", err)
	}
	w.sees("leases: one that is gone while its interface is up", "lease "+name, "was given up")

	// It would answer for the victim.
	c.remove(rogue, true)
	if err := w.await("the rogue is gone", time.Minute, func() error {
		if left := there.Runtime.Of(rogue.UID); len(left) > 0 {
			return fmt.Errorf("%d sandboxes are left", len(left))
		}
		return nil
	}); err != nil {
		w.Errorf("proving the judges: %v", err)
	}
	if err := victim.sandbox.SetDown("net1"); err != nil {
		w.Errorf("proving the judges: %v", err)
	}
	w.sees("probe: a pod that does not answer", victim.ips[0].String()+" of", "was not answered for")
	if w.everyoneStill(); !w.caught.has("was given " + victim.mac) {
		w.Error("the judge of interfaces at rest does not see one that is down")
	}
	if err := w.await("the lease is there again", time.Minute, func() error { return w.leftOver(c) }); err != nil {
		w.Errorf("proving the judges: %v", err)
	}
	if err := w.orphan(n); err != nil {
		w.Errorf("proving the judges: %v", err)
	}
	if err := w.leftOver(c); err == nil {
		w.Error("the judge of what is left over does not see an orphan")
	}
}

// rogue gives a pod of another node the victim's addresses, past macpool.
func (w *world) rogue(n *network, victim *attempt, h *host, c *churn) *corev1.Pod {
	config := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "rogue", "plugins": [{"type": "macvlan", "master": "eth0.%d", "mode": "bridge", "mac": %q,
		"ipam": {"type": "static", "addresses": [{"address": "%s/16"}, {"address": "%s/64"}]}}]}`, n.vlan, victim.mac, victim.ips[0], victim.ips[1])
	nad := &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: load, Name: "rogue"}, Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: config},
	}
	if err := w.api.Create(w.ctx, nad); err != nil {
		w.Errorf("proving the judges: %v", err)
	}
	pod := lab.NewPod(load, "rogue", "rogue")
	if err := c.create(pod, h); err != nil {
		w.Errorf("proving the judges: %v", err)
	}
	if err := w.await("the rogue runs", time.Minute, func() error { return w.runs(h, pod) }); err != nil {
		w.Errorf("proving the judges: %v", err)
	}
	return pod
}

// sees waits until a judge has said so.
func (w *world) sees(what string, words ...string) {
	err := w.await(what, 30*time.Second, func() error {
		if !w.caught.has(words...) {
			return fmt.Errorf("no judge has said %q", words)
		}
		return nil
	})
	if err != nil {
		w.Errorf("a judge is blind: %v", err)
	}
}

// orphan makes a lease of a claim that does not exist, of an address that is nobody's.
func (w *world) orphan(n *network) error {
	for _, ip := range slices.Backward(n.all) {
		if !ip.Is4() {
			continue // leases are named after IPv4 addresses
		}
		record := &v1alpha1.MacLease{}
		err := w.api.Get(w.ctx, client.ObjectKey{Name: fmt.Sprintf("vlan-%d.%s", n.vlan, ip)}, record)
		if err == nil {
			if ownerOf(record) != "" {
				continue
			}
			err = w.api.Delete(w.ctx, record) // the record of who had it last would be in the way
		}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err := w.orphanAt(n, ip); !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return errors.New("every address is leased")
}

func (w *world) orphanAt(n *network, ip netip.Addr) error {
	return w.api.Create(w.ctx, &v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{
			Name:   fmt.Sprintf("vlan-%d.%s", n.vlan, ip),
			Labels: map[string]string{v1alpha1.LabelSegment: fmt.Sprintf("vlan-%d", n.vlan)},
		},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: n.name, MAC: v1alpha1.MACAddress(n.prefix + lowOctets(ip)), IPs: []v1alpha1.IPAddress{v1alpha1.IPAddress(ip.String())},
			ClaimRef: v1alpha1.ClaimRef{Namespace: load, Name: "nobody", UID: "00000000-0000-0000-0000-000000000000"},
			LeasedAt: metav1.Now(), NodeName: w.hosts[0].Name,
		},
	})
}

func lowOctets(ip netip.Addr) string {
	b := ip.As4()
	return fmt.Sprintf("%02x:%02x:%02x", b[1], b[2], b[3])
}
