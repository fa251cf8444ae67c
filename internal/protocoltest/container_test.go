// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"slices"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
)

var containerActions = []action{
	{"run sandbox", 8, func(w *world) bool { return len(w.startable()) > 0 }, func(w *world, t *rapid.T) {
		w.run(pick(t, "pod", w.startable()))
	}},
	{"kubelet works", 32, func(w *world) bool { return len(w.nodesThat(isOn)) > 0 }, func(w *world, t *rapid.T) {
		pick(t, "node", w.nodesThat(isOn)).kubelet()
	}},
	{"ADD again", 2, hasSandbox(isUp), func(w *world, t *rapid.T) {
		s := pick(t, "sandbox", w.sandboxesThat(isUp))
		s.node.ask(s.request(agentapi.Add), s)
	}},
	{"ADD of another sandbox", 1, hasSandbox(isUp), func(w *world, t *rapid.T) {
		s := pick(t, "sandbox", w.sandboxesThat(isUp))
		s.node.runSandbox(s.namespace, s.pod, string(s.uid), s.iface, s.pool, s.identity)
	}},
	{"ADD of a sandbox that has ended", 2, hasSandbox(hasEnded), func(w *world, t *rapid.T) {
		s := pick(t, "sandbox", w.sandboxesThat(hasEnded))
		w.stats.fault("F18", "late ADD", "m5-m6")
		s.node.ask(s.request(agentapi.Add), s)
	}},
	{"hang up", 3, func(w *world) bool { return len(w.calls) > 0 }, func(w *world, t *rapid.T) {
		c := pick(t, "call", w.calls)
		w.logf("%s %s: killed", c.node.name, requestText(c.req))
		id, class := "F2", "caller of ADD gone"
		if c.req.Command != agentapi.Add {
			id, class = "F1", "plugin SIGKILL"
		}
		w.stats.fault(id, class, w.momentOfNode(c.node))
		c.hangUp()
		if c.req.Command == agentapi.Del && c.sandbox != nil {
			c.sandbox.toDelete = true
		}
	}},
	{"stop sandbox", 5, hasSandbox(isAlive), func(w *world, t *rapid.T) {
		pick(t, "sandbox", w.sandboxesThat(isAlive)).stop()
	}},
	{"remove link of a stopped sandbox", 4, hasSandbox(isEnding), func(w *world, t *rapid.T) {
		pick(t, "sandbox", w.sandboxesThat(isEnding)).vanish("its sandbox ends")
	}},
	{"lose sandbox", 1, hasSandbox(isAlive), func(w *world, t *rapid.T) {
		s := pick(t, "sandbox", w.sandboxesThat(isAlive))
		w.stats.fault("F20", "DEL lost", w.momentOfNode(s.node))
		s.vanish("its sandbox is lost")
		s.ending = true // no DEL will come, unless by "DEL again"
	}},
	{"DEL again", 2, hasSandbox(hasEnded), func(w *world, t *rapid.T) {
		s := pick(t, "sandbox", w.sandboxesThat(hasEnded))
		w.stats.fault("F19", "DEL again", "m7")
		s.stop()
	}},
	{"DEL of a sandbox that nobody knows", 1, hasOn, func(w *world, t *rapid.T) {
		w.stats.fault("F19", "DEL of unknown", "m7")
		pick(t, "node", w.nodesThat(isOn)).ask(agentapi.Request{
			Command: agentapi.Del, ContainerID: w.name("unknown"), Interface: "net1", Network: "iot",
		}, nil)
	}},
	{"CHECK", 1, hasSandbox(isUp), func(w *world, t *rapid.T) {
		s := pick(t, "sandbox", w.sandboxesThat(isUp))
		s.node.ask(s.request(agentapi.Check), s)
	}},
	{"STATUS", 1, hasOn, func(w *world, t *rapid.T) {
		pick(t, "node", w.nodesThat(isOn)).ask(agentapi.Request{Command: agentapi.Status, Pool: poolNames[0]}, nil)
	}},
	{"GC", 1, hasOn, func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isOn))
		req := agentapi.Request{Command: agentapi.GC, Network: poolNames[0]}
		if rapid.Bool().Draw(t, "list") {
			for _, s := range n.sandboxes {
				if s.alive {
					req.Valid = append(req.Valid, agentapi.Attachment{ContainerID: s.id, Interface: s.iface})
				}
			}
		}
		w.stats.fault("GC", "GC by the runtime", "m5-m6")
		n.ask(req, nil)
	}},
}

func isAlive(s *sandbox) bool  { return s.alive && s.node.on && !s.ending }
func isEnding(s *sandbox) bool { return s.alive && s.node.on && s.ending }
func hasEnded(s *sandbox) bool { return s.node.on && s.ending }
func isUp(s *sandbox) bool {
	return isAlive(s) && s.node.world.truth.has(s)
}

func hasSandbox(that func(*sandbox) bool) func(*world) bool {
	return func(w *world) bool { return len(w.sandboxesThat(that)) > 0 }
}

// recent bounds how many sandboxes of the past are of interest.
const recent = 8

func (w *world) sandboxesThat(that func(*sandbox) bool) []*sandbox {
	var found []*sandbox
	for _, n := range w.nodes {
		some := 0
		for _, s := range slices.Backward(n.sandboxes) {
			if that(s) {
				found = append(found, s)
				if some++; some == recent {
					break
				}
			}
		}
	}
	return found
}

// startable are the pods of nodes that are on which have no sandbox and should.
func (w *world) startable() []*corev1.Pod {
	return w.podsThat(func(p *corev1.Pod) bool {
		n := w.nodeOf(p)
		return n != nil && n.on && isLive(p) && isScheduled(p) && n.sandboxOf(p) == nil
	})
}

func (w *world) nodeOf(p *corev1.Pod) *node {
	for _, n := range w.nodes {
		if n.name == p.Spec.NodeName {
			return n
		}
	}
	return nil
}

// sandboxOf is the pod's sandbox that is there and not about to go.
func (n *node) sandboxOf(p *corev1.Pod) *sandbox {
	for _, s := range slices.Backward(n.sandboxes) {
		if s.uid == p.UID && s.alive && !s.ending {
			return s
		}
	}
	return nil
}

// run starts a pod on its node.
func (w *world) run(p *corev1.Pod) {
	pool := p.Annotations[nadv1.NetworkAttachmentAnnot]
	identity := p.Namespace + "/" + binding.ClaimName(binding.WorkloadOf(p, "net1"), pool)
	w.nodeOf(p).runSandbox(p.Namespace, p.Name, string(p.UID), "net1", pool, identity)
}

// kubelet is one round of the kubelet of a node, if it reaches the API: it ends what should not run, takes pods away that have
// ended, and starts what should run. A sandbox that could not be attached is replaced.
func (n *node) kubelet() {
	w := n.world
	if !n.on || n.apiCut {
		return
	}
	pods := w.podsThat(func(p *corev1.Pod) bool { return p.Spec.NodeName == n.name })
	for _, s := range slices.Clone(n.sandboxes) {
		wanted := slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return p.UID == s.uid && isLive(p) && !hasFinished(p) })
		failed := s.alive && s.adds == 0 && !w.truth.has(s)
		switch {
		case s.toDelete:
			s.stop()
		case s.alive && s.ending:
			s.vanish("its sandbox ends")
		case s.alive && (!wanted || failed):
			s.stop()
		}
	}
	for _, p := range pods {
		left := slices.ContainsFunc(n.sandboxes, func(s *sandbox) bool { return s.uid == p.UID && (s.alive || s.toDelete) })
		switch {
		case !isLive(p) && !left:
			err := w.admin.Delete(background, p, client.GracePeriodSeconds(0), client.Preconditions{UID: &p.UID})
			if !apierrors.IsConflict(err) {
				w.must(client.IgnoreNotFound(err))
			}
		case isLive(p) && !hasFinished(p) && n.sandboxOf(p) == nil:
			w.run(p)
		}
	}
}

func isOn(n *node) bool   { return n.on }
func hasOn(w *world) bool { return len(w.nodesThat(isOn)) > 0 }

func (w *world) nodesThat(that func(*node) bool) []*node {
	return slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return !that(n) })
}

// nodesInAPI are the machines that have a Node.
func (w *world) nodesInAPI() []*node {
	return w.nodesThat(func(n *node) bool { return n.inAPI() != nil })
}

// has tells whether the sandbox's link is up.
func (t *truth) has(s *sandbox) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.links[s.id] != nil
}
