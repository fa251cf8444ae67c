// SPDX-License-Identifier: Apache-2.0

package growths

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// lane is one of several clusters, or pools, whose pods take turns, one by one.
type lane struct {
	name    string
	w       *world
	network string
	// bind is from the creation of a pod to its claim's lease, add the ADD of one that is bound, unbound that of one that was created
	// and scheduled just before.
	bind, add, unbound *measure.Series

	pods []*corev1.Pod
	nets []lab.Network
}

func newLane(name string, w *world, network string) *lane {
	series := func(what string) *measure.Series { return &measure.Series{Name: name + ", " + what, Unit: "ms"} }
	return &lane{name: name, w: w, network: network, bind: series("bind"), add: series("ADD, bound ahead"), unbound: series("ADD, unbound")}
}

// verdict is longer than the question whether a stranger uses an address takes; its answer is believed for a minute.
const verdict = 4 * time.Second

// run has each lane bind, and then attach, so many pods, the first pod of each, then the second. Pods have the tag in their names.
func run(ctx context.Context, lanes []*lane, tag string, round, pods int) error {
	for i := range pods {
		for j := range lanes {
			l := lanes[(i+j+round)%len(lanes)]
			took, err := l.bindOne(ctx, fmt.Sprintf("%s-%s-%d-%d", l.network, tag, round, i))
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			l.bind.Add(round, took)
		}
	}
	if err := rig.Pause(ctx, verdict); err != nil {
		return err
	}
	for i := range pods {
		for j := range lanes {
			l := lanes[(i+j+round)%len(lanes)]
			took, err := l.attach(ctx, l.pods[i])
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			l.add.Add(round, took)
		}
	}
	for _, l := range lanes {
		l.pods = nil
	}
	return nil
}

// runUnbound is run for pods whose claims nobody has bound before.
func runUnbound(ctx context.Context, lanes []*lane, round, pods int) error {
	for i := range pods {
		for j := range lanes {
			l := lanes[(i+j+round)%len(lanes)]
			pod := lab.NewPod(passing, fmt.Sprintf("%s-now-%d-%d", l.network, round, i), namespace+"/"+l.network)
			if err := l.w.CreatePod(ctx, pod, l.w.node); err != nil {
				return err
			}
			took, err := l.attach(ctx, pod)
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			l.unbound.Add(round, took)
		}
	}
	return nil
}

// bindOne creates a pod, and waits until its claim has a lease and the pod holds it.
func (l *lane) bindOne(ctx context.Context, name string) (milliseconds float64, err error) {
	watching, err := l.w.API.WatchClient()
	if err != nil {
		return 0, err
	}
	events, err := watching.Watch(ctx, &v1alpha1.MacClaimList{}, client.InNamespace(passing))
	if err != nil {
		return 0, fmt.Errorf("watching claims: %w", err)
	}
	defer events.Stop()
	pod := lab.NewPod(passing, name, namespace+"/"+l.network)
	begin := time.Now()
	if err := l.w.CreatePod(ctx, pod, l.w.node); err != nil {
		return 0, err
	}
	l.pods = append(l.pods, pod)
	limit := time.After(time.Minute)
	for {
		select {
		case event := <-events.ResultChan():
			claim, ok := event.Object.(*v1alpha1.MacClaim)
			if !ok || claim.Spec.Workload == nil || claim.Spec.Workload.Name != name {
				continue
			}
			if claim.Status.LeaseName != "" && milliseconds == 0 {
				milliseconds = float64(time.Since(begin).Microseconds()) / 1000
			}
			if claim.Status.Holder != nil && milliseconds != 0 {
				return milliseconds, nil
			}
		case <-limit:
			return 0, fmt.Errorf("pod %s was not bound within a minute", name)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// attach times the ADD of a pod, and takes it away again.
func (l *lane) attach(ctx context.Context, pod *corev1.Pod) (milliseconds float64, err error) {
	if l.nets == nil {
		if l.nets, err = l.w.Networks(ctx, pod); err != nil {
			return 0, err
		}
	}
	sandbox, err := l.w.node.NewSandbox(pod)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := sandbox.Attach(ctx, l.nets[0]); err != nil {
		return 0, fmt.Errorf("attaching pod %s: %w", pod.Name, err)
	}
	milliseconds = float64(time.Since(begin).Microseconds()) / 1000
	if err := sandbox.Remove(ctx); err != nil {
		return 0, err
	}
	return milliseconds, l.w.ForgetPod(ctx, pod)
}
