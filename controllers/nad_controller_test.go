// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/controllers"
)

// named gives a pool a name that networks can be written with.
func named(name string) func(*v1alpha1.MacPool) {
	return func(p *v1alpha1.MacPool) { p.Name = name }
}

func TestNetworksAreRead(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	w.pool("192.168.50.0/24", named("iot"))
	const version = `"cniVersion": "1.0.0", `
	const ipam = `"ipam": {"type": "macpool", "pool": "iot"}`
	said := map[*nadv1.NetworkAttachmentDefinition]int{} // network -> how many events it should have
	for name, tc := range map[string]struct {
		config  string
		reasons []string
	}{
		"complete":         {config: `{` + version + `"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "macpool"}]}`},
		"with tuning":      {config: `{` + version + `"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "tuning"}, {"type": "macpool"}]}`},
		"not ours":         {config: `{` + version + `"type": "macvlan", "ipam": {"type": "dhcp"}}`},
		"others' nonsense": {config: `{"type": "macvlan"`},
		"no config":        {config: ``},
		"founding case":    {config: `{` + version + `"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "tuning", "capabilities": {"mac": true, "ips": true}}]}`, reasons: []string{"ChainedEntryMissing"}},
		"one plugin":       {config: `{` + version + `"type": "macvlan", ` + ipam + `}`, reasons: []string{"ChainedEntryMissing"}},
		"chained first":    {config: `{` + version + `"plugins": [{"type": "macpool"}, {"type": "macvlan", ` + ipam + `}]}`, reasons: []string{"UnknownRole"}},
		"no pool":          {config: `{` + version + `"plugins": [{"type": "macvlan", "ipam": {"type": "macpool"}}, {"type": "macpool"}]}`, reasons: []string{"NoPoolNamed"}},
		"pool no string":   {config: `{` + version + `"plugins": [{"type": "macvlan", "ipam": {"type": "macpool", "pool": 5}}, {"type": "macpool"}]}`, reasons: []string{"NoPoolNamed"}},
		"our nonsense":     {config: `{"type": "macvlan", ` + ipam, reasons: []string{"BadConfig"}},
		"unknown pool":     {config: `{` + version + `"plugins": [{"type": "macvlan", "ipam": {"type": "macpool", "pool": "tv"}}, {"type": "macpool"}]}`, reasons: []string{"PoolUnknown"}},
		"no version":       {config: `{"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "macpool"}]}`, reasons: []string{"UnsupportedVersion"}},
		"passthru":         {config: `{` + version + `"plugins": [{"type": "macvlan", "mode": "passthru", ` + ipam + `}, {"type": "macpool"}]}`, reasons: []string{"UnsupportedMain"}},
		"ipvlan":           {config: `{` + version + `"plugins": [{"type": "ipvlan", ` + ipam + `}, {"type": "macpool"}]}`, reasons: []string{"UnsupportedMain"}},
		"another vlan":     {config: `{` + version + `"plugins": [{"type": "macvlan", "master": "eth0.60", ` + ipam + `}, {"type": "macpool"}]}`, reasons: []string{"VLANMismatch"}},
		"second ipam":      {config: `{` + version + `"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "tuning", "ipam": {"type": "static"}}, {"type": "macpool"}]}`, reasons: []string{"SecondIPAM"}},
		"left by static":   {config: `{` + version + `"plugins": [{"type": "macvlan", "ipam": {"type": "macpool", "pool": "iot", "addresses": []}}, {"type": "macpool"}]}`, reasons: []string{"IgnoredSettings"}},
		"mac of tuning":    {config: `{` + version + `"plugins": [{"type": "macvlan", ` + ipam + `}, {"type": "tuning", "mac": "02:00:00:00:00:01"}, {"type": "macpool"}]}`, reasons: []string{"LeaseOverwritten"}},
		"multicast mac":    {config: `{` + version + `"plugins": [{"type": "macvlan", "mac": "f1:fd:59:0b:bd:2b", ` + ipam + `}, {"type": "macpool"}]}`, reasons: []string{"MulticastMAC"}},
		"two flaws":        {config: `{` + version + `"type": "macvlan", "master": "eth0.60", ` + ipam + `}`, reasons: []string{"VLANMismatch", "ChainedEntryMissing"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			nad := w.networkOf(ns, strings.NewReplacer(" ", "-", "'", "").Replace(name), tc.config)
			for _, reason := range tc.reasons {
				note := w.told(nad, reason)
				if reason == "ChainedEntryMissing" && !strings.Contains(note, `{"type": "macpool"}`) {
					t.Errorf("note %q does not say what to add", note)
				}
			}
			said[nad] = len(tc.reasons)
		})
	}
	for nad := range said {
		change(w, nad, func(n *nadv1.NetworkAttachmentDefinition) { n.Labels = map[string]string{"looked": "again"} })
	}
	w.never("more is said than what is wrong, or it is said again", func() bool {
		for nad, n := range said {
			if told := w.events(nad); len(told) != n || n > 0 && told[0].Series != nil {
				return true
			}
		}
		return false
	})
}

// The whole life of a network as its pool tells it.
func TestPoolTellsOfItsNetworks(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	iot := w.pool("192.168.50.0/24", named("iot"))
	tv := w.pool("192.168.60.0/24", named("tv"), func(p *v1alpha1.MacPool) { p.Spec.VLAN = ptr.To[int32](60) })
	const misconfigured = v1alpha1.PoolNetworksMisconfigured
	config := func(master, pool, chained string) string {
		return fmt.Sprintf(`{"cniVersion": "1.0.0", "plugins": [{"type": "macvlan", "master": %q, "ipam": {"type": "macpool", "pool": %q}}%s]}`, master, pool, chained)
	}
	const chained = `, {"type": "macpool"}`
	rewrite := func(nad *nadv1.NetworkAttachmentDefinition, config string) {
		change(w, nad, func(n *nadv1.NetworkAttachmentDefinition) { n.Spec.Config = config })
	}

	b := w.networkOf(ns, "b", config("eth0.50", "iot", ""))
	message := w.poolCondition(iot, misconfigured, metav1.ConditionTrue, "ChainedEntryMissing")
	if note := w.told(b, "ChainedEntryMissing"); note != message {
		t.Errorf("the event says %q, the condition %q", note, message)
	}
	w.poolReady(iot) // it takes claims all the same

	// Another one, with another flaw; they are told in order of their names.
	a := w.networkOf(ns, "a", config("eth0.60", "iot", chained))
	message = w.poolCondition(iot, misconfigured, metav1.ConditionTrue, v1alpha1.PoolReasonSeveral)
	if want := w.told(a, "VLANMismatch") + " " + w.told(b, "ChainedEntryMissing"); message != want {
		t.Errorf("the condition says %q, not %q", message, want)
	}
	// A change that changes nothing of it writes nothing.
	version := iot.ResourceVersion
	change(w, a, func(n *nadv1.NetworkAttachmentDefinition) { n.Labels = map[string]string{"looked": "again"} })
	w.never("the pool is written although nothing has changed", func() bool {
		w.poolCondition(iot, misconfigured, metav1.ConditionTrue, v1alpha1.PoolReasonSeveral)
		return iot.ResourceVersion != version
	})

	// One that names another pool from now on is told by that one, if anything is wrong then.
	rewrite(b, config("eth0.50", "tv", chained))
	w.poolCondition(iot, misconfigured, metav1.ConditionTrue, "VLANMismatch")
	message = w.poolCondition(tv, misconfigured, metav1.ConditionTrue, "VLANMismatch")
	if !strings.Contains(message, "pool tv is of VLAN 60") {
		t.Errorf("the condition says %q", message)
	}
	rewrite(a, config("eth0.60", "tv", chained))
	w.poolContent(iot)

	// Corrected, or gone.
	rewrite(b, config("eth0.60", "tv", chained))
	w.poolContent(tv)
	rewrite(b, config("vlan0050", "tv", chained))
	w.poolCondition(tv, misconfigured, metav1.ConditionTrue, "VLANMismatch")
	w.remove(b)
	w.poolContent(tv)
}

// poolContent waits until a pool finds nothing wrong with its networks.
func (w *world) poolContent(pool *v1alpha1.MacPool) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(w.t.Context(), client.ObjectKeyFromObject(pool), pool)).To(gomega.Succeed())
		g.Expect(apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolNetworksMisconfigured)).To(gomega.BeNil())
		g.Expect(apimeta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.PoolReady)).To(gomega.BeTrue())
	})
}

// What was wrong with networks while no manager ran is told by the next one, and what was corrected is taken back.
func TestNetworksChangedWithoutManager(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	nad := w.networkOf(ns, "iot", `{"cniVersion": "1.0.0", "type": "macvlan", "ipam": {"type": "macpool", "pool": "`+pool.Name+`"}}`)
	_, stop := w.startManager(managerOptions{})
	w.poolCondition(pool, v1alpha1.PoolNetworksMisconfigured, metav1.ConditionTrue, "ChainedEntryMissing")
	stop()
	w.remove(nad)
	w.startManager(managerOptions{})
	w.poolContent(pool)
}

// A pool that is not there yet is looked for once more before anything is said.
func TestPoolIsMissedAtTheSecondLook(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace()
	recorder := events.NewFakeRecorder(10)
	r := &controllers.NADReconciler{Client: w.Client, Recorder: recorder}
	look := func(nad *nadv1.NetworkAttachmentDefinition, wantLater bool, wantSaid ...string) {
		t.Helper()
		result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(nad)})
		if err != nil {
			t.Fatal(err)
		}
		if later := result.RequeueAfter > 0; later != wantLater {
			t.Errorf("looks again: %t, want %t", later, wantLater)
		}
		var said []string
		for len(recorder.Events) > 0 {
			said = append(said, strings.Fields(<-recorder.Events)[1])
		}
		slices.Sort(said)
		if diff := cmp.Diff(wantSaid, said); diff != "" {
			t.Error(diff)
		}
	}
	nad := w.networkOf(ns, "net", `{"cniVersion": "1.0.0", "type": "macvlan", "ipam": {"type": "macpool", "pool": "first"}}`)
	look(nad, true, "ChainedEntryMissing")
	look(nad, false, "PoolUnknown")
	look(nad, false)
	// Another one that is missing gets its second look too.
	change(w, nad, func(n *nadv1.NetworkAttachmentDefinition) {
		n.Spec.Config = strings.Replace(n.Spec.Config, "first", "second", 1)
	})
	look(nad, true)
	w.pool("192.168.50.0/24", named("second"))
	look(nad, false)

	gone := w.network(ns, "gone", "none")
	look(gone, true)
	w.remove(gone)
	look(gone, false)
}

func TestPoolThatComesAfterItsNetwork(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()

	// At once, as one kubectl apply does: nothing is said.
	both := w.network(ns, "both", "both")
	pool := w.pool("192.168.50.0/24", named("both"))
	// Late: it is said until then.
	late := w.network(ns, "late", "late")
	if note := w.told(late, "PoolUnknown"); !strings.Contains(note, ns+"/late") || !strings.Contains(note, `"late"`) {
		t.Errorf("note %q names not both network and pool", note)
	}
	w.poolReady(w.pool("192.168.51.0/24", named("late")))
	w.poolContent(pool)
	if told := w.events(both); len(told) != 0 {
		t.Errorf("a network whose pool came with it was told %s", told[0].Note)
	}

	// Deleted: said again, since it was well in between. Made again on another VLAN: said of that.
	w.remove(pool)
	w.told(both, "PoolUnknown")
	again := w.pool("192.168.60.0/24", named("both"), func(p *v1alpha1.MacPool) { p.Spec.VLAN = ptr.To[int32](60) })
	w.told(both, "VLANMismatch")
	w.poolCondition(again, v1alpha1.PoolNetworksMisconfigured, metav1.ConditionTrue, "VLANMismatch")
	w.never("more is said than what was wrong, or it is said again", func() bool {
		return len(w.events(both)) != 2 || len(w.events(late)) != 1
	})
}
