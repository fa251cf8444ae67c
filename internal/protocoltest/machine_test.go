// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var machineActions = []action{
	{"crash agent", 2, hasNode(isRunning), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isRunning))
		torn := rapid.IntRange(0, 60).Draw(t, "torn")
		w.logf("crash the agent of %s", n.name)
		w.stats.fault("F3", "agent SIGKILL", w.momentOfNode(n))
		n.crashAgent(torn)
		if rapid.IntRange(0, 2).Draw(t, "again") < 2 {
			n.startAgent()
		}
	}},
	{"end agent", 1, hasNode(isRunning), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isRunning))
		w.logf("upgrade the agent of %s", n.name)
		w.stats.fault("F40", "agent upgraded", w.momentOfNode(n))
		n.agent.cancel() // it lets its requests end; the next waits for the state directory
		old := n.agent
		n.startAgent()
		n.ending = append(n.ending, old)
	}},
	{"start agent", 16, hasNode(isDown), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isDown))
		w.logf("start the agent of %s", n.name)
		n.startAgent()
	}},
	{"cut the power", 1, hasNode(isOn), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isOn))
		w.logf("cut the power of %s", n.name)
		w.stats.fault("F4", "power cut", w.momentOfNode(n))
		n.powerOff(rapid.IntRange(0, 60).Draw(t, "torn"))
	}},
	{"boot", 16, hasNode(isOff), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isOff))
		n.wrong = pick(t, "clock", wrongClocks)
		w.logf("boot %s with its clock wrong by %s", n.name, n.wrong)
		if n.wrong != 0 {
			w.stats.fault("F13", "clock set", "m5-m6")
		}
		n.boot()
	}},
	{"cut off from the API", 2, hasNode(isConnected), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isConnected))
		w.logf("cut %s off from the API", n.name)
		w.stats.fault("F14", "node cut off from the API", w.momentOfNode(n))
		n.setCuts(true, n.wireCut)
	}},
	{"cut off from everything", 1, hasNode(isConnected), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isConnected))
		w.logf("cut %s off from API and VLAN", n.name)
		w.stats.fault("F15", "node cut off from everything", w.momentOfNode(n))
		n.setCuts(true, true)
	}},
	{"heal", 10, hasNode(isCut), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isCut))
		w.logf("heal %s", n.name)
		n.setCuts(false, false)
	}},
	{"delete Node", 1, func(w *world) bool { return len(w.nodesInAPI()) > 1 }, func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesInAPI())
		w.logf("delete Node %s", n.name)
		w.stats.fault("node", "Node deleted", w.momentOfNode(n))
		w.must(client.IgnoreNotFound(w.admin.Delete(background, n.inAPI())))
	}},
	{"register Node", 8, func(w *world) bool { return len(w.nodesInAPI()) < len(w.nodes) }, func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(func(n *node) bool { return n.inAPI() == nil }))
		w.logf("register Node %s", n.name)
		n.register()
	}},
	{"take a node out of service", 2, hasNode(mayTaint), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(mayTaint))
		w.logf("take %s out of service", n.name)
		w.stats.fault("F22", "node out of service", w.momentOfNode(n))
		o := n.inAPI().DeepCopy()
		o.Spec.Taints = append(o.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute})
		w.must(w.admin.Update(background, o))
	}},
	{"take a node into service", 3, hasNode(isTainted), func(w *world, t *rapid.T) {
		n := pick(t, "node", w.nodesThat(isTainted))
		w.logf("take %s into service", n.name)
		n.untaint()
	}},
	{"collect pods", 3, func(w *world) bool { return len(w.strandedPods()) > 0 }, func(w *world, _ *rapid.T) {
		w.collectPods()
	}},
}

func hasNode(that func(*node) bool) func(*world) bool {
	return func(w *world) bool { return len(w.nodesThat(that)) > 0 }
}

func isRunning(n *node) bool   { return n.on && n.running() }
func isDown(n *node) bool      { return n.on && !n.running() }
func isOff(n *node) bool       { return !n.on }
func isConnected(n *node) bool { return n.on && !n.apiCut }
func isCut(n *node) bool       { return n.apiCut || n.wireCut }

// mayTaint : an administrator who takes a node out of service has seen that it is off.
func mayTaint(n *node) bool { return !n.on && n.inAPI() != nil && !isTainted(n) }

func isTainted(n *node) bool {
	o := n.inAPI()
	return o != nil && slices.ContainsFunc(o.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
}

func (n *node) untaint() {
	o := n.inAPI().DeepCopy()
	o.Spec.Taints = slices.DeleteFunc(o.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
	n.world.must(n.world.admin.Update(background, o))
}

// strandedPods are those that the pod garbage collector takes away: of nodes that do not exist, and of those out of service.
func (w *world) strandedPods() []*corev1.Pod {
	return w.podsThat(func(p *corev1.Pod) bool {
		if p.Spec.NodeName == "" {
			return false
		}
		n := w.nodeOf(p)
		return n == nil || n.inAPI() == nil || isTainted(n) && !n.on
	})
}

func (w *world) collectPods() {
	for _, p := range w.strandedPods() {
		w.logf("pod %s/%s is collected", p.Namespace, p.Name)
		w.must(client.IgnoreNotFound(w.admin.Delete(background, p, client.GracePeriodSeconds(0))))
	}
}
