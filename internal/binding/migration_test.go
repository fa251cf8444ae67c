// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// guest is a VM's claim, and who writes it.
type guest struct {
	*testing.T
	client.Client

	b     *binding.Binder
	claim *v1alpha1.MacClaim
}

// newGuest is a VM that runs in pod a on node-a.
func newGuest(t *testing.T) *guest {
	t.Helper()
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "192.168.50.0/24"})
	g := &guest{T: t, Client: c, b: newBinder(t, c, pool), claim: newClaim(t, c, pool, newNamespace(t, c), "vm")}
	claim, err := g.b.Bind(t.Context(), g.claim, pool, new(launcher("a", "vmi-1")))
	if err != nil {
		t.Fatal(err)
	}
	g.claim = claim
	return g
}

// launcher is a virt-launcher pod of an instance, as a holder.
func launcher(name string, instance types.UID) v1alpha1.Holder {
	return v1alpha1.Holder{
		PodName: "virt-launcher-" + name, PodUID: types.UID("uid-" + name), NodeName: "node-" + name, Interface: "net1", InstanceUID: instance,
		Owner: &v1alpha1.Owner{Kind: "VirtualMachineInstance", Name: "vm"},
	}
}

func (g *guest) hold(holder v1alpha1.Holder) error {
	g.Helper()
	_, err := g.b.SetHolder(g.Context(), g.now(), holder)
	return err
}

func (g *guest) now() *v1alpha1.MacClaim {
	g.Helper()
	claim := &v1alpha1.MacClaim{}
	if err := g.Get(g.Context(), keyOf(g.claim), claim); err != nil {
		g.Fatal(err)
	}
	return claim
}

// clear is the word of the agent of the pod's node, about the generation that the pod has now.
func (g *guest) clear(name string) {
	g.Helper()
	claim, uid := g.now(), types.UID("uid-"+name)
	holder := binding.HolderOf(claim, uid)
	if holder == nil {
		g.Fatalf("pod %s holds nothing", name)
	}
	if err := g.b.ClearHolder(g.Context(), keyOf(claim), uid, holder.Generation, binding.AgentReport(holder.NodeName)); err != nil {
		g.Fatal(err)
	}
}

// are fails unless these pods are the holder and the alternate, "" for none; and the lease is that of the beginning.
func (g *guest) are(active, alternate string) {
	g.Helper()
	claim := g.now()
	name := func(h *v1alpha1.Holder) string {
		if h == nil {
			return ""
		}
		return h.PodName[len("virt-launcher-"):]
	}
	if diff := cmp.Diff([]string{active, alternate}, []string{name(claim.Status.Holder), name(claim.Status.Alternate)}); diff != "" {
		g.Errorf("holder and alternate: %s", diff)
	}
	if claim.Status.LeaseName != g.claim.Status.LeaseName || claim.Status.MAC != g.claim.Status.MAC {
		g.Errorf("the lease is %s now", claim.Status.LeaseName)
	}
	lease := &v1alpha1.MacLease{}
	if err := g.Get(g.Context(), client.ObjectKey{Name: claim.Status.LeaseName}, lease); err != nil || lease.Spec.ReleasedAt != nil {
		g.Errorf("the lease was released: %v", err)
	}
}

func (g *guest) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// R-G6, F38: a migration from its beginning to each of its ends. Whoever lets go clears itself alone, and the other remains as the holder.
func TestMigration(t *testing.T) {
	for name, tc := range map[string]struct {
		do                func(g *guest)
		active, alternate string
	}{
		"under way": {func(*guest) {}, "a", "b"},
		"success":   {func(g *guest) { g.clear("a") }, "b", ""},
		"switched":  {func(g *guest) { g.must(second(g.b.Promote(g.Context(), g.now()))) }, "b", "a"},
		"switched, then done": {func(g *guest) {
			g.must(second(g.b.Promote(g.Context(), g.now())))
			g.clear("a")
		}, "b", ""},
		"abort":         {func(g *guest) { g.clear("b") }, "a", ""},
		"target dies":   {func(g *guest) { g.evidence("b") }, "a", ""},
		"source dies":   {func(g *guest) { g.evidence("a") }, "b", ""},
		"both die":      {func(g *guest) { g.evidence("a"); g.evidence("b") }, "", ""},
		"abort, again":  {func(g *guest) { g.clear("b"); g.must(g.hold(launcher("c", "vmi-1"))) }, "a", "c"},
		"done, onwards": {func(g *guest) { g.clear("a"); g.must(g.hold(launcher("a2", "vmi-1"))) }, "b", "a2"},
		"late word": {func(g *guest) { // of a hold that the pod had before
			g.must(g.b.ClearHolder(g.Context(), keyOf(g.claim), "uid-b", 1, binding.AgentReport("node-b")))
		}, "a", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t)
			g.must(g.hold(launcher("b", "vmi-1")))
			g.are("a", "b")
			g.must(g.hold(launcher("b", "vmi-1"))) // which changes nothing
			if generation := g.now().Status.Generation; generation != 2 {
				t.Errorf("the generation is %d, want 2", generation)
			}
			tc.do(g)
			g.T = t
			g.are(tc.active, tc.alternate)
		})
	}
}

// evidence is the manager's, about a pod whose node does not answer.
func (g *guest) evidence(name string) {
	g.Helper()
	claim := g.now()
	holder := binding.HolderOf(claim, types.UID("uid-"+name))
	_, err := g.b.ClearOneAsRead(g.Context(), claim, holder, binding.End{Reason: v1alpha1.EndOutOfService, Evidence: "as the test says"})
	g.must(err)
}

func second[T any](_ T, err error) error { return err }

// R-G6: 10 migrations in a row, every second one aborted first, keep address and order; what is left is one holder.
func TestMigrationsInARow(t *testing.T) {
	g := newGuest(t)
	at := "a"
	for i := range 10 {
		aborted, next := fmt.Sprintf("x%d", i), fmt.Sprintf("m%d", i)
		if i%2 == 0 {
			g.must(g.hold(launcher(aborted, "vmi-1")))
			g.clear(aborted)
		}
		g.must(g.hold(launcher(next, "vmi-1")))
		g.are(at, next)
		if i%3 == 0 {
			g.must(second(g.b.Promote(g.Context(), g.now())))
			g.are(next, at)
		}
		g.clear(at)
		g.are(next, "")
		at = next
	}
	if got := g.now().Status.Generation; got != 16 {
		t.Errorf("generation %d, want 16", got)
	}
}

// R-G6: a second holder is of the same instance and another node, and there is no third.
func TestWhoMayNotJoin(t *testing.T) {
	change := func(f func(*v1alpha1.Holder)) v1alpha1.Holder {
		h := launcher("b", "vmi-1")
		f(&h)
		return h
	}
	for name, tc := range map[string]struct {
		holder v1alpha1.Holder
		kind   *problem.Kind
	}{
		"the VM, started again": {launcher("b", "vmi-2"), problem.ClaimHeld},
		"of no VM":              {change(func(h *v1alpha1.Holder) { h.InstanceUID = "" }), problem.ClaimHeld},
		"of another VM":         {change(func(h *v1alpha1.Holder) { h.InstanceUID, h.Owner.Name = "vmi-9", "other" }), problem.ClaimOfAnother},
		"on the same node":      {change(func(h *v1alpha1.Holder) { h.NodeName = "node-a" }), problem.ClaimHeld},
		"another interface":     {change(func(h *v1alpha1.Holder) { h.Interface = "net2" }), problem.ClaimHeld},
		"the holder, twice":     {change(func(h *v1alpha1.Holder) { h.PodUID, h.Interface = "uid-a", "net2" }), problem.ClaimTwice},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t)
			if err := g.hold(tc.holder); !tc.kind.Is(err) {
				t.Errorf("got %v, want %s", err, tc.kind.Reason)
			}
			g.are("a", "")
		})
	}
	g := newGuest(t)
	g.must(g.hold(launcher("b", "vmi-1")))
	if err := g.hold(launcher("c", "vmi-1")); !problem.ClaimHeld.Is(err) {
		t.Errorf("a third pod: %v", err)
	}
	if _, err := g.b.TakeOver(t.Context(), g.now(), launcher("c", "vmi-2"), binding.End{Reason: v1alpha1.EndTakenOver}); !problem.ClaimHeld.Is(err) {
		t.Errorf("taken over beside an alternate: %v", err)
	}
	g.are("a", "b")
}

// Of two pods that would be the alternate at once one is, and a promotion of what has changed since fails (R-G6).
func TestMigrationIsCompareAndSwap(t *testing.T) {
	g := newGuest(t)
	stale := g.now()
	_, err := g.b.SetHolder(t.Context(), stale.DeepCopy(), launcher("b", "vmi-1"))
	g.must(err)
	if _, err := g.b.SetHolder(t.Context(), stale.DeepCopy(), launcher("c", "vmi-1")); !problem.ClaimHeld.Is(err) {
		t.Errorf("the second got %v", err)
	}
	g.are("a", "b")
	seen := g.now()
	g.clear("b")
	if _, err := g.b.Promote(t.Context(), seen); !apierrors.IsConflict(err) {
		t.Errorf("promoted what has gone: %v", err)
	}
	g.are("a", "")
}

// After the API went back in time both pods of a VM that migrates keep what they have, in whatever order their nodes report; without the
// instance it is two pods with one address (R-B1, R-G6).
func TestMigrationIsAdopted(t *testing.T) {
	for name, known := range map[string]func(g *guest){
		"neither is known":  func(g *guest) { g.clear("a") },
		"source is known":   func(*guest) {},
		"both are known":    func(g *guest) { g.must(g.hold(launcher("b", "vmi-1"))) },
		"another was known": func(g *guest) { g.clear("a"); g.must(g.hold(launcher("z", "vmi-0"))) },
	} {
		for _, order := range []string{"ab", "ba"} {
			t.Run(name+", "+order, func(t *testing.T) {
				g := newGuest(t)
				known(g)
				g.T = t
				var reports []binding.Reported
				for _, r := range order {
					h := launcher(string(r), "vmi-1")
					reports = append(reports, binding.Reported{
						NodeName: h.NodeName,
						NodeAttachment: v1alpha1.NodeAttachment{
							LeaseName: g.claim.Status.LeaseName, PoolName: g.claim.Spec.PoolRef.Name, MAC: v1alpha1.MACAddress(g.claim.Status.MAC),
							IPs: []v1alpha1.IPAddress{v1alpha1.IPAddress(g.claim.Status.IPs[0])}, Namespace: g.claim.Namespace, ClaimName: "vm",
							PodName: h.PodName, PodUID: h.PodUID, Interface: "net1", InstanceUID: "vmi-1", Generation: map[rune]int64{'a': 5, 'b': 6}[r],
						},
					})
				}
				granted, lost := binding.Contest(reports, nil)
				if len(granted) != 2 || len(lost) != 0 {
					t.Fatalf("granted %d, lost %v", len(granted), lost)
				}
				for range 2 {
					for i := range reports { // as they come, whoever won
						if _, err := g.b.Adopt(t.Context(), reports[i]); err != nil {
							t.Fatal(err)
						}
					}
				}
				claim := g.now()
				both := map[types.UID]int64{}
				for _, h := range binding.Holders(claim) {
					both[h.PodUID] = h.Generation
				}
				if len(both) != 2 || both["uid-a"] == 0 || both["uid-b"] == 0 || claim.Status.Generation < 6 {
					t.Errorf("they are %v of %d", both, claim.Status.Generation)
				}
				for i := range reports {
					if changed, err := g.b.Adopt(t.Context(), reports[i]); changed || err != nil {
						t.Errorf("it does not come to rest: %v", err)
					}
					reports[i].InstanceUID = ""
				}
				if granted, lost := binding.Contest(reports, nil); len(granted) != 1 || len(lost) != 1 {
					t.Errorf("of two pods that are no VM %d are granted it", len(granted))
				}
			})
		}
	}
}
