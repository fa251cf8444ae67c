// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// typedMAC is the MAC of the bug report, nearestMAC the one that was meant, perhaps.
	typedMAC   = "f1:fd:59:0b:bd:2b"
	nearestMAC = "f2:fd:59:0b:bd:2b"
)

// eventColumns are what kubectl shows of events here.
const eventColumns = "custom-columns=TYPE:.type,REASON:.reason,OBJECT:.involvedObject.name,MESSAGE:.message"

// impossibleMAC is what the person of the bug report is told.
func (d *demo) impossibleMAC(ctx context.Context) error {
	d.say(`A well known bug report: a pod with MAC %s on macvlan stays in ContainerCreating with "cannot assign
requested address". The first octet, f1, has the multicast bit set. This is the network of the report, with only its ipam
changed to macpool's, and its pod:
`, typedMAC)
	if _, err := d.kubectl(ctx, "create", "namespace", "network"); err != nil {
		return err
	}
	if _, err := d.apply(ctx, "founding-network.yaml"); err != nil {
		return err
	}
	out, err := d.apply(ctx, "founding-mac.yaml")
	if err := errors.Join(
		d.check(err != nil, "the API server refuses the pod, at kubectl apply"),
		d.check(strings.Contains(out, typedMAC) && strings.Contains(out, "multicast") && strings.Contains(out, nearestMAC),
			"the message names the MAC, the reason and the nearest MAC that is possible"),
	); err != nil {
		return err
	}
	return d.withoutPolicy(ctx)
}

// withoutPolicy shows what is left to say where the policy is switched off: the kernel's error is macvlan's, the explanation
// is macpool's.
func (d *demo) withoutPolicy(ctx context.Context) error {
	d.say("\nThe policy only teaches. In a namespace where it is switched off the pod gets as far as the kernel:\n")
	if _, err := d.kubectl(ctx, "label", "namespace", "network", "macpool.dev/mac-policy=off"); err != nil {
		return err
	}
	if err := d.until(ctx, "the policy is off", func(ctx context.Context) (bool, error) {
		_, err := d.lab.API.Kubectl(ctx, "apply", "--dry-run=server", "-f", "founding-mac.yaml")
		return err == nil, nil
	}); err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "apply", "-f", "founding-mac.yaml"); err != nil {
		return err
	}
	pod, err := d.lab.Pod(ctx, "network", "home-assistant")
	if err != nil {
		return err
	}
	if err := d.lab.Bind(ctx, pod, d.nodeA); err != nil {
		return err
	}
	_, refused := d.lab.RunPod(ctx, pod, d.nodeA)
	if refused == nil {
		return errors.New("the kernel took a multicast MAC")
	}
	d.say("   The runtime (this program) reports: %s\n", refused)
	if err := d.awaitEvent(ctx, "network", "MulticastMAC"); err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "get", "events", "-n", "network", "--field-selector", "involvedObject.kind=Pod", "-o", eventColumns); err != nil {
		return err
	}
	if err := d.check(true, "an event of macpool's on the pod explains what the kernel meant"); err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "label", "namespace", "network", "macpool.dev/mac-policy-"); err != nil {
		return err
	}
	return d.lab.ForgetPod(ctx, pod)
}

// founding applies the bug report's pod without the MAC, as the reporter ended up writing it.
func (d *demo) founding(ctx context.Context) error {
	if _, err := d.apply(ctx, "founding-pod.yaml"); err != nil {
		return err
	}
	pod, err := d.lab.Pod(ctx, "network", "home-assistant")
	if err != nil {
		return err
	}
	if err := d.lab.Bind(ctx, pod, d.nodeA); err != nil {
		return err
	}
	s, err := d.attach(ctx, pod, d.nodeA)
	if err != nil {
		return err
	}
	link, err := s.Link("net1")
	if err != nil {
		return err
	}
	if err := errors.Join(
		d.check(link.IPs[0].String() == "192.168.50.8/24", "it has the IP that it asked for"),
		d.check(link.MAC == "02:32:00:a8:32:08", "its MAC is 02:32:00:a8:32:08, which can be read from the IP, and will be after every restart"),
		d.check(slices.Contains(link.Routes, "192.168.50.0/24 via 192.168.50.1"), "it has the route as the network has it"),
	); err != nil {
		return err
	}
	d.say("\nThe report's network lacks the chained entry {\"type\": \"macpool\"}. The pod works, but the result has a stale MAC, so:\n")
	if err := d.awaitEvent(ctx, "network", "ChainedEntryMissing"); err != nil {
		return err
	}
	_, err = d.kubectl(ctx, "get", "events", "-n", "network", "--field-selector", "involvedObject.kind=NetworkAttachmentDefinition", "-o", eventColumns)
	return err
}

func (d *demo) awaitEvent(ctx context.Context, namespace, reason string) error {
	return d.until(ctx, "there is an event "+reason, func(ctx context.Context) (bool, error) {
		events := &corev1.EventList{}
		if err := d.lab.Client.List(ctx, events, client.InNamespace(namespace)); err != nil {
			return false, err
		}
		return slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return e.Reason == reason }), nil
	})
}
