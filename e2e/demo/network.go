// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// makePool applies the two manifests that people write.
func (d *demo) makePool(ctx context.Context) error {
	if _, err := d.apply(ctx, "pool.yaml"); err != nil {
		return err
	}
	if _, err := d.apply(ctx, "network.yaml"); err != nil {
		return err
	}
	if err := d.awaitPool(ctx, "iot"); err != nil {
		return err
	}
	_, err := d.kubectl(ctx, "get", "macpools")
	return err
}

// awaitPool waits until the pool takes claims.
func (d *demo) awaitPool(ctx context.Context, name string) error {
	return d.until(ctx, "pool "+name+" is ready", func(ctx context.Context) (bool, error) {
		pool := &v1alpha1.MacPool{}
		err := d.lab.Client.Get(ctx, client.ObjectKey{Name: name}, pool)
		return apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady), err
	})
}

// attachReplicas plays the StatefulSet controller and the scheduler for two replicas, one on each node.
func (d *demo) attachReplicas(ctx context.Context) error {
	if _, err := d.apply(ctx, "db.yaml"); err != nil {
		return err
	}
	if err := d.attachReplica(ctx, 0, d.nodeA); err != nil {
		return err
	}
	if err := d.checkFirstFrame(ctx, d.wireA, "db-0"); err != nil {
		return err
	}
	d.say("")
	if err := d.attachReplica(ctx, 1, d.nodeB); err != nil {
		return err
	}
	if err := d.checkFirstFrame(ctx, d.wireB, "db-1"); err != nil {
		return err
	}
	d.say("\nWhat Multus makes of the final result of the chain, as annotation network-status of db-0:\n")
	status, err := d.pods["db-0"].NetworkStatus()
	if err != nil {
		return err
	}
	d.say("%s", indent(status))
	a := d.pods["db-0"].Attachments[0]
	link, err := d.pods["db-0"].Link(a.Interface)
	if err != nil {
		return err
	}
	return d.check(resultMAC(a.Result, a.Interface) == link.MAC, "it carries the leased MAC, although macvlan's own result cannot")
}

// attachReplica creates the pod of an ordinal, shows that its claim is bound before the sandbox exists, and attaches it.
func (d *demo) attachReplica(ctx context.Context, ordinal int, node *lab.Node) error {
	set := &appsv1.StatefulSet{}
	if err := d.lab.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: "db"}, set); err != nil {
		return fmt.Errorf("getting the StatefulSet: %w", err)
	}
	pod := lab.Replica(set, ordinal)
	if err := d.lab.Client.Create(ctx, pod); err != nil {
		return fmt.Errorf("creating pod %s: %w", pod.Name, err)
	}
	d.say("   The StatefulSet controller (this program) makes pod %s.", pod.Name)
	c, err := d.awaitBound(ctx, "default", pod.Name+".iot.net1")
	if err != nil {
		return err
	}
	if err := d.check(c.Status.MAC != "", "before it is scheduled, the manager has leased %s to its claim %s", c.Status.MAC, c.Name); err != nil {
		return err
	}
	if err := d.lab.Bind(ctx, pod, node); err != nil {
		return err
	}
	d.say("   The scheduler (this program) binds it to %s, whose runtime (this program) makes the sandbox.", node.Name)
	_, err = d.attach(ctx, pod, node)
	return err
}

// talk pings by both families, over the switch.
func (d *demo) talk(ctx context.Context) error {
	from, to := d.pods["db-0"], d.pods["db-1"]
	link, err := to.Link("net1")
	if err != nil {
		return err
	}
	for _, p := range link.IPs {
		err := d.until(ctx, "the ping is answered", func(ctx context.Context) (bool, error) {
			rtt, err := from.Ping(ctx, p.Addr())
			if err != nil {
				return false, err
			}
			return true, d.check(true, "db-0 on %s pings %s, which is db-1 on %s: %.2f ms",
				from.Node.Name, p.Addr(), to.Node.Name, float64(rtt.Microseconds())/1000)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// audit shows the three kinds, and has the real plugins CHECK what they made.
func (d *demo) audit(ctx context.Context) error {
	if _, err := d.kubectl(ctx, "get", "macpools,macclaims,macleases"); err != nil {
		return err
	}
	var errs []error
	for _, name := range []string{"db-0", "db-1"} {
		a := d.pods[name].Attachments[0]
		err := a.Check(ctx)
		errs = append(errs, err, d.check(err == nil, "CNI CHECK of %s: macvlan and macpool find everything as their results say", name))
	}
	return errors.Join(errs...)
}
