// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/macpool/macpool/e2e/lab"
)

//go:embed manifests
var manifests embed.FS

// manifest is the text of one of the manifests.
func manifest(file string) string {
	text, err := manifests.ReadFile("manifests/" + file)
	if err != nil {
		panic(err) // compiled in
	}
	return string(text)
}

// tell tells the story, chapter by chapter.
func (d *demo) tell(ctx context.Context) error {
	d.introduce()
	chapters := []struct {
		title string
		tell  func(context.Context) error
	}{
		{"The cluster starts", d.start},
		{"An administrator makes a pool for VLAN 50, and a network that uses it", d.makePool},
		{"A StatefulSet's pods get their interfaces", d.attachReplicas},
		{"The pods talk across the nodes", d.talk},
		{"What is recorded, and what CHECK says", d.audit},
		{"A pod is replaced on the other node and keeps its MAC and IPs", d.replace},
		{"A MAC that no interface can carry", d.impossibleMAC},
		{"The same pod without the MAC", d.founding},
		{"A pool that is too small", d.exhaust},
		{"What the switch saw", d.judgeWire},
	}
	for _, c := range chapters {
		d.heading(c.title)
		if err := c.tell(ctx); err != nil {
			return fmt.Errorf("chapter %d: %w", d.chapter, err)
		}
	}
	d.say("\nThe end, after %s: %d statements were checked, all of them hold.", d.clock.Since(d.begin).Round(time.Second), d.checked)
	return nil
}

func (d *demo) introduce() {
	d.say(`macpool: one lease is one MAC and its IPs, unique on the VLAN, stable for the workload, recorded in the cluster.

Real in this demo: etcd, kube-apiserver and kubectl; macpool's manager, agents and CNI plugin; the macvlan and tuning plugins;
the interfaces and every frame. There is no kubelet: this program plays the scheduler, the container runtime, Multus and the
StatefulSet controller. Two network namespaces are the nodes node-a and node-b, a bridge in a third one is the switch.
Lines that begin with "ok:" are checked; the demo fails if one does not hold.`)
}

// start brings up everything that a cluster has before the first pod.
func (d *demo) start(ctx context.Context) error {
	err := d.step("etcd and kube-apiserver, with macpool's CRDs, roles and policies", func() (err error) {
		d.lab, err = lab.Start(ctx, d.iso, d.opts)
		return err
	})
	if err != nil {
		return err
	}
	files, err := manifests.ReadDir("manifests")
	if err != nil {
		return fmt.Errorf("listing the manifests: %w", err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(d.lab.Dir, f.Name()), []byte(manifest(f.Name())), 0o600); err != nil {
			return fmt.Errorf("writing a manifest: %w", err)
		}
	}
	if err := d.step("macpool's manager", func() error { return d.lab.StartManager(ctx) }); err != nil {
		return err
	}
	for _, name := range []string{"node-a", "node-b"} {
		err := d.step("node "+name+" with macpool's agent", func() error {
			n, err := d.lab.AddNode(ctx, name, 50, 60)
			if err != nil {
				return err
			}
			return n.StartAgent(ctx)
		})
		if err != nil {
			return err
		}
	}
	d.nodeA, d.nodeB = d.lab.Nodes[0], d.lab.Nodes[1]
	if d.wireA, err = d.nodeA.Capture(50); err != nil {
		return err
	}
	if d.wireB, err = d.nodeB.Capture(50); err != nil {
		return err
	}
	d.say("   Kubernetes %s. The parent interfaces eth0.50 are %s.", d.lab.API.Version, d.lab.Backend.Describe())
	d.say("   From here on all frames that come from the nodes are captured at the switch.\n")
	_, err = d.kubectl(ctx, "get", "nodes", "-o", "name")
	return err
}
