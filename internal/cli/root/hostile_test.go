// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// forged would be a line of its own, hidden behind what a terminal obeys.
const forged = "x\nFORGED\x1b[2K\r\u009b1A\u202e"

// TestT19HostileObjects attacks the person at the terminal, T19: with every text that the API server takes from a tenant, by his claims and pods,
// and from an agent, by what it reports. No command's answer has a character that a terminal obeys, or a line that an object wrote, and as JSON it
// says what the objects say. Doctor and check, which wait for what may pass, write by
// cli.Page, which FuzzLegible attacks.
func TestT19HostileObjects(t *testing.T) {
	cut := func(n int) string { return problem.Cut(forged, n) }
	const namespace = metav1.NamespaceDefault // others of these tests list all that there are
	pool := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "hostile"}, Spec: v1alpha1.MacPoolSpec{
		VLAN: new(int32(66)), Subnets: []v1alpha1.Subnet{{CIDR: "10.66.0.0/24"}},
	}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "evil", Annotations: map[string]string{
			"k8s.v1.cni.cncf.io/networks": `[{"name": "iot", "interface": "` + strings.Repeat("n", 16) + `\n` + `FORGED\u001b[2J", "ips": ["` + `\nFORGED\u009b"]}]`,
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "evil"}}
	claim.Spec.PoolRef.Name = pool.Name
	claim.Spec.Workload = &v1alpha1.Workload{Kind: v1alpha1.WorkloadKind("X" + cut(40)), Name: forged, Interface: cut(15), Ordinal: new(int32(0))}
	status := v1alpha1.MacClaimStatus{
		LeaseName: "vlan-66.10.66.0.9", MAC: cut(17), IPs: []string{cut(39)}, Generation: 2,
		Holder: &v1alpha1.Holder{PodName: forged, PodUID: types.UID(forged), NodeName: forged, Interface: cut(15), Generation: 2, Since: before(0)},
		PreviousHolders: []v1alpha1.PreviousHolder{{
			PodName: forged, PodUID: "u", NodeName: forged, Generation: 1, Since: before(1), Until: before(0), Reason: v1alpha1.EndAgentReport, Evidence: forged,
		}},
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ClaimReady, Status: metav1.ConditionFalse, Reason: "Evil", Message: forged, LastTransitionTime: before(0),
		}},
	}
	lease := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: status.LeaseName}, Spec: v1alpha1.MacLeaseSpec{
		PoolName: pool.Name, MAC: "02:42:00:42:00:09", IPs: []v1alpha1.IPAddress{"10.66.0.9"}, LeasedAt: before(2),
		NodeName: forged, PodName: forged, Conflict: &v1alpha1.Conflict{MAC: cut(17), NodeName: forged, SeenAt: before(0)},
		History: []v1alpha1.LeaseHistory{{
			Namespace: forged, Claim: forged, PodName: forged, NodeName: forged, From: before(3), To: before(2), Reason: v1alpha1.EndAgentReport, Evidence: forged,
		}},
	}}
	node := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "evil"}}
	report := v1alpha1.MacNodeStatus{
		AgentVersion: forged, RenewTime: metav1.NewMicroTime(now), NodeUID: types.UID(forged),
		Parents:   []v1alpha1.NodeParent{{PoolName: forged, Link: cut(15), State: v1alpha1.ParentMissing}},
		Fenced:    []v1alpha1.FencedInterface{{LeaseName: forged, Namespace: forged, PodName: forged, PodUID: "u", FencedAt: before(0), Reason: forged}},
		Strangers: []v1alpha1.Stranger{{LeaseName: forged, PoolName: forged, IP: "10.66.0.9", MAC: cut(17), SeenAt: before(0)}},
	}
	for _, o := range []client.Object{pool, pod, claim, node} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), o, client.GracePeriodSeconds(0)) })
	}
	lease.Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: namespace, Name: claim.Name, UID: claim.UID}
	claim.Status, node.Status = status, report
	said := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: "evil.1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: pod.Name, UID: pod.UID},
		Type:           corev1.EventTypeWarning, Reason: "Failed", Message: problem.BadAnnotation.New(forged).Error(), LastTimestamp: before(0),
	}
	t.Cleanup(func() {
		_, _ = admin.Delete(context.WithoutCancel(t.Context()), lease), admin.Delete(context.WithoutCancel(t.Context()), said)
	})
	for _, write := range []error{
		admin.Create(t.Context(), lease), admin.Status().Update(t.Context(), claim), admin.Status().Update(t.Context(), node),
		admin.Create(t.Context(), said),
	} {
		if write != nil {
			t.Fatal(write)
		}
	}
	seen := false
	for _, command := range []string{
		"who 10.66.0.9", "who 10.66.0.9 -o wide", "history 10.66.0.9", "history 10.66.0.9 -o wide", "map hostile", "map hostile -o wide", "explain -n default evil -o wide",
		"explain -n default claim/evil", "gc -o wide", "gc", "adopt", "adopt -o wide", "export hostile --format dnsmasq",
		"who 10.66.0.9 -o json", "history 10.66.0.9 -o json", "explain -n default evil -o json", "who 10.66.0.9 -o yaml", "gc -o name",
	} {
		t.Run(command, func(t *testing.T) {
			answer := answerTo(t, strings.Fields(command)...)
			seen = seen || strings.Contains(answer, "FORGED")
			for line := range strings.Lines(answer) {
				if strings.HasPrefix(strings.TrimSpace(line), "FORGED") {
					t.Errorf("an object wrote the line %q:\n%s", line, answer)
				}
			}
			if i := strings.IndexFunc(answer, func(r rune) bool { return r != '\n' && r != '\t' && unicode.IsControl(r) && r != '\u009b' }); i >= 0 {
				t.Errorf("a terminal would obey %q:\n%q", answer[i:min(len(answer), i+20)], answer)
			}
			if strings.HasSuffix(command, "json") {
				text, _, _ := strings.Cut(answer, "exit status")
				if text, _, _ = strings.Cut(text, "error:"); !json.Valid([]byte(text)) {
					t.Errorf("it is no JSON: %s", answer)
				}
			} else if strings.ContainsAny(answer, "\u009b\u202e") && !strings.HasSuffix(command, "yaml") {
				t.Errorf("a terminal would obey %q", answer)
			}
		})
	}
	if !seen {
		t.Error("no answer shows what the objects say: nothing was attacked")
	}
}
