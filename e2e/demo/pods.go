// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// claim reads a MacClaim; a claim that does not exist yet is an empty one.
func (d *demo) claim(ctx context.Context, namespace, name string) (*v1alpha1.MacClaim, error) {
	c := &v1alpha1.MacClaim{}
	err := d.lab.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, c)
	return c, client.IgnoreNotFound(err)
}

// awaitBound waits until the claim has its lease.
func (d *demo) awaitBound(ctx context.Context, namespace, name string) (*v1alpha1.MacClaim, error) {
	var c *v1alpha1.MacClaim
	err := d.until(ctx, "claim "+name+" is bound", func(ctx context.Context) (_ bool, err error) {
		c, err = d.claim(ctx, namespace, name)
		return err == nil && c.Status.LeaseName != "", err
	})
	return c, err
}

// attach plays kubelet and runtime for a pod that was created and bound: it makes the sandbox, attaches, and shows what came
// of it. ADD is tried again when it fails for now, as kubelet does.
func (d *demo) attach(ctx context.Context, pod *corev1.Pod, node *lab.Node) (*lab.Sandbox, error) {
	start := d.clock.Now()
	s, err := d.lab.RunPodRetrying(ctx, pod, node)
	if err != nil {
		return nil, fmt.Errorf("attaching pod %s on %s: %w", pod.Name, node.Name, err)
	}
	d.pods[pod.Name] = s
	a := s.Attachments[0]
	d.say("   %s: ADD of %s for pod %s took %d ms", node.Name, a.Interface, pod.Name, d.clock.Since(start).Milliseconds())
	link, err := s.Link(a.Interface)
	if err != nil {
		return nil, err
	}
	d.leased[link.MAC] = true
	d.say("%s", indent(link.String()))
	return s, d.checkLink(ctx, s, link)
}

// checkLink compares what the kernel has with the claim and with the rule that makes a MAC from an IP.
func (d *demo) checkLink(ctx context.Context, s *lab.Sandbox, link *lab.Link) error {
	claims := &v1alpha1.MacClaimList{}
	if err := d.lab.Client.List(ctx, claims, client.InNamespace(s.Pod.Namespace)); err != nil {
		return fmt.Errorf("listing claims: %w", err)
	}
	for _, c := range claims.Items {
		h := c.Status.Holder
		if h == nil || h.PodUID != s.Pod.UID || h.Interface != link.Name {
			continue
		}
		return errors.Join(
			d.check(c.Status.MAC == link.MAC && sameIPs(c.Status.IPs, link.IPs), "the interface has the MAC and the IPs of claim %s", c.Name),
			d.check(madeFrom(link.MAC, *c.Status.VLAN, link.IPs[0].Addr()),
				"the MAC is 02:%x:00 for VLAN %d, then the last three octets of %s in hex", *c.Status.VLAN, *c.Status.VLAN, link.IPs[0].Addr()),
		)
	}
	return fmt.Errorf("no claim is held by %s of pod %s", link.Name, s.Pod.Name)
}

func sameIPs(want []string, got []netip.Prefix) bool {
	var addrs []string
	for _, p := range got {
		addrs = append(addrs, p.Addr().String())
	}
	return strings.Join(want, " ") == strings.Join(addrs, " ")
}

// madeFrom tells whether the MAC is the default one of a VLAN and an IPv4 address: by arithmetic of the demo's own.
func madeFrom(mac string, vlan int32, ip netip.Addr) bool {
	o := ip.As4()
	return mac == fmt.Sprintf("02:%02x:00:%02x:%02x:%02x", vlan, o[1], o[2], o[3])
}

// resultMAC is the MAC of the interface in the final result of the chain.
func resultMAC(r *types100.Result, name string) string {
	for _, i := range r.Interfaces {
		if i.Name == name && i.Sandbox != "" {
			return i.Mac
		}
	}
	return ""
}
