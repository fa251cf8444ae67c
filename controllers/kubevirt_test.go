// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/view"
)

// install makes the definitions of a file until the test ends, with all objects of them.
func (w *world) install(file string) {
	w.t.Helper()
	options := envtest.CRDInstallOptions{Paths: []string{filepath.Join("testdata", file)}, ErrorIfPathMissing: true}
	installed, err := envtest.InstallCRDs(w.api.admin, options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := envtest.UninstallCRDs(w.api.admin, options); err != nil {
			w.t.Error(err)
		}
		// One that is still going could not be installed by the server's next test.
		for _, crd := range installed {
			object := &metav1.PartialObjectMetadata{}
			object.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
			gone := func(ctx context.Context) (bool, error) {
				return apierrors.IsNotFound(w.Get(ctx, client.ObjectKeyFromObject(crd), object)), nil
			}
			if err := wait.PollUntilContextTimeout(context.Background(), 20*time.Millisecond, time.Minute, true, gone); err != nil {
				w.t.Errorf("definition %s is still there", crd.Name)
			}
		}
	})
}

// virtual is an object of KubeVirt's, or an IPAMClaim.
func virtual(apiVersion, kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// launches makes a pod the virt-launcher of an instance of VM vm.
func launches(instance types.UID) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Labels = map[string]string{"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": string(instance), "vm.kubevirt.io/name": "vm"}
		p.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "kubevirt.io/v1", Kind: "VirtualMachineInstance", Name: "vm", UID: instance, Controller: new(true), BlockOwnerDeletion: new(true),
		}}
	}
}

// holders waits until these pods are the holder and the alternate of a claim; nil for none.
func (w *world) holders(namespace, name string, active, alternate *corev1.Pod) *v1alpha1.MacClaim {
	w.t.Helper()
	var claim *v1alpha1.MacClaim
	w.eventually(func(g gomega.Gomega) {
		claim = w.claimNow(namespace, name)
		g.Expect(claim).NotTo(gomega.BeNil())
		for h, pod := range map[**v1alpha1.Holder]*corev1.Pod{&claim.Status.Holder: active, &claim.Status.Alternate: alternate} {
			if pod == nil {
				g.Expect(*h).To(gomega.BeNil())
				continue
			}
			g.Expect(*h).NotTo(gomega.BeNil())
			g.Expect((*h).PodName).To(gomega.Equal(pod.Name))
		}
	})
	return claim
}

// R-G6: a VM keeps its address from pod to pod and over a stop, whatever its pods are called; it goes when the VM is gone, and not before
// five minutes have passed, though the pool retains nothing.
func TestAddressOfAVM(t *testing.T) {
	w := newWorld(t)
	w.install("kubevirt.yaml")
	now := testclock.NewFakePassiveClock(time.Now())
	w.startManager(managerOptions{clock: now})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", func(p *v1alpha1.MacPool) { p.Spec.Retain = &metav1.Duration{} })
	w.network(ns, "iot", pool.Name)
	vm := virtual("kubevirt.io/v1", "VirtualMachine", ns, "vm", nil)
	w.create(vm)
	name := "vm.virtualmachine." + pool.Name + ".net1"
	pod := w.pod(ns, "virt-launcher-vm-aaaaa", "iot", on("node-1"), launches("vmi-1"))
	claim := w.holders(ns, name, pod, nil)
	if diff := cmp.Diff(&v1alpha1.Workload{Kind: v1alpha1.WorkloadVM, Name: "vm", Interface: "net1"}, claim.Spec.Workload); diff != "" {
		t.Error(diff)
	}
	first := w.bound(ns, name).Status.IPs

	// Stopped: the VM is there, and no pod of it.
	w.remove(pod)
	w.detach(claim)
	look := func() {
		change(w, w.claimNow(ns, name), func(c *v1alpha1.MacClaim) {
			c.Labels["looked"] = "at-" + c.ResourceVersion
		})
	}
	now.SetTime(now.Now().Add(24 * time.Hour))
	look()
	w.never("the claim of a VM that is stopped has ended", func() bool {
		return apimeta.FindStatusCondition(w.claimNow(ns, name).Status.Conditions, v1alpha1.ClaimEnded) != nil
	})
	// Started again.
	pod = w.pod(ns, "virt-launcher-vm-bbbbb", "iot", on("node-2"), launches("vmi-2"))
	claim = w.holders(ns, name, pod, nil)
	if diff := cmp.Diff(first, claim.Status.IPs); diff != "" {
		t.Errorf("the VM has another address: %s", diff)
	}
	// Deleted, with its pod.
	w.remove(vm)
	w.remove(pod)
	w.detach(claim)
	w.eventually(func(g gomega.Gomega) {
		g.Expect(apimeta.IsStatusConditionTrue(w.claimNow(ns, name).Status.Conditions, v1alpha1.ClaimEnded)).To(gomega.BeTrue())
	})
	now.SetTime(now.Now().Add(4 * time.Minute))
	look()
	w.never("the claim is gone after four minutes", func() bool { return w.claimNow(ns, name) == nil })
	now.SetTime(now.Now().Add(2 * time.Minute))
	look()
	w.gone(claim)
}

// R-G1: without KubeVirt's kinds nobody has said that a VM is gone.
func TestVMOfAnUnknownKind(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24", func(p *v1alpha1.MacPool) { p.Spec.Retain = &metav1.Duration{} })
	w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "virt-launcher-vm-aaaaa", "iot", on("node-1"), launches("vmi-1"))
	claim := w.holders(ns, "vm.virtualmachine."+pool.Name+".net1", pod, nil)
	w.remove(pod)
	w.detach(claim)
	w.never("the claim has ended", func() bool {
		return apimeta.FindStatusCondition(w.claimNow(ns, claim.Name).Status.Conditions, v1alpha1.ClaimEnded) != nil
	})
}

// R-G6: the manager makes the target of a migration the alternate, the holder when KubeVirt says that the VM runs there, and takes an alternate
// away whose node is out of service. The lease says where the VM is. A pod of the next instance waits for both.
func TestManagerFollowsAMigration(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	nodes := map[string]*corev1.Node{}
	for _, name := range []string{"node-1", "node-2", "node-3"} {
		nodes[name] = w.node(name)
	}
	name := "vm.virtualmachine." + pool.Name + ".net1"
	source := w.pod(ns, "virt-launcher-vm-a", "iot", on("node-1"), launches("vmi-1"))
	w.holders(ns, name, source, nil)
	target := w.pod(ns, "virt-launcher-vm-b", "iot", on("node-2"), launches("vmi-1"))
	w.holders(ns, name, source, target)
	other := w.pod(ns, "virt-launcher-vm-c", "iot", on("node-3"), launches("vmi-2"))
	w.told(other, "ClaimHeld")

	ready := func(pod *corev1.Pod, at string) {
		change(w, pod, func(p *corev1.Pod) { metav1.SetMetaDataAnnotation(&p.ObjectMeta, view.AnnotationTargetReady, at) })
	}
	ready(target, "2026-11-25T10:00:00.123456789Z")
	claim := w.holders(ns, name, target, source)
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.lease(claim.Status.LeaseName).Spec.NodeName).To(gomega.Equal("node-2"))
	})

	// Back, on a new pod, with the marks of both migrations.
	w.remove(source)
	w.detachPod(claim, source)
	w.holders(ns, name, target, nil)
	back := w.pod(ns, "virt-launcher-vm-d", "iot", on("node-1"), launches("vmi-1"))
	w.holders(ns, name, target, back)
	ready(back, "2026-11-25T09:00:00Z") // a clock that is behind: nothing is switched by it
	w.never("it was promoted", func() bool { return w.claimNow(ns, name).Status.Holder.PodName != target.Name })
	ready(back, "2026-11-25T11:00:00Z")
	w.holders(ns, name, back, target)

	// The source dies with its node.
	w.ready(nodes["node-2"], corev1.ConditionUnknown)
	w.remove(target)
	w.never("the alternate of a silent node is gone", func() bool { return w.claimNow(ns, name).Status.Alternate == nil })
	w.fence(nodes["node-2"])
	claim = w.holders(ns, name, back, nil)
	if past := claim.Status.PreviousHolders[0]; past.PodName != target.Name || past.Reason != v1alpha1.EndOutOfService {
		t.Errorf("it ended as %+v", past)
	}
	// The VM stops, and the next instance has its turn.
	w.remove(back)
	w.detachPod(claim, back)
	w.holders(ns, name, other, nil)
}

// detachPod is the node agent of one of the holders that has seen its interface go.
func (w *world) detachPod(claim *v1alpha1.MacClaim, pod *corev1.Pod) {
	w.t.Helper()
	now := w.claimNow(claim.Namespace, claim.Name)
	for _, h := range []*v1alpha1.Holder{now.Status.Holder, now.Status.Alternate} {
		if h != nil && h.PodUID == pod.UID {
			one := now.DeepCopy()
			one.Status.Holder = h
			w.detach(one)
			return
		}
	}
	w.t.Fatalf("pod %s holds nothing of claim %s", pod.Name, claim.Name)
}

// R-G6: by an IPAMClaim, as kubevirt/ipam-extensions makes them, a VM keeps its address; its kind may be installed while the manager runs. The
// MacClaim of its name is made when a pod refers to it, its status is what the MacClaim got, and with it the MacClaim ends.
func TestIPAMClaim(t *testing.T) {
	w := newWorld(t)
	now := testclock.NewFakePassiveClock(time.Now())
	w.startManager(managerOptions{clock: now})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	const networks = `[{"name": "iot", "ipam-claim-reference": "vm.default"}]`
	pod := w.pod(ns, "virt-launcher-vm-aaaaa", networks, on("node-1"), launches("vmi-1"))
	w.told(pod, "ClaimUnknown")
	if claim := w.claimNow(ns, "vm.default"); claim != nil {
		t.Fatalf("there is a claim without an IPAMClaim: %v", claim.Labels)
	}

	w.install("ipamclaims.yaml")
	ipam := virtual("k8s.cni.cncf.io/v1alpha1", "IPAMClaim", ns, "vm.default", map[string]any{"network": "iot", "interface": ""})
	ipam.SetFinalizers([]string{"kubevirt.io/persistent-ipam"})
	w.create(ipam)
	claim := w.holders(ns, "vm.default", pod, nil)
	if claim.Spec.Workload != nil || claim.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
		t.Errorf("the claim is of %v, with labels %v", claim.Spec.Workload, claim.Labels)
	}
	w.ipamStatus(ipam, []any{claim.Status.IPs[0] + "/24"}, pod.Name, "True", "SuccessfulAllocation")

	// Migrated, and stopped: the address stays.
	target := w.pod(ns, "virt-launcher-vm-bbbbb", networks, on("node-2"), launches("vmi-1"))
	w.holders(ns, "vm.default", pod, target)
	w.remove(pod)
	w.detachPod(claim, pod)
	w.ipamStatus(ipam, []any{claim.Status.IPs[0] + "/24"}, target.Name, "True", "SuccessfulAllocation")
	w.remove(target)
	w.detachPod(claim, target)
	w.ipamStatus(ipam, []any{claim.Status.IPs[0] + "/24"}, "", "True", "SuccessfulAllocation")
	now.SetTime(now.Now().Add(24 * time.Hour))
	change(w, w.claimNow(ns, "vm.default"), func(c *v1alpha1.MacClaim) { c.Labels["looked"] = "again" })
	w.never("the claim of a VM that is stopped has ended", func() bool {
		return apimeta.FindStatusCondition(w.claimNow(ns, "vm.default").Status.Conditions, v1alpha1.ClaimEnded) != nil
	})

	// The VM is deleted, and with it the IPAMClaim.
	w.remove(ipam)
	w.never("the claim has ended before the IPAMClaim's finalizer is off", func() bool {
		return apimeta.FindStatusCondition(w.claimNow(ns, "vm.default").Status.Conditions, v1alpha1.ClaimEnded) != nil
	})
	change(w, ipam, func(o *unstructured.Unstructured) { o.SetFinalizers(nil) })
	w.eventually(func(g gomega.Gomega) {
		g.Expect(apimeta.IsStatusConditionTrue(w.claimNow(ns, "vm.default").Status.Conditions, v1alpha1.ClaimEnded)).To(gomega.BeTrue())
	})
	now.SetTime(now.Now().Add(2 * time.Hour))
	w.eventually(func(g gomega.Gomega) {
		c := w.claimNow(ns, "vm.default")
		if c == nil {
			return // something else has had it looked at
		}
		c.Labels["looked"] = "once-more"
		g.Expect(client.IgnoreNotFound(w.Update(t.Context(), c))).To(gomega.Succeed())
	})
	w.gone(claim)
}

// IPAMClaims that the API server names and does not list, as just after they were uninstalled, keep nothing else waiting; they are served
// when it does.
func TestIPAMClaimsThatAreNotListed(t *testing.T) {
	w := newWorld(t)
	w.install("ipamclaims.yaml")
	var hidden, asked atomic.Bool
	hidden.Store(true)
	w.startManager(managerOptions{count: func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/v1alpha1/ipamclaims") && hidden.Load() {
			r.URL.Path += "-of-yesterday" // which is not found
			asked.Store(true)
		}
	}})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	w.eventually(func(g gomega.Gomega) { g.Expect(asked.Load()).To(gomega.BeTrue()) })
	w.claim(ns, "vm.default", pool)
	claim := w.bound(ns, "vm.default")

	ipam := virtual("k8s.cni.cncf.io/v1alpha1", "IPAMClaim", ns, "vm.default", map[string]any{"network": "iot", "interface": "net1"})
	w.create(ipam)
	hidden.Store(false)
	w.ipamStatus(ipam, []any{claim.Status.IPs[0] + "/24"}, "", "True", "SuccessfulAllocation")
}

// What keeps a MacClaim from an address stands in the IPAMClaim; a claim that a person made ahead serves one too, and an IPAMClaim of
// another network is left alone.
func TestStatusOfIPAMClaims(t *testing.T) {
	w := newWorld(t)
	w.install("ipamclaims.yaml")
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.10", "192.168.50.10"), func(p *v1alpha1.MacPool) {
		p.Spec.Subnets = append(p.Spec.Subnets, v1alpha1.Subnet{CIDR: "fd00:50::/64"})
	})
	w.network(ns, "iot", pool.Name)
	ipam := func(name, network string) *unstructured.Unstructured {
		object := virtual("k8s.cni.cncf.io/v1alpha1", "IPAMClaim", ns, name, map[string]any{"network": network, "interface": "net1"})
		w.create(object)
		return object
	}
	ahead, foreign, waiting := ipam("ahead", "iot"), ipam("foreign", "another"), ipam("waiting", "iot")
	w.claim(ns, "ahead", pool)
	w.bound(ns, "ahead")
	w.claim(ns, "foreign", pool)
	w.pod(ns, "pod", `[{"name": "iot", "ipam-claim-reference": "waiting"}]`)
	w.ipamStatus(ahead, []any{"192.168.50.10/24", "fd00:50::a/64"}, "", "True", "SuccessfulAllocation")
	w.ipamStatus(waiting, []any{}, "", "False", "PoolExhausted")
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil || foreign.Object["status"] != nil {
		t.Errorf("the IPAMClaim of another network has %v, %v", foreign.Object["status"], err)
	}
}

// ipamStatus waits until an IPAMClaim says this.
func (w *world) ipamStatus(ipam *unstructured.Unstructured, ips []any, owner, status, reason string) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		err := w.Get(w.t.Context(), client.ObjectKeyFromObject(ipam), ipam)
		g.Expect(apierrors.IsNotFound(err)).To(gomega.BeFalse())
		g.Expect(err).NotTo(gomega.HaveOccurred())
		got, _, _ := unstructured.NestedSlice(ipam.Object, "status", "ips")
		g.Expect(got).To(gomega.HaveLen(len(ips)))
		for i := range ips {
			g.Expect(got[i]).To(gomega.Equal(ips[i]))
		}
		name, _, _ := unstructured.NestedString(ipam.Object, "status", "ownerPod", "name")
		g.Expect(name).To(gomega.Equal(owner))
		conditions, _, _ := unstructured.NestedSlice(ipam.Object, "status", "conditions")
		g.Expect(conditions).To(gomega.HaveLen(1))
		g.Expect(conditions[0]).To(gomega.HaveKeyWithValue("type", "IPsAllocated"))
		g.Expect(conditions[0]).To(gomega.HaveKeyWithValue("status", status))
		g.Expect(conditions[0]).To(gomega.HaveKeyWithValue("reason", reason))
	})
}
