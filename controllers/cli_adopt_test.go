// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
)

// emigrant is a pod that has its address from elsewhere, and its workload.
type emigrant struct {
	kind, workload, pod, node, networks string
	// ip is what it has, mac what was typed for it.
	ip, mac string
}

// typedOn is an element of a networks annotation as home-ops repositories have it.
func typedOn(network, ip, mac string) string {
	return fmt.Sprintf(`[{"name": %q, "ips": [%q], "mac": %q}]`, network, ip+"/24", mac)
}

// TestAdopt takes a cluster with whereabouts and with typed addresses over while it runs: every workload has the address that it had, and the MAC that was
// typed for it, after its network names the pool and its pods have been replaced. The pools and configurations are those that the command prints.
func TestAdopt(t *testing.T) {
	w := newWorld(t)
	whereabouts := envtest.CRDInstallOptions{Paths: []string{"testdata/whereabouts.yaml"}}
	if _, err := envtest.InstallCRDs(w.api.admin, whereabouts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := envtest.UninstallCRDs(w.api.admin, whereabouts); err != nil {
			t.Error(err)
		}
	})
	w.startManager(managerOptions{})
	ns := w.namespace()
	networks := []*nadv1.NetworkAttachmentDefinition{
		w.networkOf(ns, "cameras", `{"cniVersion": "1.0.0", "name": "cameras", "type": "macvlan", "master": "eth0.51", "ipam": {"type": "whereabouts",
			"range": "192.168.51.0/24", "range_start": "192.168.51.100", "range_end": "192.168.51.149", "exclude": ["192.168.51.128/30"]}}`),
		w.networkOf(ns, "iot", `{"cniVersion": "1.0.0", "name": "iot", "plugins": [{"type": "macvlan", "master": "eth0.50",
			"capabilities": {"ips": true, "mac": true}, "ipam": {"type": "static"}}, {"type": "sbr"}]}`),
	}
	emigrants := []emigrant{
		{"StatefulSet", "nvr", "nvr-0", "node-1", "cameras", "192.168.51.103", ""},
		{"StatefulSet", "nvr", "nvr-1", "node-2", "cameras", "192.168.51.100", ""},
		{"Deployment", "web", "web-h0-a", "node-1", "cameras", "192.168.51.110", ""},
		{"Deployment", "web", "web-h0-b", "node-2", "cameras", "192.168.51.102", ""},
		{"DaemonSet", "probe", "probe-a", "node-1", "cameras", "192.168.51.101", ""},
		{"DaemonSet", "probe", "probe-b", "node-2", "cameras", "192.168.51.104", ""},
		{"Deployment", "home-assistant", "home-assistant-h0-a", "node-1", typedOn("iot", "192.168.50.8", "f2:fd:59:0b:bd:2b"), "192.168.50.8", "f2:fd:59:0b:bd:2b"},
		{"StatefulSet", "mqtt", "mqtt-0", "node-2", typedOn("iot", "192.168.50.9", "00:1b:21:a8:32:08"), "192.168.50.9", "00:1b:21:a8:32:08"},
	}
	allocations := map[string]any{}
	for i, e := range emigrants {
		w.immigrate(ns, e, 0)
		if e.networks == "cameras" {
			distance := strings.TrimPrefix(e.ip, "192.168.51.")
			allocations[distance] = map[string]any{"id": fmt.Sprint("container-", i), "podref": ns + "/" + e.pod, "ifname": "net1"}
		}
	}
	w.create(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "whereabouts.cni.cncf.io/v1alpha1", "kind": "IPPool", "metadata": map[string]any{"namespace": "kube-system", "name": "192.168.51.0-24"},
		"spec": map[string]any{"range": "192.168.51.0/24", "allocations": allocations},
	}})

	out, errOut, status := w.macpool("adopt", "--dry-run")
	if status != 0 || strings.Count(out, "created (dry run)") != len(emigrants)+2 {
		t.Fatalf("a dry run ends with %d, and says\n%s%s", status, out, errOut)
	}
	var none v1alpha1.MacClaimList
	if err := w.List(t.Context(), &none); err != nil || len(none.Items) > 0 {
		t.Fatalf("a dry run leaves %d claims, %v", len(none.Items), err)
	}
	report, errOut, status := w.macpool("adopt", "--apply")
	if status != 0 || strings.Count(report, " created") != len(emigrants)+2 {
		t.Fatalf("adopt ends with %d, and says\n%s%s", status, report, errOut)
	}
	if out, errOut, status := w.macpool("adopt"); status != 0 || !strings.HasPrefix(out, fmt.Sprintf("nothing to do: %d addresses have their claims", len(emigrants))) {
		t.Errorf("the second time adopt ends with %d, and says\n%s%s", status, out, errOut)
	}
	w.eventually(func(g gomega.Gomega) {
		var claims v1alpha1.MacClaimList
		g.Expect(w.List(t.Context(), &claims)).To(gomega.Succeed())
		for _, c := range claims.Items {
			g.Expect(apimeta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ClaimReady)).To(gomega.BeTrue(), "claim %s: %v", c.Name, c.Status.Conditions)
		}
	})

	for _, nad := range networks {
		_, rest, found := strings.Cut(report, fmt.Sprintf("spec.config of network %s/%s, when the claims are made:\n", nad.Namespace, nad.Name))
		config, _, _ := strings.Cut(rest, "\n\nspec.config")
		if !found {
			t.Fatalf("adopt prints no configuration of network %s:\n%s", nad.Name, report)
		}
		change(w, nad, func(nad *nadv1.NetworkAttachmentDefinition) { nad.Spec.Config = config })
	}
	before := addressesOf(emigrants)
	slices.Reverse(emigrants)
	for i := range emigrants {
		w.emigrate(ns, emigrants[i])
	}
	for i := range emigrants {
		emigrants[i].pod = w.immigrate(ns, emigrants[i], 1).Name
	}
	w.eventually(func(g gomega.Gomega) {
		var claims v1alpha1.MacClaimList
		g.Expect(w.List(t.Context(), &claims, client.InNamespace(ns))).To(gomega.Succeed())
		now := slices.Clone(emigrants)
		for i, e := range now {
			held := slices.IndexFunc(claims.Items, func(c v1alpha1.MacClaim) bool { return c.Status.Holder != nil && c.Status.Holder.PodName == e.pod })
			g.Expect(held).NotTo(gomega.Equal(-1), "the claim of %s", e.pod)
			now[i].ip = claims.Items[held].Status.IPs[0]
			if e.mac != "" {
				now[i].mac = claims.Items[held].Status.MAC
			}
		}
		g.Expect(cmp.Diff(before, addressesOf(now))).To(gomega.BeEmpty())
		g.Expect(claims.Items).To(gomega.HaveLen(len(emigrants)))
	})
	if out, errOut, status := w.macpool("adopt"); status != 0 || !strings.HasPrefix(out, "nothing to do") {
		t.Errorf("afterwards adopt ends with %d, and says\n%s%s", status, out, errOut)
	}
}

// addressesOf are what the workloads have: of pods that are alike as a set.
func addressesOf(emigrants []emigrant) map[string][]string {
	all := map[string][]string{}
	for _, e := range emigrants {
		key := e.kind + " " + e.workload
		switch e.kind {
		case "StatefulSet":
			key = e.pod
		case "DaemonSet":
			key += " " + e.node
		}
		all[key] = append(all[key], e.ip+" "+e.mac)
		slices.Sort(all[key])
	}
	return all
}

// immigrate makes the pod of a workload, of a generation, and the workload if it is the first.
func (w *world) immigrate(ns string, e emigrant, generation int) *corev1.Pod {
	w.t.Helper()
	name, owner, template := e.pod, metav1.OwnerReference{APIVersion: "apps/v1", Kind: e.kind, Name: e.workload, UID: "uid-1", Controller: new(true)}, map[string]string{"app": e.workload}
	pod := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: template, Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: e.networks}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}
	meta, selector := metav1.ObjectMeta{Namespace: ns, Name: e.workload}, &metav1.LabelSelector{MatchLabels: template}
	labels := map[string]string{}
	var workload client.Object
	switch e.kind {
	case "StatefulSet":
		workload = &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: pod}}
	case "DaemonSet":
		workload = &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: pod}}
		name = strings.Replace(name, e.workload, fmt.Sprintf("%s-%d", e.workload, generation), 1)
	default:
		workload = &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Selector: selector, Template: pod, Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
		}}
		hash := fmt.Sprintf("h%d", generation)
		labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
		owner.Kind, owner.Name = "ReplicaSet", e.workload+"-"+hash
		name = strings.Replace(name, "-h0-", "-"+hash+"-", 1)
	}
	if err := w.Create(w.t.Context(), workload); client.IgnoreAlreadyExists(err) != nil {
		w.t.Fatal(err)
	}
	if generation == 0 {
		name = e.pod
	}
	return w.pod(ns, name, e.networks, on(e.node), func(p *corev1.Pod) {
		p.Labels, p.OwnerReferences = labels, []metav1.OwnerReference{owner}
	})
}

// emigrate ends a pod. Its old IPAM plugin ends what it did for it; of the claim that the manager has given it since its network names the pool, its node
// says that no interface is there.
func (w *world) emigrate(ns string, e emigrant) {
	w.t.Helper()
	var claims v1alpha1.MacClaimList
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.List(w.t.Context(), &claims, client.InNamespace(ns))).To(gomega.Succeed())
		g.Expect(slices.ContainsFunc(claims.Items, func(c v1alpha1.MacClaim) bool {
			return c.Status.Holder != nil && c.Status.Holder.PodName == e.pod
		})).To(gomega.BeTrue(), "the claim of %s", e.pod)
	})
	w.remove(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: e.pod}})
	for i := range claims.Items {
		if h := claims.Items[i].Status.Holder; h != nil && h.PodName == e.pod {
			w.detach(&claims.Items[i])
		}
	}
}
