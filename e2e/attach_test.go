// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// TestMainPath is the story of the demo: a StatefulSet's pods on two nodes get what their claims say (I3), CHECK agrees
// (R-C11), they reach each other, and a pod that is replaced on the other node keeps MAC and IPs (I4). Meanwhile
// every frame on the wire comes from a leased MAC, the first one too (R-C14).
func TestMainPath(t *testing.T) {
	namespace(t, "main-path")
	pool := newPool("main-path", vlanMainPath, 200)
	pool.Spec.Subnets = append(pool.Spec.Subnets, v1alpha1.Subnet{CIDR: "fd00:50::/64"})
	createPool(t, pool)
	createNetwork(t, "main-path", "net", macvlanConfig("1.0.0", vlanMainPath, "main-path"))
	wires := capture(t, vlanMainPath, cluster.Nodes[:2]...)

	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "main-path", Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: "db",
			Selector:    &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "db"}, Annotations: map[string]string{"k8s.v1.cni.cncf.io/networks": "net"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "db", Image: "db"}}},
			},
		},
	}
	if err := cluster.Client.Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	one := runReplica(t, set, 0, cluster.Nodes[0])
	assertFirstFrame(t, wires[0], one)
	two := runReplica(t, set, 1, cluster.Nodes[1])
	assertFirstFrame(t, wires[1], two)
	leased := []string{linkOf(t, one).MAC, linkOf(t, two).MAC}
	for _, s := range []*lab.Sandbox{one, two} {
		assertTruthful(t, s)
		if err := s.Attachments[0].Check(t.Context()); err != nil {
			t.Errorf("CHECK of %s: %v", s.Pod.Name, err)
		}
	}
	assertReach(t, one, two)

	before := linkOf(t, one)
	if err := cluster.StopPod(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	again := runReplica(t, set, 0, cluster.Nodes[1])
	after := linkOf(t, again)
	if after.MAC != before.MAC || !slices.Equal(after.IPs, before.IPs) {
		t.Errorf("the replaced pod has\n%s\nit had\n%s", after, before)
	}
	assertTruthful(t, again)
	assertReach(t, again, two)
	assertOnly(t, wires, vlanMainPath, leased)
}

func runReplica(t *testing.T, set *appsv1.StatefulSet, ordinal int, node *lab.Node) *lab.Sandbox {
	t.Helper()
	pod := lab.Replica(set, ordinal)
	if err := cluster.CreatePod(t.Context(), pod, node); err != nil {
		t.Fatal(err)
	}
	s, err := cluster.RunPodRetrying(t.Context(), pod, node)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test has stopped one of them itself.
		ctx := context.WithoutCancel(t.Context())
		if current, err := cluster.Pod(ctx, pod.Namespace, pod.Name); err == nil && current.UID == pod.UID {
			if err := cluster.StopPod(ctx, s); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// capture listens at the switch for what pods of the nodes send on the VLAN.
func capture(t *testing.T, vlan int, nodes ...*lab.Node) []*lab.Capture {
	t.Helper()
	var wires []*lab.Capture
	for _, n := range nodes {
		w, err := n.Capture(vlan)
		if err != nil {
			t.Fatal(err)
		}
		wires = append(wires, w)
	}
	return wires
}

func assertFirstFrame(t *testing.T, w *lab.Capture, s *lab.Sandbox) {
	t.Helper()
	var first lab.Frame
	eventually(t, "a frame of the pod is seen", func(context.Context) error {
		frames := w.Frames()
		if len(frames) == 0 {
			return errors.New("none")
		}
		first = frames[0]
		return nil
	})
	if want := linkOf(t, s).MAC; first.Source != want {
		t.Errorf("the first frame came from %s, want the leased %s", first.Source, want)
	}
}

// assertOnly fails unless all frames came from the leased MACs, tagged where the laboratory tags.
func assertOnly(t *testing.T, wires []*lab.Capture, vlan int, leased []string) {
	t.Helper()
	if cluster.Backend == lab.BackendPlain {
		vlan = 0
	}
	for _, w := range wires {
		frames, err := w.Stop()
		if err != nil {
			t.Fatal(err)
		}
		if len(frames) == 0 {
			t.Error("nothing was captured")
		}
		for _, f := range frames {
			if f.VLAN != vlan || !slices.Contains(leased, f.Source) {
				t.Errorf("a frame of type %#04x came from %s in VLAN %d, want only %v in %d", f.EtherType, f.Source, f.VLAN, leased, vlan)
			}
		}
	}
}

// assertReach pings from one pod to every address of the other.
func assertReach(t *testing.T, from, to *lab.Sandbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, p := range linkOf(t, to).IPs {
		if _, err := from.Ping(ctx, p.Addr()); err != nil {
			t.Error(err)
		}
	}
}

// TestFoundingCase applies the two manifests of the founding case with only the ipam changed: the address that the pod asks
// for, the MAC that follows from it, the routes as written, and an event that asks for the chained entry.
func TestFoundingCase(t *testing.T) {
	namespace(t, "network")
	pool := newPool("founding", vlanFounding, 1)
	pool.Spec.Subnets = []v1alpha1.Subnet{{CIDR: "192.168.50.0/24", Gateway: "192.168.50.1"}}
	pool.Spec.MAC = &v1alpha1.MACPolicy{Prefix: "02:32:00"}
	createPool(t, pool)
	createNetwork(t, "network", "iot-vlan", fmt.Sprintf(`{"cniVersion": "0.3.1", "name": "iot-vlan", "plugins": [
		{"type": "macvlan", "master": "eth0.%d", "mode": "bridge",
		 "ipam": {"type": "macpool", "pool": "founding", "routes": [{"dst": "192.168.50.0/24", "gw": "192.168.50.1"}]}},
		{"type": "tuning", "capabilities": {"mac": true, "ips": true}}]}`, vlanFounding))
	s := runPod(t, "network", "home-assistant", `[{"name": "iot-vlan", "namespace": "network", "ips": ["192.168.50.8/24"]}]`, cluster.Nodes[0])
	link := linkOf(t, s)
	if want := netip.MustParsePrefix("192.168.50.8/24"); link.MAC != "02:32:00:a8:32:08" || !slices.Equal(link.IPs, []netip.Prefix{want}) {
		t.Errorf("got\n%s\nwant 02:32:00:a8:32:08 and %s", link, want)
	}
	if !slices.Contains(link.Routes, "192.168.50.0/24 via 192.168.50.1") {
		t.Errorf("the network's route is missing:\n%s", link)
	}
	assertTruthful(t, s)
	eventually(t, "the network has the event", func(ctx context.Context) error {
		events := &corev1.EventList{}
		if err := cluster.Client.List(ctx, events, client.InNamespace("network")); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == "ChainedEntryMissing" && e.InvolvedObject.Kind == "NetworkAttachmentDefinition" && e.InvolvedObject.Name == "iot-vlan" {
				return nil
			}
		}
		return fmt.Errorf("%d events, none of them ChainedEntryMissing", len(events.Items))
	})

	// The MAC of the founding case is refused when the pod is applied.
	bad := lab.NewPod("network", "typed-mac", `[{"name": "iot-vlan", "ips": ["192.168.50.9/24"], "mac": "f1:fd:59:0b:bd:2b"}]`)
	assertRefused(t, cluster.Client.Create(t.Context(), bad), "f1:fd:59:0b:bd:2b", "multicast", "f2:fd:59:0b:bd:2b")
}
