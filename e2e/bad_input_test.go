// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// badInput is a network, or a wish, that cannot be granted.
type badInput struct {
	config   string
	ips      []string
	mac      string
	wantCode string
	wantCNI  uint
	// noDel: DEL of the same input fails too, so that the interface goes only with the sandbox.
	noDel bool
	// late: it is found when the lease is there already, which then stays until the pod goes.
	late bool
}

// TestBadInput goes through the ways in which an ADD can be asked for what it cannot give, through the real macvlan plugin
// (R-A8): each ends in one sentence with a stable code, and leaves no lease.
func TestBadInput(t *testing.T) {
	namespace(t, "bad-input")
	prepareBadPools(t)
	good := macvlanConfig("1.0.0", vlanBadInput, "bad")
	pool := func(name string) string { return macvlanConfig("1.0.0", vlanBadInput, name) }
	with := func(old, replacement string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the configuration", old)
		}
		return strings.Replace(good, old, replacement, 1)
	}
	node := cluster.Nodes[1]
	createNetwork(t, "bad-input", "net", good)
	victim := runPod(t, "bad-input", "victim", "net", node)
	taken := linkOf(t, victim)

	for name, c := range map[string]badInput{
		"no pool named":        {config: with(`"type": "macpool", "pool": "bad"`, `"type": "macpool"`), wantCode: "MP305", wantCNI: 7},
		"unknown pool":         {config: pool("nobodys"), wantCode: "MP302", wantCNI: 302},
		"pool not ready":       {config: pool("bad-inverted"), wantCode: "MP303", wantCNI: 11},
		"pool closed":          {config: pool("bad-closed"), wantCode: "MP304", wantCNI: 304},
		"address outside":      {config: good, ips: []string{"10.55.9.9/16"}, wantCode: "MP201", wantCNI: 201},
		"address of elsewhere": {config: good, ips: []string{"172.16.0.1"}, wantCode: "MP201", wantCNI: 201},
		"address excluded":     {config: good, ips: []string{"10.55.0.12"}, wantCode: "MP202", wantCNI: 202},
		"network address":      {config: good, ips: []string{"10.55.0.0"}, wantCode: "MP202", wantCNI: 202},
		"address taken":        {config: good, ips: []string{ipsOf(taken)[0]}, wantCode: "MP203", wantCNI: 203},
		"taken by a pool of another VLAN in the segment": {config: pool("bad-other-vlan"), ips: []string{ipsOf(taken)[0]}, wantCode: "MP203", wantCNI: 203},
		"address and MAC differ":                         {config: good, ips: []string{"10.55.0.11"}, mac: "02:37:00:37:00:0d", wantCode: "MP204", wantCNI: 204},
		"prefix length":                                  {config: good, ips: []string{"10.55.0.11/24"}, wantCode: "MP208", wantCNI: 208},
		"not an address":                                 {config: good, ips: []string{"10.55.0"}, wantCode: "MP209", wantCNI: 209},
		// In cni-args, which macvlan does not read: with one in the annotation it fails in macvlan, before macpool is asked.
		"multicast MAC":       {config: with(`"mode"`, `"args": {"cni": {"mac": "f1:fd:59:0b:bd:2b"}}, "mode"`), wantCode: "MP101", wantCNI: 101},
		"MAC of eight octets": {config: with(`"mode"`, `"args": {"cni": {"mac": "02:37:00:37:00:0d:00:00"}}, "mode"`), wantCode: "MP102", wantCNI: 102},
		"foreign MAC":         {config: good, mac: "02:00:5e:00:53:01", wantCode: "MP103", wantCNI: 103},
		"MAC taken":           {config: good, mac: taken.MAC, wantCode: "MP203", wantCNI: 203},
		"configuration":       {config: with(`"pool": "bad"`, `"pool": 55`), wantCode: "MP401", wantCNI: 7},
		"role":                {config: with(`{"type": "macpool"}`, `{"type": "macpool", "ipam": {"type": "macpool"}}`), wantCode: "MP403", wantCNI: 7, late: true},
		"main plugin":         {config: `{"cniVersion": "1.0.0", "name": "net", "type": "ptp", "ipam": {"type": "macpool", "pool": "bad"}}`, wantCode: "MP404", wantCNI: 7},
		"10 MB":               {config: with(`"mode"`, `"padding": "`+strings.Repeat("x", 10<<20)+`", "mode"`), wantCode: "MP406", wantCNI: 7, noDel: true},
		"version":             {config: with("1.0.0", "0.2.0"), wantCode: "MP407", wantCNI: 1, noDel: true},
		"order of plugins":    {config: `{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "macpool"}]}`, wantCode: "MP408", wantCNI: 7},
	} {
		t.Run(name, func(t *testing.T) {
			pod := createPod(t, "bad-input", "asks-"+strings.ReplaceAll(strings.ToLower(name), " ", "-"), "", node)
			assertNoLease(t, pod, attachBadly(t, node, pod, c), c)
		})
	}

	t.Run("pod not in the API", func(t *testing.T) {
		pod := lab.NewPod("bad-input", "invented", "")
		pod.UID = types.UID("3b241101-e2bb-4255-8caf-4136c566a962")
		c := badInput{config: good, wantCode: "MP503", wantCNI: 11}
		assertNoLease(t, pod, attachBadly(t, node, pod, c), c)
	})
	t.Run("pod of another node", func(t *testing.T) {
		pod := createPod(t, "bad-input", "elsewhere", "", cluster.Nodes[2])
		c := badInput{config: good, wantCode: "MP504", wantCNI: 504}
		assertNoLease(t, pod, attachBadly(t, node, pod, c), c)
	})
	t.Run("no agent", func(t *testing.T) {
		lonely, err := cluster.AddNode(t.Context(), "node-e", vlanBadInput)
		if err != nil {
			t.Fatal(err)
		}
		pod := createPod(t, "bad-input", "lonely", "", lonely)
		c := badInput{config: good, wantCode: "MP501", wantCNI: 11}
		assertNoLease(t, pod, attachBadly(t, lonely, pod, c), c)
	})
	t.Run("annotation", func(t *testing.T) {
		pod := createPod(t, "bad-input", "unreadable", `[{"name": "net"`, node)
		awaitEvent(t, "bad-input", "Pod", pod.Name, "BadAnnotation")
	})
	for code, ip := range map[string]string{"MP202": "10.55.0.12", "MP203": ipsOf(taken)[0]} {
		t.Run("everywhere the same words: "+code, func(t *testing.T) {
			pod := createPod(t, "bad-input", "words-"+strings.ToLower(code), `[{"name": "net", "ips": ["`+ip+`"]}]`, node)
			assertSameWords(t, pod, code, attachBadly(t, node, pod, badInput{config: good, ips: []string{ip}}))
		})
	}
	t.Run("victim", func(t *testing.T) { // of all the above
		assertTruthful(t, victim)
		if err := victim.Attachments[0].Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func prepareBadPools(t *testing.T) {
	t.Helper()
	pool := newPool("bad", vlanBadInput, 10)
	pool.Spec.Subnets[0].Exclude = []v1alpha1.AddressRange{{Start: "10.55.0.12"}}
	createPool(t, pool)
	other := newPool("bad-other-vlan", vlanBadInputOther, 10)
	other.Spec.Segment = fmt.Sprintf("vlan-%d", vlanBadInput)
	other.Spec.Subnets = pool.Spec.Subnets
	createPool(t, other)
	closed := newPool("bad-closed", vlanEnd, 10)
	closed.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"may": "use-it"}}
	createPool(t, closed)
	inverted := newPool("bad-inverted", vlanEnd+1, 10)
	r := &inverted.Spec.Subnets[0].Ranges[0]
	r.Start, r.End = r.End, r.Start
	if err := cluster.Client.Create(t.Context(), inverted); err != nil {
		t.Fatal(err)
	}
}

// attachBadly does one ADD of the input for the pod, and takes the sandbox away.
func attachBadly(t *testing.T, node *lab.Node, pod *corev1.Pod, c badInput) error {
	t.Helper()
	s, err := node.NewSandbox(pod)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s)
	_, err = s.Attach(t.Context(), lab.Network{Name: "bad-input/net", Config: c.config, Interface: "net1", IPs: c.ips, MAC: c.mac})
	if s.HasLink("net1") && !c.noDel {
		t.Error("the interface is still there")
	}
	return err
}

// assertNoLease fails unless the error is the one wanted and the pod has no lease, at the latest when it is gone.
func assertNoLease(t *testing.T, pod *corev1.Pod, err error, want badInput) {
	t.Helper()
	assertProblem(t, err, want.wantCode)
	if got := lab.CNICode(err); got != want.wantCNI {
		t.Errorf("CNI code %d, want %d", got, want.wantCNI)
	}
	if err != nil && strings.Contains(err.Error(), "\n") && !want.noDel {
		t.Errorf("more than one line: %v", err)
	}
	if left := leasesOfPod(t.Context(), t, pod); len(left) > 0 && !want.late {
		t.Errorf("leases were left: %v", left)
	}
	if err := cluster.ForgetPod(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is left of the pod", func(ctx context.Context) error {
		if left := leasesOfPod(ctx, t, pod); len(left) > 0 {
			return fmt.Errorf("it has %v", left)
		}
		return nil
	})
}

// leasesOfPod are the names of the leases of a bare pod's claims that are not released.
func leasesOfPod(ctx context.Context, t *testing.T, pod *corev1.Pod) []string {
	t.Helper()
	all := &v1alpha1.MacLeaseList{}
	if err := cluster.Client.List(ctx, all); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range all.Items {
		if c := l.Spec.ClaimRef; c.Namespace == pod.Namespace && strings.HasPrefix(c.Name, pod.Name+".") && l.Spec.ReleasedAt == nil {
			names = append(names, l.Name)
		}
	}
	return names
}

// assertSameWords fails unless the event of the pod and the condition of its claim say what the error of its ADD says. Only a condition does not
// repeat the code, since its reason is the same in words.
func assertSameWords(t *testing.T, pod *corev1.Pod, code string, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("the pod was attached")
	}
	var claim v1alpha1.MacClaim
	if err := cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: pod.Namespace, Name: pod.Name + ".bad.net1"}, &claim); err != nil {
		t.Fatal(err)
	}
	ready := apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimReady)
	if ready == nil || ready.Status != metav1.ConditionFalse {
		t.Fatalf("the claim's condition is %+v", ready)
	}
	words := code + ": " + ready.Message
	// CNI has two fields, msg and details, which are printed with a semicolon between them.
	if said := strings.Replace(err.Error(), "; ", ". ", 1); !strings.Contains(said, words) {
		t.Errorf("the ADD says\n%s\nthe claim\n%s", said, words)
	}
	awaitEvent(t, pod.Namespace, "Pod", pod.Name, ready.Reason)
	events := &corev1.EventList{}
	if err := cluster.Client.List(t.Context(), events, client.InNamespace(pod.Namespace)); err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		if e.Reason == ready.Reason && e.InvolvedObject.Name == pod.Name && e.Message != words {
			t.Errorf("the event says\n%s\nthe claim\n%s", e.Message, words)
		}
	}
}

func awaitEvent(t *testing.T, ns, kind, name, reason string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s %s has event %s", kind, name, reason), func(ctx context.Context) error {
		events := &corev1.EventList{}
		if err := cluster.Client.List(ctx, events, client.InNamespace(ns)); err != nil {
			return err
		}
		if !slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.Reason == reason && e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name
		}) {
			return fmt.Errorf("%d events, none of them so", len(events.Items))
		}
		return nil
	})
}
