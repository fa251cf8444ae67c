// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// breed is a kind of owner, and how it makes its pods.
type breed struct {
	kind string
	// apiVersion, owner and its kind are the pods' controller; "" for none.
	apiVersion, ownerKind string
	// pod is the name of the i-th pod of the n-th generation: a replacement is of a later one.
	pod func(i, n int) string
	// hashed: the controller is a ReplicaSet of the generation, a Deployment's.
	hashed bool
	// node: the pods stay on their nodes.
	node bool
	// each: each pod is of a controller of its own, another one in each generation, of one name.
	each bool
	// want are the actions after which the addresses are the same; of the others they are not.
	want map[string]bool
}

const (
	deletion   = "deleted"
	reschedule = "on another node"
	rescale    = "scaled down and up"
	update     = "rolled out"
	surge      = "rolled out with a surge"
	rebuild    = "rebuilt"
	pinned     = "rebuilt with `ips`"
)

var actions = []string{deletion, reschedule, rescale, update, surge, rebuild, pinned}

func breeds() []*breed {
	random := func(prefix string) func(i, n int) string {
		return func(i, n int) string { return fmt.Sprintf("%s-%d%c", prefix, n, 'a'+i) }
	}
	all := map[string]bool{deletion: true, reschedule: true, rescale: true, update: true, rebuild: true, pinned: true}
	with := func(more ...string) map[string]bool {
		m := map[string]bool{}
		for a := range all {
			m[a] = true
		}
		for _, a := range more {
			m[a] = true
		}
		return m
	}
	return []*breed{
		{kind: "StatefulSet", apiVersion: "apps/v1", ownerKind: "StatefulSet", pod: func(i, _ int) string { return fmt.Sprintf("statefulset-%d", i) }, want: all},
		{kind: "Deployment", apiVersion: "apps/v1", ownerKind: "ReplicaSet", hashed: true, pod: random("deployment"), want: all},
		{kind: "DaemonSet", apiVersion: "apps/v1", ownerKind: "DaemonSet", node: true, pod: random("daemonset"), want: all},
		{kind: "ReplicaSet", apiVersion: "apps/v1", ownerKind: "ReplicaSet", pod: random("replicaset"), want: all},
		{kind: "CloneSet", apiVersion: "apps.kruise.io/v1alpha1", ownerKind: "CloneSet", pod: random("cloneset"), want: all},
		{kind: "VirtualMachine", apiVersion: "kubevirt.io/v1", ownerKind: "VirtualMachineInstance", each: true, pod: random("virt-launcher"), want: all},
		{kind: "Job", apiVersion: "batch/v1", ownerKind: "Job", pod: random("job"), want: map[string]bool{}},
		{kind: "CronJob", apiVersion: "batch/v1", ownerKind: "Job", pod: random("cronjob-29000000"), want: map[string]bool{}},
		{kind: "bare pod", pod: func(i, _ int) string { return fmt.Sprintf("pod-%d", i) }, want: with()},
	}
}

// cannot are actions that a kind does not know.
func (b *breed) cannot(action string) bool {
	switch action {
	case reschedule:
		return b.node
	case surge:
		return !b.hashed
	case update:
		return b.ownerKind == "Job"
	case rescale:
		return b.ownerKind == "Job" || b.node || b.ownerKind == ""
	case rebuild, pinned:
		return b.ownerKind == "Job" // its pods have other names then
	default:
		return false
	}
}

// farm is a namespace with all breeds, each with two pods.
type farm struct {
	*world
	pool       *v1alpha1.MacPool
	pods       map[string][]*corev1.Pod
	generation int
}

const farmNamespace = "identities"

func (f *farm) settle(what string) {
	f.t.Helper()
	f.within(2*time.Minute, func(g gomega.Gomega) {
		for kind, pods := range f.pods {
			for _, pod := range pods {
				g.Expect(f.claimsHeldBy(pod)).To(gomega.HaveLen(1), "%s: claims of pod %s of %s", what, pod.Name, kind)
			}
		}
	})
}

func (f *farm) claims() []v1alpha1.MacClaim {
	f.t.Helper()
	var list v1alpha1.MacClaimList
	if err := f.List(f.t.Context(), &list, client.InNamespace(farmNamespace)); err != nil {
		f.t.Fatal(err)
	}
	return list.Items
}

func (f *farm) claimsHeldBy(pod *corev1.Pod) (held []v1alpha1.MacClaim) {
	for _, c := range f.claims() {
		if c.Status.Holder != nil && c.Status.Holder.PodUID == pod.UID {
			held = append(held, c)
		}
	}
	return held
}

// add makes the i-th pod of a breed, in the current generation. Its old one of the same name is gone.
func (f *farm) add(b *breed, i int, node string) *corev1.Pod {
	f.t.Helper()
	return f.pod(farmNamespace, b.pod(i, f.generation), "iot", on(node), func(p *corev1.Pod) {
		if b.ownerKind == "" {
			return
		}
		name := strings.ToLower(strings.ReplaceAll(b.kind, " ", ""))
		if b.hashed {
			hash := fmt.Sprintf("h%d", f.generation)
			p.Labels = map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: hash}
			name += "-" + hash
		}
		uid := name
		if b.each {
			name += fmt.Sprintf("-%d", i)
			uid = fmt.Sprintf("%s-%d", name, f.generation)
		}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: b.apiVersion, Kind: b.ownerKind, Name: name, UID: types.UID(uid), Controller: new(true)}}
	})
}

// end deletes a pod, and its node says that its interface is gone.
func (f *farm) end(pod *corev1.Pod) {
	f.t.Helper()
	f.remove(pod)
	for _, c := range f.claimsHeldBy(pod) {
		f.detach(&c)
	}
}

// addresses are what the breed's pods have, in order.
func (f *farm) addresses(b *breed) []string {
	f.t.Helper()
	var all []string
	for _, pod := range f.pods[b.kind] {
		for _, c := range f.claimsHeldBy(pod) {
			var a, x, y, z int
			if _, err := fmt.Sscanf(c.Status.IPs[0], "%d.%d.%d.%d", &a, &x, &y, &z); err != nil || c.Status.MAC != fmt.Sprintf("02:32:00:%02x:%02x:%02x", x, y, z) {
				f.t.Errorf("claim %s has MAC %s and %v", c.Name, c.Status.MAC, c.Status.IPs)
			}
			all = append(all, c.Status.IPs[0])
		}
	}
	slices.Sort(all)
	return all
}

// act does to each breed what the action is, and waits until all pods have addresses again.
func (f *farm) act(action string, all []*breed) {
	f.t.Helper()
	f.generation++
	nodes := []string{"node-1", "node-2"}
	for _, b := range all {
		pods := f.pods[b.kind]
		switch {
		case b.cannot(action):
		case action == surge:
			for i, old := range pods {
				pods[i] = f.add(b, i, nodes[i])
				f.settle(action)
				f.end(old)
			}
		case action == rescale:
			f.end(pods[1])
			f.eventually(func(g gomega.Gomega) { g.Expect(f.claimsHeldBy(pods[1])).To(gomega.BeEmpty()) })
			pods[1] = f.add(b, 1, nodes[1])
		default: // one after the other, as all of them do by default
			for i, old := range pods {
				f.end(old)
				node := nodes[i]
				if action == reschedule {
					node = "node-3"
				}
				pods[i] = f.add(b, i, node)
				f.settle(action)
			}
		}
	}
	f.settle(action)
}

// raze leaves nothing of macpool's: the etcd is another one. Pool and network are as they were.
func (f *farm) raze() {
	f.t.Helper()
	for _, pods := range f.pods {
		for _, pod := range pods {
			f.end(pod)
		}
	}
	f.pods = map[string][]*corev1.Pod{}
	for _, list := range []client.ObjectList{&v1alpha1.MacClaimList{}, &v1alpha1.MacLeaseList{}} {
		f.eventually(func(g gomega.Gomega) {
			g.Expect(f.List(f.t.Context(), list)).To(gomega.Succeed())
			switch l := list.(type) {
			case *v1alpha1.MacClaimList:
				for i := range l.Items {
					g.Expect(client.IgnoreNotFound(f.Delete(f.t.Context(), &l.Items[i]))).To(gomega.Succeed())
				}
				g.Expect(l.Items).To(gomega.BeEmpty())
			case *v1alpha1.MacLeaseList:
				for i := range l.Items {
					g.Expect(client.IgnoreNotFound(f.Delete(f.t.Context(), &l.Items[i]))).To(gomega.Succeed())
				}
				g.Expect(l.Items).To(gomega.BeEmpty())
			}
		})
	}
}

// landOfFarms makes the namespace of all farms, unless another test has, on the same server.
func (w *world) landOfFarms() {
	w.t.Helper()
	err := w.Create(w.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: farmNamespace}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
}

// TestIdentityTable is I4 over all kinds of owners, and the table of docs/identity.md; R-B2's rebuild, too.
func TestIdentityTable(t *testing.T) {
	w := newWorld(t)
	w.landOfFarms()
	_, stop := w.startManager(managerOptions{})
	f := &farm{world: w, pods: map[string][]*corev1.Pod{}}
	all := breeds()
	f.pool = f.world.pool("192.168.50.0/24", func(p *v1alpha1.MacPool) { p.Name, p.Spec.Segment = "iot", "vlan-50" })
	w.network(farmNamespace, "iot", "iot")
	f.populate(all)

	before, seen := map[string][]string{}, map[string]map[string]string{}
	for _, b := range all {
		before[b.kind], seen[b.kind] = f.addresses(b), map[string]string{}
		if len(before[b.kind]) != 2 {
			t.Fatalf("the pods of %s have %v", b.kind, before[b.kind])
		}
	}
	last := before
	for _, action := range actions[:5] {
		f.act(action, all)
		now := map[string][]string{}
		for _, b := range all {
			now[b.kind] = f.addresses(b)
			f.compare(b, action, last[b.kind], now[b.kind], seen)
		}
		last = now
	}
	stop()
	ends := map[string][]string{}
	for _, action := range actions[5:] {
		f.raze()
		f.generation = 0
		_, stop := w.startManager(managerOptions{})
		backwards := slices.Clone(all)
		slices.Reverse(backwards)
		if action == pinned {
			f.pin(all, before)
		}
		f.populate(backwards)
		for _, b := range all {
			ends[b.kind] = f.addresses(b)
			f.compare(b, action, before[b.kind], ends[b.kind], seen)
		}
		stop()
	}
	var table strings.Builder
	table.WriteString("| pods of | have | " + strings.Join(actions, " | ") + " |\n|---|---|" + strings.Repeat("---|", len(actions)) + "\n")
	for _, b := range all {
		table.WriteString("| " + b.kind + " | " + strings.Join(before[b.kind], ", "))
		for _, action := range actions {
			table.WriteString(" | " + seen[b.kind][action])
		}
		table.WriteString(" |\n")
	}
	checkTable(t, "../docs/identity.md", "kinds", table.String())
}

// populate makes two pods of each breed.
func (f *farm) populate(all []*breed) {
	f.t.Helper()
	for _, b := range all {
		for i, node := range []string{"node-1", "node-2"} {
			f.pods[b.kind] = append(f.pods[b.kind], f.add(b, i, node))
			f.settle("the beginning") // which of the first two has which address is then certain
		}
	}
}

// pin makes the claims ahead, with the addresses that they had. Who has which of a breed's is in what macpool called its own.
func (f *farm) pin(all []*breed, before map[string][]string) {
	f.t.Helper()
	for _, b := range all {
		if b.cannot(pinned) {
			continue
		}
		for i, ip := range before[b.kind] {
			n := int32(i)
			w := v1alpha1.Workload{Kind: v1alpha1.WorkloadKind(b.kind), Name: strings.ToLower(b.kind), Ordinal: &n, Interface: "net1"}
			switch {
			case b.ownerKind == "":
				w = v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: b.pod(i, 0), Interface: "net1"}
			case b.node:
				w.Ordinal, w.Node = nil, fmt.Sprintf("node-%d", i+1)
			case b.each:
				w.Ordinal, w.Name = nil, fmt.Sprintf("%s-%d", w.Name, i)
			}
			f.personal(farmNamespace, fmt.Sprintf("%s-%d", strings.ReplaceAll(strings.ToLower(b.kind), " ", ""), i), f.pool, w, v1alpha1.IPAddress(ip))
		}
	}
}

// compare notes what became of a breed's addresses, which must be as the design has it.
func (f *farm) compare(b *breed, action string, before, now []string, seen map[string]map[string]string) {
	f.t.Helper()
	if b.cannot(action) {
		seen[b.kind][action] = "–"
		return
	}
	same := slices.Equal(before, now)
	if seen[b.kind][action] = "**same**"; !same {
		seen[b.kind][action] = strings.Join(now, ", ")
	}
	if same != b.want[action] {
		f.t.Errorf("%s, %s: it had %v, has %v", b.kind, action, before, now)
	}
}

// checkTable compares the part of a page that a test writes with what the test has found.
func checkTable(t *testing.T, page, part, want string) {
	t.Helper()
	begin, end := "<!-- "+part+": written by a test -->\n", "<!-- end of "+part+" -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("%s has no table of %s", page, part)
	case strings.TrimSpace(got) == strings.TrimSpace(want):
	case os.Getenv("MACPOOL_UPDATE") != "" && !t.Failed():
		if err := os.WriteFile(page, []byte(before+begin+"\n"+want+"\n"+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table of %s in %s is not what was found; MACPOOL_UPDATE=1 writes\n%s", part, page, want)
	}
}
