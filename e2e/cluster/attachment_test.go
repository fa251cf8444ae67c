// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// address is what a pod has on the VLAN.
type address struct{ MAC, IP string }

// attachment says of a running pod what four witnesses say of its net1, which must agree: the interface itself, Multus'
// network-status, the claim that the pod holds, and the lease that the claim names.
func attachment(ctx context.Context, pod *corev1.Pod) (address, error) {
	link, err := linkOf(ctx, pod)
	if err != nil {
		return address{}, err
	}
	status, err := networkStatus(pod)
	if err != nil {
		return address{}, err
	}
	claim, err := claimOf(ctx, pod)
	if err != nil {
		return address{}, err
	}
	var lease v1alpha1.MacLease
	if err := box.Get(ctx, client.ObjectKey{Name: claim.Status.LeaseName}, &lease); err != nil {
		return address{}, err
	}
	seen := map[string]address{
		"the interface":       link,
		"network-status":      status,
		"claim " + claim.Name: {claim.Status.MAC, strings.Join(claim.Status.IPs, ",")},
		"lease " + lease.Name: {string(lease.Spec.MAC), ipsOf(&lease)},
	}
	for who, a := range seen {
		if a != link {
			return address{}, fmt.Errorf("pod %s: %s says %v, the interface has %v", pod.Name, who, a, link)
		}
	}
	if lease.Spec.NodeName != pod.Spec.NodeName {
		return address{}, fmt.Errorf("lease %s is on node %q, the pod on %q", lease.Name, lease.Spec.NodeName, pod.Spec.NodeName)
	}
	return link, slotRule(link)
}

func ipsOf(lease *v1alpha1.MacLease) string {
	var ips []string
	for _, ip := range lease.Spec.IPs {
		ips = append(ips, string(ip))
	}
	return strings.Join(ips, ",")
}

// slotRule is what makes a MAC readable: the pool's prefix, then the last three octets of the IPv4 address.
func slotRule(a address) error {
	ip, err := netip.ParseAddr(a.IP)
	if err != nil {
		return err
	}
	b := ip.As4()
	if want := fmt.Sprintf("02:32:00:%02x:%02x:%02x", b[1], b[2], b[3]); a.MAC != want {
		return fmt.Errorf("%s has the MAC %s, want %s", a.IP, a.MAC, want)
	}
	return nil
}

// linkOf asks the pod itself.
func linkOf(ctx context.Context, pod *corev1.Pod) (address, error) {
	out, err := box.tryKubectl(ctx, "exec", "-n", pod.Namespace, pod.Name, "--", "sh", "-c",
		"cat /sys/class/net/net1/address; ip -o -4 addr show net1")
	if err != nil {
		return address{}, fmt.Errorf("looking into pod %s: %w: %s", pod.Name, err, out)
	}
	fields := strings.Fields(out) // MAC, 2:, net1, inet, IP/bits, …
	at := slices.Index(fields, "inet")
	if at < 0 || at+1 >= len(fields) {
		return address{}, fmt.Errorf("pod %s has no address on net1: %s", pod.Name, out)
	}
	ip, _, _ := strings.Cut(fields[at+1], "/")
	return address{fields[0], ip}, nil
}

func networkStatus(pod *corev1.Pod) (address, error) {
	var statuses []nadv1.NetworkStatus
	if err := json.Unmarshal([]byte(pod.Annotations[nadv1.NetworkStatusAnnot]), &statuses); err != nil {
		return address{}, fmt.Errorf("reading network-status of pod %s: %w", pod.Name, err)
	}
	for _, s := range statuses {
		if s.Interface == "net1" {
			return address{s.Mac, strings.Join(s.IPs, ",")}, nil
		}
	}
	return address{}, fmt.Errorf("network-status of pod %s has no net1: %s", pod.Name, pod.Annotations[nadv1.NetworkStatusAnnot])
}

// claimOf is the one claim that the pod holds.
func claimOf(ctx context.Context, pod *corev1.Pod) (*v1alpha1.MacClaim, error) {
	var claims v1alpha1.MacClaimList
	if err := box.List(ctx, &claims, client.InNamespace(pod.Namespace)); err != nil {
		return nil, err
	}
	held := slices.DeleteFunc(claims.Items, func(c v1alpha1.MacClaim) bool {
		return c.Status.Holder == nil || c.Status.Holder.PodUID != pod.UID
	})
	if len(held) != 1 {
		return nil, fmt.Errorf("pod %s holds %d claims, want 1", pod.Name, len(held))
	}
	return &held[0], nil
}

// running are the pods of a selector, once there are n of them, all running, none on its way out.
func running(t *testing.T, namespace, app string, n int) []corev1.Pod {
	t.Helper()
	var ready []corev1.Pod
	eventually(t, fmt.Sprintf("%d running pods of %s", n, app), func() error {
		var pods corev1.PodList
		if err := box.List(t.Context(), &pods, client.InNamespace(namespace), client.MatchingLabels{"app": app}); err != nil {
			return err
		}
		ready = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
			return p.DeletionTimestamp != nil || !isReady(&p)
		})
		if len(ready) != n || len(pods.Items) != n {
			return fmt.Errorf("%d of %d pods run: %w", len(ready), len(pods.Items), errNotYet)
		}
		return nil
	})
	return ready
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// attached checks the attachments of pods, which must all differ, and returns them by pod name.
func attached(t *testing.T, pods []corev1.Pod) map[string]address {
	t.Helper()
	all := map[string]address{}
	owners := map[address]string{}
	for _, p := range pods {
		var got address
		// The claim's holder, and with it the lease's node, is written beside the ADD and may be seen a moment later.
		eventually(t, "the witnesses of pod "+p.Name+" to agree", func() (err error) {
			if err = box.Get(t.Context(), client.ObjectKeyFromObject(&p), &p); err != nil {
				return err
			}
			got, err = attachment(t.Context(), &p)
			return err
		})
		if other, taken := owners[got]; taken {
			t.Errorf("pods %s and %s both have %v (I1)", other, p.Name, got)
		}
		owners[got], all[p.Name] = p.Name, got
	}
	return all
}

// pings is whether the pod reaches an address on the VLAN.
func pings(t *testing.T, pod *corev1.Pod, ip string) {
	t.Helper()
	eventuallyWithin(t, patience/4, fmt.Sprintf("pod %s to reach %s", pod.Name, ip), func() error {
		out, err := box.tryKubectl(t.Context(), "exec", "-n", pod.Namespace, pod.Name, "--", "ping", "-c1", "-W2", "-I", "net1", ip)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}
