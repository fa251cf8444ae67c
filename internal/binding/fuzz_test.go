// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// FuzzWish : T1, R-A8. Whatever a tenant asks for, it is refused in words of the catalogue, or it is one address that the pool has: an IP that the API
// server takes, and a MAC that an interface can carry. Asked for again in the form that it was read, it is the same.
func FuzzWish(f *testing.F) {
	for _, seed := range [][2]string{
		{"192.168.50.8/24", "02:32:00:a8:32:08"},
		{"fd00:50::8", ""},
		{"", "f1:fd:59:0b:bd:2b"},
		{"fe80::1%eth0", "0"},
		{"::ffff:192.168.50.8", ""},
		{" 192.168.50.8/33 ", "0232.00a8.3208"},
		{"192.168.50.8/", "00:00:00:00:00:00"},
		{"10.0.0.1/-1", "02-32-00-A8-32-08-00-01"},
		{"192.168.050.8", "\n"},
	} {
		f.Add(seed[0], seed[1], true)
		f.Add(seed[0], seed[1], false)
	}
	vlan := int32(50)
	both := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "iot"}, Spec: v1alpha1.MacPoolSpec{
		VLAN: &vlan, Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}, {CIDR: "fd00:50::/64"}},
	}}
	alone := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "iot"}, Spec: v1alpha1.MacPoolSpec{VLAN: &vlan}}
	f.Fuzz(func(t *testing.T, ip, mac string, addresses bool) {
		pool := alone
		if addresses {
			pool = both
		}
		var ips []string
		if ip != "" {
			ips = []string{ip}
		}
		w, err := binding.ParseWish(ips, mac, pool)
		if err != nil {
			if problem.As(err) == nil || !w.IsZero() {
				t.Errorf("%q and %q: %+v, %v", ip, mac, w, err)
			}
			return
		}
		var texts []string
		for _, ip := range w.IPs {
			if ip.Zone() != "" || ip.Is4In6() {
				t.Errorf("%q is %s", ip, ip)
			}
			texts = append(texts, ip.String())
		}
		text := ""
		if !w.MAC.IsZero() {
			text = w.MAC.String()
		}
		if w.MAC.IsMulticast() {
			t.Errorf("%q is %s", mac, w.MAC)
		}
		back, err := binding.ParseWish(texts, text, pool)
		if err != nil || back.String() != w.String() {
			t.Errorf("%q and %q are %s, and that is %s, %v", ip, mac, w, back, err)
		}
	})
}

// FuzzWorkload : T6. Of a pod's owner the API server takes any words: a controller's, KubeVirt's or a tenant's. Whatever they are, the workload's claim
// has a name that the API server takes, the same each time and no other workload's, and is recognised as the workload's.
func FuzzWorkload(f *testing.F) {
	f.Add("apps/v1", "StatefulSet", "db", "db-0", "", "net1")
	f.Add("apps/v1", "ReplicaSet", "web-7c9f", "web-7c9f-x", "7c9f", "net1")
	f.Add("kubevirt.io/v1", "VirtualMachineInstance", "Router.1", "virt-launcher-x", "", "net-1")
	f.Add("v1", "Pod-1", "---", "a", "", "LAN 0")
	f.Add("apps/v1", "DaemonSet", "größe", "b", "h", "\n")
	f.Fuzz(func(t *testing.T, apiVersion, kind, owner, name, hash, iface string) {
		if len(validation.IsDNS1123Subdomain(name)) > 0 || owner == "" || kind == "" || len(iface) > 15 || iface == "" {
			return // the API server would not have such a pod, or Multus such an interface
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "home", Name: name, UID: "u", Labels: map[string]string{binding.LabelTemplateHash: hash},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: owner, UID: "o", Controller: new(true)}},
		}, Spec: corev1.PodSpec{NodeName: "node-1"}}
		w := binding.WorkloadOf(pod, iface)
		claim := binding.ClaimName(w, "iot")
		if wrong := validation.IsDNS1123Subdomain(claim); len(wrong) > 0 {
			t.Errorf("%+v has claim %q: %v", w, claim, wrong)
		}
		if again := binding.ClaimName(binding.WorkloadOf(pod, iface), "iot"); again != claim || !binding.MayBeOf(claim, w, "iot") {
			t.Errorf("%+v has claim %q, and %q", w, claim, again)
		}
		other := w
		other.Interface = iface + "x"
		if binding.ClaimName(other, "iot") == claim || binding.ClaimName(w, "iot-2") == claim {
			t.Errorf("another interface, or another pool, has claim %q too", claim)
		}
		if other = w; other.Name != owner+"x" {
			other.Name = owner + "x"
			if binding.ClaimName(other, "iot") == claim && binding.PodName(other) != binding.PodName(w) {
				t.Errorf("%+v has claim %q, too", other, claim)
			}
		}
	})
}
