// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
)

func nadOf(name, config string) *nadv1.NetworkAttachmentDefinition {
	return &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: name, UID: types.UID(name), ResourceVersion: "1"},
		Spec:       nadv1.NetworkAttachmentDefinitionSpec{Config: config},
	}
}

// pool50 is pool iot on VLAN 50.
func pool50() *v1alpha1.MacPool {
	return &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "iot", Generation: 3}, Spec: v1alpha1.MacPoolSpec{
		VLAN: new(int32(50)), Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}},
	}}
}

// listed is a network of plugins, chain one that ends with the chained entry.
func listed(plugins ...string) string {
	return `{"cniVersion": "1.0.0", "name": "iot", "plugins": [` + strings.Join(plugins, ", ") + `]}`
}

func chain(main string) string { return listed(main, `{"type": "macpool"}`) }

// leasing is a plugin with macpool as its ipam, and more settings.
func leasing(plugin, settings string) string {
	if settings != "" {
		settings += ", "
	}
	return fmt.Sprintf(`{"type": %q, %s"ipam": {"type": "macpool", "pool": "iot"}}`, plugin, settings)
}

func TestNetworksCondition(t *testing.T) {
	clean := *nadOf("clean", chain(leasing("macvlan", "")))
	corrected := *nadOf("unchained", clean.Spec.Config)
	corrected.ResourceVersion = "2"
	unchained := *nadOf("unchained", listed(leasing("macvlan", "")))
	also := *nadOf("also", listed(leasing("macvlan", "")))
	elsewhere := *nadOf("elsewhere", chain(leasing("macvlan", `"master": "eth0.60"`)))
	says := func(nad *nadv1.NetworkAttachmentDefinition) string { return network.Lint(nad, pool50())[0].Error() }

	pool := pool50()
	var v verdicts
	for i, step := range []struct {
		networks        []nadv1.NetworkAttachmentDefinition
		reason, message string
	}{
		{nil, "", ""},
		{[]nadv1.NetworkAttachmentDefinition{clean}, "", ""},
		{[]nadv1.NetworkAttachmentDefinition{unchained, clean}, problem.ChainedEntryMissing.Reason, says(&unchained)},
		{[]nadv1.NetworkAttachmentDefinition{unchained, also}, problem.ChainedEntryMissing.Reason, says(&also) + " " + says(&unchained)},
		{[]nadv1.NetworkAttachmentDefinition{unchained, elsewhere, also}, v1alpha1.PoolReasonSeveral, says(&also) + " " + says(&elsewhere) + " " + says(&unchained)},
		{[]nadv1.NetworkAttachmentDefinition{also, unchained, clean, elsewhere}, v1alpha1.PoolReasonSeveral, says(&also) + " " + says(&elsewhere) + " " + says(&unchained)},
		{[]nadv1.NetworkAttachmentDefinition{elsewhere}, problem.VLANMismatch.Reason, says(&elsewhere)},
		{[]nadv1.NetworkAttachmentDefinition{unchained}, problem.ChainedEntryMissing.Reason, says(&unchained)},
		{[]nadv1.NetworkAttachmentDefinition{corrected}, "", ""},
	} {
		setNetworksCondition(pool, v.of(pool, step.networks))
		got := apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolNetworksMisconfigured)
		if step.reason == "" {
			if got != nil {
				t.Errorf("step %d: got %v", i, got)
			}
			continue
		}
		if got == nil {
			t.Fatalf("step %d: no condition", i)
		}
		want := metav1.Condition{
			Type: "NetworksMisconfigured", Status: metav1.ConditionTrue, Reason: step.reason, Message: step.message,
			ObservedGeneration: 3, LastTransitionTime: got.LastTransitionTime,
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
}

// One that grows without end would be refused by the API server, and with it the whole status.
func TestNetworksConditionIsBounded(t *testing.T) {
	const n = 1000
	var networks []nadv1.NetworkAttachmentDefinition
	for i := range n {
		networks = append(networks, *nadOf(fmt.Sprintf("net-%03d", i), listed(leasing("ipvlan", `"master": "eth0.60"`))))
	}
	pool := pool50()
	var v verdicts
	setNetworksCondition(pool, v.of(pool, networks))
	message := apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolNetworksMisconfigured).Message
	if len(message) > maxNetworksMessage+100 || len(message) < maxNetworksMessage/2 {
		t.Errorf("the message has %d bytes", len(message))
	}
	told := 0
	for i := range n {
		if strings.Contains(message, fmt.Sprintf("home/net-%03d ", i)) {
			told++
		}
	}
	if want := fmt.Sprintf(" And %d more networks", n-told); told == 0 || !strings.HasSuffix(message, want) {
		t.Errorf("%d are told, the message ends with %q, not %q", told, message[len(message)-40:], want)
	}
}

func BenchmarkNetworksCondition(b *testing.B) {
	var networks []nadv1.NetworkAttachmentDefinition
	for i := range 500 {
		networks = append(networks, *nadOf(fmt.Sprintf("net-%03d", i), chain(leasing("macvlan", `"master": "eth0.50"`))))
	}
	pool := pool50()
	var v verdicts
	for b.Loop() {
		setNetworksCondition(pool, v.of(pool, networks))
	}
}
