// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// replace deletes db-0 and has it made again on the other node.
func (d *demo) replace(ctx context.Context) error {
	old := d.pods["db-0"]
	before, err := old.Link("net1")
	if err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "delete", "pod", "db-0", "--wait=false"); err != nil {
		return err
	}
	d.say("   The runtime of %s (this program) does the DEL, then the pod is gone.", old.Node.Name)
	if err := d.lab.StopPod(ctx, old); err != nil {
		return err
	}
	if err := d.attachReplica(ctx, 0, d.nodeB); err != nil {
		return err
	}
	after, err := d.pods["db-0"].Link("net1")
	if err != nil {
		return err
	}
	err = errors.Join(
		d.check(d.pods["db-0"].Pod.UID != old.Pod.UID && d.pods["db-0"].Node != old.Node, "this is another pod, on another node"),
		d.check(after.MAC == before.MAC && slices.Equal(after.IPs, before.IPs), "it has the same MAC and IPs: %s, %s", after.MAC, after.IPs[0]),
	)
	if err != nil {
		return err
	}
	rtt, err := d.pods["db-0"].Ping(ctx, mustIP(d.pods["db-1"]))
	if err != nil {
		return err
	}
	d.say("   ok: it answers: %.2f ms to db-1\n", float64(rtt.Microseconds())/1000)
	_, err = d.kubectl(ctx, "get", "macclaims")
	if err != nil {
		return err
	}
	c, err := d.claim(ctx, "default", "db-0.iot.net1")
	if err != nil {
		return err
	}
	if len(c.Status.PreviousHolders) == 0 {
		return fmt.Errorf("the claim %s does not remember its previous holder", c.Name)
	}
	return d.check(c.Status.PreviousHolders[0].NodeName == old.Node.Name, "the claim remembers who held it before: %s on %s",
		c.Status.PreviousHolders[0].PodName, c.Status.PreviousHolders[0].NodeName)
}
