// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
)

// ask is what a workload asks for on one network.
type ask struct {
	*workload
	network types.NamespacedName
	// wire tells which VLAN it is: the segment of the network's pool, else the network itself.
	wire string
	// certain: wire is that of a pool. Of two networks that are nobody's pool, nobody knows whether they are one VLAN.
	certain bool
	macs    []string
	ips     []string
}

// workloads reads what people typed into the networks annotations of pods and templates, whoever's networks they are.
func workloads(s *state) []Finding {
	networks, pools := s.networksByName(), s.poolsByName()
	var findings []Finding
	var asks []ask
	for _, w := range s.templates() {
		selections, trouble := network.Selections(w.annotation, w.GetNamespace())
		if trouble != nil {
			f := of(Fault, trouble).about(w.resource, w.Object)
			f.What = w.String() + ": " + f.What
			findings = append(findings, f)
		}
		for _, sel := range selections {
			nad := networks[sel.Network]
			if nad == nil && s.unread[networkResource] == nil {
				f := of(Fault, problem.NetworkMissing.New(sel.Network.String())).about(w.resource, w.Object)
				f.What = w.String() + ": " + f.What
				findings = append(findings, f)
			}
			a := ask{workload: w, network: sel.Network, wire: "network " + sel.Network.String(), ips: slices.Concat(sel.Direct.IPs, sel.Args.IPs)}
			for _, text := range []string{sel.Direct.MAC, sel.Args.MAC} {
				if text != "" {
					a.macs = append(a.macs, text)
				}
			}
			if nad != nil {
				read, _ := network.Of(nad)
				if pool := pools[read.Pool]; read.Ours && pool != nil && pool.Status.Segment != "" {
					a.wire, a.certain = "segment "+pool.Status.Segment, true
				}
			}
			asks = append(asks, a)
		}
		if len(w.macs) > 0 { // of a VM, which has them beside its networks
			asks = append(asks, ask{workload: w, wire: "its networks", macs: w.macs})
		}
	}
	return slices.Concat(findings, badMACs(asks), twiceMAC(asks), twiceIP(asks))
}

// badMACs are MACs that no interface can carry, or that may be a card's.
func badMACs(asks []ask) []Finding {
	var findings []Finding
	for _, a := range asks {
		for _, text := range a.macs {
			address, err := mac.Parse(text)
			var f Finding
			switch {
			case err != nil || address.IsZero():
				f = of(Fault, problem.ImpossibleMAC.New(text))
			case address.IsMulticast():
				f = of(Fault, problem.MulticastMAC.New(text).WithFix("Drop the MAC and let the pool choose one, or write the nearest legal one, %s.", address.Nearest()))
			case !address.IsLocal():
				f = found(Hint, "Drop the MAC, unless a licence or a router insists on it.", "MAC %s is universally administered: a device of its maker may have it", text)
			default:
				continue
			}
			f.What = a.String() + ": " + f.What
			findings = append(findings, f.about(a.resource, a.Object))
		}
	}
	return findings
}

// twiceMAC are MACs that two workloads ask for, or one with several pods.
func twiceMAC(asks []ask) []Finding {
	users := map[string][]ask{}
	for _, a := range asks {
		for _, text := range a.macs {
			if address, err := mac.Parse(text); err == nil {
				users[address.String()] = append(users[address.String()], a)
			}
		}
	}
	return twice("MAC", users, func(a, b ask) bool { return !a.certain || !b.certain || a.wire == b.wire })
}

// twiceIP are addresses that two workloads ask for on one network.
func twiceIP(asks []ask) []Finding {
	users := map[string][]ask{}
	for _, a := range asks {
		for _, text := range a.ips {
			if ip, err := addressOf(text); err == nil {
				users[ip.String()] = append(users[ip.String()], a)
			}
		}
	}
	return twice("address", users, func(a, b ask) bool { return a.wire == b.wire })
}

// addressOf reads an address with or without a prefix length.
func addressOf(text string) (netip.Addr, error) {
	address, _, _ := strings.Cut(strings.TrimSpace(text), "/")
	return netip.ParseAddr(address)
}

func twice(what string, users map[string][]ask, meet func(a, b ask) bool) []Finding {
	var findings []Finding
	for _, value := range sorted(users) {
		all := users[value]
		first := all[0]
		var others []string
		certain := true
		for _, b := range all[1:] {
			if meet(first, b) && b.String() != first.String() && !slices.Contains(others, b.String()) {
				others = append(others, b.String())
				certain = certain && first.wire == b.wire
			}
		}
		severity := Fault
		if !certain {
			severity = Hint // they may be on different VLANs
		}
		if len(others) > 0 {
			findings = append(findings, found(severity, fmt.Sprintf("Drop the %s from all of them but one, or from all, and let a pool choose.", what),
				"%s %s is typed in %s and in %s", what, value, first, some(others)).about(first.resource, first.Object))
		}
		if first.replicas > 1 {
			findings = append(findings, found(Fault, fmt.Sprintf("Drop the %s from the template, or set replicas: 1.", what),
				"%s %s is typed in %s, which has %d pods: all of them would have it", what, value, first, first.replicas).about(first.resource, first.Object))
		}
	}
	return findings
}

// workload is whatever has the annotation of pods.
type workload struct {
	client.Object
	kind, resource string
	annotation     string
	replicas       int32
	macs           []string
}

func (w *workload) String() string { return w.kind + " " + w.GetNamespace() + "/" + w.GetName() }

// templates are pods without a controller, and the templates of those that have one.
func (s *state) templates() []*workload {
	var all []*workload
	add := func(object client.Object, kind, resource string, annotations map[string]string, replicas *int32, macs []string) {
		w := &workload{Object: object, kind: kind, resource: resource, annotation: annotations[nadv1.NetworkAttachmentAnnot], replicas: 1, macs: macs}
		if replicas != nil {
			w.replicas = *replicas
		}
		if w.annotation != "" || len(macs) > 0 {
			all = append(all, w)
		}
	}
	for i := range s.pods.Items {
		if p := &s.pods.Items[i]; metav1.GetControllerOf(p) == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			add(p, "pod", "pod", p.Annotations, nil, nil)
		}
	}
	for i := range s.deployments.Items {
		d := &s.deployments.Items[i]
		add(d, "Deployment", "deployment.apps", d.Spec.Template.Annotations, d.Spec.Replicas, nil)
	}
	for i := range s.statefulSets.Items {
		d := &s.statefulSets.Items[i]
		add(d, "StatefulSet", "statefulset.apps", d.Spec.Template.Annotations, d.Spec.Replicas, nil)
	}
	for i := range s.daemonSets.Items {
		d := &s.daemonSets.Items[i]
		add(d, "DaemonSet", "daemonset.apps", d.Spec.Template.Annotations, &d.Status.DesiredNumberScheduled, nil)
	}
	for i := range s.jobs.Items {
		if j := &s.jobs.Items[i]; metav1.GetControllerOf(j) == nil && j.Status.CompletionTime == nil {
			add(j, "Job", "job.batch", j.Spec.Template.Annotations, j.Spec.Parallelism, nil)
		}
	}
	for i := range s.cronJobs.Items {
		c := &s.cronJobs.Items[i]
		add(c, "CronJob", "cronjob.batch", c.Spec.JobTemplate.Spec.Template.Annotations, c.Spec.JobTemplate.Spec.Parallelism, nil)
	}
	for i := range s.machines.Items {
		m := &s.machines.Items[i]
		annotations, macs := machineAsks(m.Object)
		add(m, "VirtualMachine", "virtualmachine.kubevirt.io", annotations, nil, macs)
	}
	return all
}
