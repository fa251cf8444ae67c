// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"fmt"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// The namespaces, pools and names that there are. Few, so that what happens to one happens to it again.
var (
	namespaces = []string{"a", "b"}
	poolNames  = []string{"iot", "lab"}
	podNames   = []string{"p0", "p1", "db-0", "db-1"}
)

const setName = "db"

var workloadActions = []action{
	{"create pod", 8, hasFreeName, func(w *world, t *rapid.T) {
		free := w.freeNames()
		key := pick(t, "name", free)
		pool := poolNames[0]
		if rapid.IntRange(0, 3).Draw(t, "pool") == 3 {
			pool = poolNames[1]
		}
		w.createPod(key.Namespace, key.Name, pool)
	}},
	{"schedule pod", 12, func(w *world) bool { return len(w.unscheduled()) > 0 && len(w.nodesInAPI()) > 0 }, func(w *world, t *rapid.T) {
		pod := pick(t, "pod", w.unscheduled())
		n := pick(t, "node", w.nodesInAPI())
		w.schedule(pod, n)
	}},
	{"create pod on a node", 14, func(w *world) bool { return hasFreeName(w) && len(w.nodesInAPI()) > 0 }, func(w *world, t *rapid.T) {
		key := pick(t, "name", w.freeNames())
		w.createPod(key.Namespace, key.Name, poolNames[0])
		for _, pod := range w.unscheduled() {
			if client.ObjectKeyFromObject(pod) == key {
				w.schedule(pod, pick(t, "node", w.nodesInAPI()))
			}
		}
	}},
	{"delete pod", 6, hasPod(isLive), func(w *world, t *rapid.T) {
		pod := pick(t, "pod", w.podsThat(isLive))
		w.logf("delete pod %s/%s", pod.Namespace, pod.Name)
		w.must(client.IgnoreNotFound(w.admin.Delete(background, pod)))
	}},
	{"delete pod by force", 2, hasPod(anyPod), func(w *world, t *rapid.T) {
		pod := pick(t, "pod", w.podsThat(anyPod))
		w.logf("delete pod %s/%s by force", pod.Namespace, pod.Name)
		w.stats.fault("F16", "pod deleted by force", w.momentOfPod(pod))
		w.must(w.admin.Delete(background, pod, client.GracePeriodSeconds(0)))
	}},
	{"finish pod", 1, hasPod(isScheduled), func(w *world, t *rapid.T) {
		pod := pick(t, "pod", w.podsThat(isScheduled)).DeepCopy()
		w.logf("pod %s/%s finishes", pod.Namespace, pod.Name)
		w.stats.fault("F21", "pod finished", "m5-m6")
		pod.Status.Phase = corev1.PodSucceeded
		w.must(w.admin.Status().Update(background, pod))
	}},
	{"delete StatefulSet", 1, func(w *world) bool { return len(all[*appsv1.StatefulSet](w, "StatefulSet")) > 0 }, func(w *world, t *rapid.T) {
		set := pick(t, "set", all[*appsv1.StatefulSet](w, "StatefulSet"))
		w.logf("delete StatefulSet %s/%s", set.Namespace, set.Name)
		w.must(w.admin.Delete(background, set))
	}},
	{"create claim", 1, always, func(w *world, t *rapid.T) {
		w.createClaim(pick(t, "namespace", namespaces), fmt.Sprintf("mine-%d", rapid.IntRange(0, 1).Draw(t, "claim")), rapid.IntRange(0, 12).Draw(t, "address"))
	}},
	{"delete claim", 1, func(w *world) bool { return len(w.claims()) > 0 }, func(w *world, t *rapid.T) {
		claim := pick(t, "claim", w.claims())
		w.logf("delete claim %s/%s", claim.Namespace, claim.Name)
		if err := w.admin.Delete(background, claim); err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
			w.must(err)
		}
	}},
	{"delete namespace", 1, func(w *world) bool { return len(w.namespacesThat(false)) > 0 }, func(w *world, t *rapid.T) {
		ns := pick(t, "namespace", w.namespacesThat(false))
		w.logf("delete namespace %s", ns.Name)
		w.stats.fault("F23", "namespace deleted", "m5-m6")
		w.must(w.admin.Delete(background, ns))
		w.emptyNamespaces()
	}},
	{"empty namespaces", 8, func(w *world) bool { return len(w.namespacesThat(true)) > 0 || w.missesNamespace() }, func(w *world, _ *rapid.T) {
		w.emptyNamespaces()
		w.makeNamespaces()
	}},
	{"force release", 1, func(w *world) bool { return len(w.heldClaims()) > 0 }, func(w *world, t *rapid.T) {
		claim := pick(t, "claim", w.heldClaims()).DeepCopy()
		w.logf("force the release of claim %s/%s", claim.Namespace, claim.Name)
		w.stats.fault("force", "release forced", "m5-m6")
		if claim.Annotations == nil {
			claim.Annotations = map[string]string{}
		}
		claim.Annotations[v1alpha1.AnnotationForceRelease] = "drill"
		w.must(w.admin.Update(background, claim))
	}},
}

func anyPod(*corev1.Pod) bool        { return true }
func isLive(p *corev1.Pod) bool      { return p.DeletionTimestamp.IsZero() }
func isScheduled(p *corev1.Pod) bool { return p.Spec.NodeName != "" && !hasFinished(p) }
func hasFinished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func hasPod(that func(*corev1.Pod) bool) func(*world) bool {
	return func(w *world) bool { return len(w.podsThat(that)) > 0 }
}

func (w *world) podsThat(that func(*corev1.Pod) bool) []*corev1.Pod {
	return slices.DeleteFunc(w.pods(), func(p *corev1.Pod) bool { return !that(p) })
}

func (w *world) unscheduled() []*corev1.Pod {
	return w.podsThat(func(p *corev1.Pod) bool { return p.Spec.NodeName == "" && isLive(p) })
}

func (w *world) claims() []*v1alpha1.MacClaim { return all[*v1alpha1.MacClaim](w, "MacClaim") }

func (w *world) heldClaims() []*v1alpha1.MacClaim {
	return slices.DeleteFunc(w.claims(), func(c *v1alpha1.MacClaim) bool { return c.Status.Holder == nil })
}

// namespacesThat are being deleted, or not.
func (w *world) namespacesThat(ending bool) []*corev1.Namespace {
	return slices.DeleteFunc(all[*corev1.Namespace](w, "Namespace"), func(ns *corev1.Namespace) bool { return ns.DeletionTimestamp.IsZero() == ending })
}

func (w *world) missesNamespace() bool {
	return len(all[*corev1.Namespace](w, "Namespace")) < len(namespaces)
}

// makeNamespaces makes those that are missing, with their networks.
func (w *world) makeNamespaces() {
	for _, name := range namespaces {
		err := w.admin.Create(background, &corev1.Namespace{ObjectMeta: object("", name)})
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		w.must(err)
		for _, pool := range poolNames {
			config := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "type": "macvlan", "master": "eth0.50", "ipam": {"type": "macpool", "pool": %q}}`, pool, pool)
			w.must(w.admin.Create(background, &nadv1.NetworkAttachmentDefinition{
				ObjectMeta: object(name, pool), Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: config},
			}))
		}
	}
}

// emptyNamespaces is one round of the namespace controller: pods first, the rest when they are gone.
func (w *world) emptyNamespaces() {
	for _, ns := range w.namespacesThat(true) {
		left := 0
		for _, kind := range []string{"Pod", "StatefulSet", "NetworkAttachmentDefinition", "MacClaim"} {
			for _, o := range w.server.Objects(kind) {
				if o.GetNamespace() != ns.Name {
					continue
				}
				left++
				if err := w.admin.Delete(background, o); err != nil && !apierrors.IsForbidden(err) {
					w.must(client.IgnoreNotFound(err))
				}
			}
			if kind == "Pod" && left > 0 {
				break
			}
		}
		if left == 0 {
			w.server.Finalize(ns.Name)
		}
	}
}

// freeNames are the pods that there could be and are not.
func (w *world) freeNames() []types.NamespacedName {
	var free []types.NamespacedName
	for _, ns := range w.namespacesThat(false) {
		for _, name := range podNames {
			key := types.NamespacedName{Namespace: ns.Name, Name: name}
			if w.server.Object("Pod", key) == nil {
				free = append(free, key)
			}
		}
	}
	return free
}

func hasFreeName(w *world) bool { return len(w.freeNames()) > 0 }

func (w *world) createPod(namespace, name, pool string) {
	pod := &corev1.Pod{
		ObjectMeta: object(namespace, name),
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
	pod.Annotations = map[string]string{nadv1.NetworkAttachmentAnnot: pool}
	if strings.HasPrefix(name, setName+"-") {
		set := &appsv1.StatefulSet{ObjectMeta: object(namespace, setName)}
		if err := w.admin.Create(background, set); apierrors.IsAlreadyExists(err) {
			w.must(w.admin.Get(background, client.ObjectKeyFromObject(set), set))
		} else {
			w.must(err)
		}
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: setName, UID: set.UID, Controller: new(true)}}
	}
	w.must(w.admin.Create(background, pod))
	w.logf("create pod %s/%s (%s) of pool %s", namespace, name, pod.UID, pool)
}

func (w *world) schedule(pod *corev1.Pod, n *node) {
	bound := pod.DeepCopy()
	bound.Spec.NodeName = n.name
	w.logf("schedule pod %s/%s (%s) to %s", pod.Namespace, pod.Name, pod.UID, n.name)
	w.must(w.admin.Update(background, bound))
}

// createClaim makes a person's claim, for an address of the pool if there is a number.
func (w *world) createClaim(namespace, name string, address int) {
	claim := &v1alpha1.MacClaim{ObjectMeta: object(namespace, name), Spec: v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: poolNames[0]}}}
	if address > 0 {
		claim.Spec.IPs = []v1alpha1.IPAddress{v1alpha1.IPAddress(fmt.Sprintf("192.168.50.%d", 8+address))}
	}
	w.logf("create claim %s/%s for %v", namespace, name, claim.Spec.IPs)
	if err := w.admin.Create(background, claim); err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
		w.must(err)
	}
}

// momentOfPod is the column in which something is done to a pod.
func (w *world) momentOfPod(pod *corev1.Pod) string {
	for _, n := range w.nodes {
		if n.name == pod.Spec.NodeName {
			return w.momentOfNode(n)
		}
	}
	return "m0-m1"
}
