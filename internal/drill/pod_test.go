// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/agentapi"
)

var unique atomic.Int64

// pod is a pod as its kubelet knows it, whatever the API says.
type pod struct {
	w        *world
	ns, name string
	uid      types.UID
	node     *node
	pool     string
	set      string

	netns string // of the latest container; empty while it has none
	id    string
}

func (p *pod) key() string { return fmt.Sprintf("%s (%s)", p.name, p.uid) }

// newPod makes a pod on a node, at once or as soon as the API answers. If it is of a StatefulSet, its name is an ordinal's. ahead: the
// manager knows what it needs before it is started.
func (d *drill) newPod(ctx context.Context, name, set string, n *node, pool string, ahead bool) (*pod, error) {
	object := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.ns, Name: name},
		Spec:       corev1.PodSpec{NodeName: n.name, Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}
	if ahead {
		object.Annotations = map[string]string{nadv1.NetworkAttachmentAnnot: "net-" + pool}
	}
	if set != "" {
		object.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "StatefulSet", Name: set, UID: "uid-of-" + types.UID(set), Controller: new(true),
		}}
	}
	for {
		fresh := object.DeepCopy()
		err := d.w.Create(ctx, fresh)
		if err == nil {
			return &pod{w: d.w, ns: d.ns, name: name, uid: fresh.UID, node: n, pool: pool, set: set}, nil
		}
		if sleep(ctx, 200*time.Millisecond) != nil {
			return nil, fmt.Errorf("making pod %s: %w", name, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attach does as a kubelet does: a new container for each try, until one is attached. The container before goes down when the new
// one is up.
func (d *drill) attach(ctx context.Context, p *pod) error {
	before, beforeID := p.netns, p.id
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		id := fmt.Sprintf("container-%d", unique.Add(1))
		netns := "/nowhere/" + id // in a directory that is not there: nobody can tell that it is gone
		resp, err := p.node.ask(ctx, agentapi.Request{
			Command: agentapi.Add, ContainerID: id, NetNS: netns, Interface: "net1", Network: "net-" + p.pool, Pool: p.pool,
			Pod: agentapi.Pod{Namespace: p.ns, Name: p.name, UID: string(p.uid)},
		})
		if err == nil && resp.Error == nil {
			d.wire.attach(p, netns, resp.Lease)
			p.netns, p.id = netns, id
			if before != "" {
				d.end(ctx, p.node, before, beforeID)
			}
			return nil
		}
		d.end(ctx, p.node, netns, id)
		if resp.Error != nil {
			err = fmt.Errorf("%s: %s", resp.Error.Code, resp.Error.Message)
			d.refusals.add(resp.Error.Code)
		}
		if sleep(ctx, wait) != nil {
			return fmt.Errorf("attaching pod %s on %s: %w", p.key(), p.node.name, err)
		}
	}
}

// detach ends the pod's sandbox.
func (d *drill) detach(ctx context.Context, p *pod) {
	if p.netns != "" {
		d.end(ctx, p.node, p.netns, p.id)
		p.netns, p.id = "", ""
	}
}

// end takes an interface down and says so to the agent, which takes it even if the API is away; while the agent is away the
// runtime tries again. So it does after an ADD that it gave up: the agent may have answered it just then.
func (d *drill) end(ctx context.Context, n *node, netns, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	d.wire.detach(netns)
	for {
		resp, err := n.ask(ctx, agentapi.Request{Command: agentapi.Del, ContainerID: id, NetNS: netns, Interface: "net1", Network: "net"})
		if err == nil && resp.Error == nil || sleep(ctx, 200*time.Millisecond) != nil {
			return
		}
	}
}

// remove deletes the pod: its sandbox ends, and then its object goes.
func (d *drill) remove(ctx context.Context, p *pod) error {
	d.detach(ctx, p)
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.ns, Name: p.name}}
	err := d.w.Delete(ctx, object, client.GracePeriodSeconds(0), client.Preconditions{UID: &p.uid})
	return client.IgnoreNotFound(err)
}

// isKnown tells whether the API knows this very pod.
func (d *drill) isKnown(ctx context.Context, p *pod) (bool, error) {
	object := &corev1.Pod{}
	err := d.w.Get(ctx, types.NamespacedName{Namespace: p.ns, Name: p.name}, object)
	return err == nil && object.UID == p.uid, client.IgnoreNotFound(err)
}
