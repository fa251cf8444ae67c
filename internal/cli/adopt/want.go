// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/network"
)

// want is an address that an interface of a workload has, or that was typed for it.
type want struct {
	namespace string
	// workload has no number yet if its pods are alike.
	workload v1alpha1.Workload
	network  types.NamespacedName
	// ips are as they were written, each with or without a prefix length; mac is "" if none was typed.
	ips []string
	mac string
	// pods are those that have it now.
	pods []string
	// surge: a rolling update of the workload starts the new pod while the old one has the address.
	surge bool
}

// String names the interface for messages.
func (w *want) String() string {
	subject := w.workload.Name
	if !binding.Alike(w.workload) {
		subject, _ = binding.Subject(w.workload)
	}
	return fmt.Sprintf("%s %s/%s, %s", w.workload.Kind, w.namespace, subject, w.workload.Interface)
}

// addresses are the ips as such; what is none is left out.
func (w *want) addresses() []netip.Addr {
	var all []netip.Addr
	for _, text := range w.ips {
		bare, _, _ := strings.Cut(strings.TrimSpace(text), "/")
		if ip, err := netip.ParseAddr(bare); err == nil {
			all = append(all, ip)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// gather collects what there is to adopt on the networks.
func (p *plan) gather() {
	wants := map[string]*want{}
	add := func(w want) {
		texts := make([]string, 0, 2)
		for _, ip := range w.addresses() {
			texts = append(texts, ip.String())
		}
		key := fmt.Sprintf("%s %s %s", w.namespace, &w, texts)
		if known, ok := wants[key]; ok {
			known.mac, known.surge, known.pods = cmp.Or(known.mac, w.mac), known.surge || w.surge, append(known.pods, w.pods...)
			return
		}
		wants[key] = &w
	}
	surging := map[string]bool{}
	for _, t := range p.inv.templates {
		if t.kind == "Deployment" && t.surge {
			surging[t.namespace+"/"+t.name] = true
		}
		p.ofTemplate(t, add)
	}
	seen := map[allocation]bool{}
	for i := range p.inv.pods {
		pod := &p.inv.pods[i]
		if alive(pod) {
			p.ofPod(pod, seen, func(w want) {
				w.surge = w.workload.Kind == "Deployment" && surging[w.namespace+"/"+w.workload.Name]
				add(w)
			})
		}
	}
	for _, a := range p.inv.allocations {
		if pod := p.inv.pod(a.pod.Namespace, a.pod.Name); !seen[a] && (pod == nil || !alive(pod)) && !p.only() {
			p.note(a.ip.String(), "whereabouts has it for pod %s, which is gone: a leftover, nothing is to be kept", a.pod)
		}
	}
	for _, key := range sortedKeys(wants) {
		p.wants = append(p.wants, wants[key])
	}
}

func alive(pod *corev1.Pod) bool {
	return pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed && !pod.Spec.HostNetwork
}

// ofTemplate adds what is typed in a workload's template. Where whereabouts gives the addresses only running pods have any.
func (p *plan) ofTemplate(t template, add func(want)) {
	name := fmt.Sprintf("%s %s/%s", t.kind, t.namespace, t.name)
	selections, trouble := network.Selections(t.annotation, t.namespace)
	if trouble != nil {
		p.conflict(name, "%s", trouble)
		return
	}
	for _, s := range selections {
		f := p.networks[s.Network]
		if f == nil || f.ipam == whereabouts {
			continue
		}
		typed := f.typed(s)
		if len(typed.IPs) == 0 && typed.MAC == "" || f.ipam == cni.Type && typed.MAC == "" { // macpool reads the annotation itself
			continue
		}
		w := want{namespace: t.namespace, network: f.key, ips: typed.IPs, mac: typed.MAC, surge: t.surge}
		switch t.kind {
		case "CronJob":
			p.note(name, "no claim is made for a Job's pod: each asks for the address by its annotation, as before. For one that must have a certain MAC, make a claim and name it there")
			continue
		case "DaemonSet": // which nodes it has, its pods say
			continue
		case "StatefulSet":
			w.workload = v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: t.name, Ordinal: new(int32(0)), Interface: s.Interface}
		default:
			w.workload = v1alpha1.Workload{Kind: v1alpha1.WorkloadKind(t.kind), Name: t.name, Interface: s.Interface}
		}
		add(w)
	}
}

// ofPod adds what a pod has: the address of whereabouts, or what is typed.
func (p *plan) ofPod(pod *corev1.Pod, seen map[allocation]bool, add func(want)) {
	name := pod.Namespace + "/" + pod.Name
	selections, trouble := network.SelectionsOf(pod)
	if trouble != nil {
		p.conflict("pod "+name, "%s", trouble)
		return
	}
	for _, s := range selections {
		f := p.networks[s.Network]
		if f == nil {
			continue
		}
		given := p.given(pod, s, f, seen)
		if claim := p.held(pod, s.Interface); claim != nil {
			p.late(pod, s, claim, given)
			continue
		}
		typed := f.typed(s)
		switch {
		case f.ipam == whereabouts, len(given) > 0:
			typed.IPs = given
		case f.ipam == cni.Type && typed.MAC == "":
			continue
		}
		if len(typed.IPs) == 0 && typed.MAC == "" {
			continue
		}
		if binding.OwnerOf(pod).Kind == "Job" {
			p.note("pod "+name, "no claim is made for a Job's pod: let it end before network %s is changed, since nothing keeps its address %s", f.key, strings.Join(typed.IPs, " and "))
			continue
		}
		add(want{
			namespace: pod.Namespace, workload: binding.WorkloadOf(pod, s.Interface), network: f.key, ips: typed.IPs, mac: typed.MAC, pods: []string{pod.Name},
		})
	}
}

// typed is what is asked for in the annotation, or by the network of static for all.
func (f *foreign) typed(s network.Selection) network.Wish {
	w := f.wish(s)
	if len(w.IPs) == 0 && f.ipam == static {
		w.IPs = f.addresses
	}
	return w
}

// given are the addresses that whereabouts has given to a pod's interface.
func (p *plan) given(pod *corev1.Pod, s network.Selection, f *foreign, seen map[allocation]bool) (ips []string) {
	for _, a := range p.inv.allocations {
		if a.pod.Namespace != pod.Namespace || a.pod.Name != pod.Name || a.iface != s.Interface && (a.iface != "" || !f.contains(a.ip)) {
			continue
		}
		seen[a] = true
		ips = append(ips, a.ip.String())
	}
	return ips
}

func (f *foreign) contains(ip netip.Addr) bool {
	return slices.ContainsFunc(f.subnets, func(s v1alpha1.Subnet) bool {
		prefix, err := netip.ParsePrefix(string(s.CIDR))
		return err == nil && prefix.Contains(ip)
	})
}

// held is the claim that the pod's interface holds; nil if none. What others have recorded of it is a leftover then, unless the pod was there before its
// network named the pool: it has been given the claim for its successor, and has its old address.
func (p *plan) held(pod *corev1.Pod, iface string) *v1alpha1.MacClaim {
	for i := range p.inv.claims {
		if h := binding.HolderOf(&p.inv.claims[i], binding.PodUID(pod)); h != nil && h.Interface == iface {
			return &p.inv.claims[i]
		}
	}
	return nil
}

// late says that a pod got its address after the claims were made, and before the network was changed.
func (p *plan) late(pod *corev1.Pod, s network.Selection, claim *v1alpha1.MacClaim, given []string) {
	var status []nadv1.NetworkStatus
	if json.Unmarshal([]byte(pod.Annotations[nadv1.NetworkStatusAnnot]), &status) != nil {
		return
	}
	for _, n := range status {
		for _, ip := range n.IPs {
			if n.Interface == s.Interface && slices.Contains(given, ip) && !slices.Contains(claim.Status.IPs, ip) {
				p.conflict(fmt.Sprintf("pod %s/%s, %s", pod.Namespace, pod.Name, s.Interface),
					"it runs with %s, and its claim %s has %s, which its successor gets. Replace the pod soon, since macpool does not keep %s for it",
					ip, claim.Name, binding.Leased(&claim.Status), ip)
			}
		}
	}
}
