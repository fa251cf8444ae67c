// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"errors"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// adoption is a pool in an API server that has gone back to some state, and what a node reports.
type adoption struct {
	client.Client

	t        *testing.T
	pool     *v1alpha1.MacPool
	ns       string
	reported binding.Reported
}

func newAdoption(t *testing.T) *adoption {
	t.Helper()
	a := &adoption{t: t, Client: newClient(t, nil)}
	a.ns = newNamespace(t, a)
	a.pool = newPool(t, a, v1alpha1.Subnet{CIDR: "192.168.50.0/24"})
	a.reported = binding.Reported{
		NodeName: "node-a", NodeUID: "uid-a", VLAN: a.pool.Spec.VLAN,
		NodeAttachment: v1alpha1.NodeAttachment{
			LeaseName: a.pool.Spec.Segment + ".192.168.50.8", PoolName: a.pool.Name, MAC: "02:32:00:a8:32:08",
			IPs: []v1alpha1.IPAddress{"192.168.50.8"}, Namespace: a.ns, ClaimName: "db-0." + a.pool.Name + ".net1",
			Workload: &v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: "db-0", Interface: "net1"},
			PodName:  "db-0", PodUID: "pod-uid", Interface: "net1", Generation: 5,
		},
	}
	return a
}

func (a *adoption) binder(wrap func(http.RoundTripper) http.RoundTripper) *binding.Binder {
	b := &binding.Binder{Client: newClient(a.t, wrap), Index: binding.NewIndex(), Clock: clock.RealClock{}}
	if err := b.Index.SetPool(a.pool); err != nil {
		a.t.Fatal(err)
	}
	return b
}

func (a *adoption) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// bound makes a claim with a lease and a holder, as the API had it before.
func (a *adoption) bound(name string, ip v1alpha1.IPAddress, pod string) *v1alpha1.MacClaim {
	a.t.Helper()
	claim := newClaim(a.t, a, a.pool, a.ns, name, ip)
	var holder *v1alpha1.Holder
	if pod != "" {
		holder = &v1alpha1.Holder{PodName: pod, PodUID: types.UID(pod), NodeName: "node-b", Interface: "net1"}
	}
	claim, err := a.binder(nil).Bind(a.t.Context(), claim, a.pool, holder)
	a.must(err)
	return claim
}

// check fails unless the API knows all that was reported.
func (a *adoption) check() {
	a.t.Helper()
	claim, lease := &v1alpha1.MacClaim{}, &v1alpha1.MacLease{}
	a.must(a.Get(a.t.Context(), types.NamespacedName{Namespace: a.ns, Name: a.reported.ClaimName}, claim))
	a.must(a.Get(a.t.Context(), types.NamespacedName{Name: a.reported.LeaseName}, lease))
	s, holder := claim.Status, claim.Status.Holder
	if s.LeaseName != lease.Name || s.MAC != "02:32:00:a8:32:08" || len(s.IPs) != 1 || s.IPs[0] != "192.168.50.8" || s.VLAN == nil {
		a.t.Errorf("the claim has %+v", s)
	}
	if holder == nil || holder.PodUID != "pod-uid" || holder.NodeName != "node-a" || holder.NodeUID != "uid-a" || holder.Interface != "net1" ||
		holder.Generation < 5 || holder.Generation != s.Generation {
		a.t.Errorf("the holder is %+v, the generation %d", holder, s.Generation)
	}
	if lease.Spec.ClaimRef.UID != claim.UID || lease.Spec.ReleasedAt != nil || lease.Spec.ReusableAt != nil || lease.Spec.NodeName != "node-a" {
		a.t.Errorf("the lease is %+v", lease.Spec)
	}
	if lease.Labels[v1alpha1.LabelSegment] != a.pool.Spec.Segment || lease.Labels[v1alpha1.LabelIdentity] != binding.IdentityLabel(a.ns, claim.Name) {
		a.t.Errorf("the lease's labels are %v", lease.Labels)
	}
}

// TestAdopt proves that whatever an older API shows, what a node has attached is written again, by one call and by any number
// of calls (R-B1, F28).
func TestAdopt(t *testing.T) {
	for name, before := range map[string]func(a *adoption){
		"nothing is known": func(*adoption) {},
		"the claim is known, and has no lease": func(a *adoption) {
			newClaim(a.t, a, a.pool, a.ns, a.reported.ClaimName)
		},
		"all is known": func(a *adoption) {
			_, err := a.binder(nil).Adopt(a.t.Context(), a.reported)
			a.must(err)
		},
		"all but the holder":      func(a *adoption) { a.bound(a.reported.ClaimName, "192.168.50.8", "") },
		"another pod was holder":  func(a *adoption) { a.bound(a.reported.ClaimName, "192.168.50.8", "db-0-before") },
		"it had another address":  func(a *adoption) { a.bound(a.reported.ClaimName, "192.168.50.9", "db-0-before") },
		"another had the address": func(a *adoption) { a.bound("web", "192.168.50.8", "") },
		"another had the address, and held it": func(a *adoption) {
			a.bound("web", "192.168.50.8", "web")
		},
		"another had given the address back": func(a *adoption) {
			claim := a.bound("web", "192.168.50.8", "")
			a.must(a.binder(nil).Release(a.t.Context(), claim.Status.LeaseName, claim.UID, v1alpha1.LeaseHistory{Reason: v1alpha1.EndNeverAttached}))
			a.must(a.Delete(a.t.Context(), claim))
		},
		"it had given the address back itself, as a claim before": func(a *adoption) {
			claim := a.bound(a.reported.ClaimName, "192.168.50.8", "")
			a.must(a.binder(nil).Release(a.t.Context(), claim.Status.LeaseName, claim.UID, v1alpha1.LeaseHistory{Reason: v1alpha1.EndNeverAttached}))
			a.must(a.Delete(a.t.Context(), claim))
		},
		"the lease is known, of a claim that was made again since": func(a *adoption) {
			claim := a.bound(a.reported.ClaimName, "192.168.50.8", "")
			a.must(a.Delete(a.t.Context(), claim))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAdoption(t)
			before(a)
			b := a.binder(nil)
			changed, err := b.Adopt(t.Context(), a.reported)
			a.must(err)
			if want := name != "all is known"; changed != want {
				t.Errorf("changed: %t, want %t", changed, want)
			}
			a.check()
			if changed, err = b.Adopt(t.Context(), a.reported); err != nil || changed {
				t.Errorf("a second time: changed %t, error %v", changed, err)
			}
			a.check()
			// The other claim is free to get another address, and its node to see that it has lost this one.
			web := &v1alpha1.MacClaim{}
			err = a.Get(t.Context(), types.NamespacedName{Namespace: a.ns, Name: "web"}, web)
			if apierrors.IsNotFound(err) {
				return
			}
			a.must(err)
			if web.Status.LeaseName != "" || web.Status.Holder != nil {
				t.Errorf("the other claim still has %+v", web.Status)
			}
			for _, past := range web.Status.PreviousHolders {
				if past.Reason.Attested() {
					t.Errorf("the other's hold ended as %+v", past)
				}
			}
		})
	}
}

var errCutOff = errors.New("cut off")

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestAdoptCutOff proves that an adoption that is cut off before or after any of its writes is completed by the next one.
func TestAdoptCutOff(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for n := range 12 {
			a := newAdoption(t)
			a.bound("web", "192.168.50.8", "web")
			seen := 0
			b := a.binder(func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(req *http.Request) (*http.Response, error) {
					if req.Method == http.MethodGet {
						return next.RoundTrip(req)
					}
					if seen++; seen != n+1 {
						return next.RoundTrip(req)
					}
					if lost { // it is made, and nobody hears of it
						resp, err := next.RoundTrip(req)
						if err != nil {
							return nil, err
						}
						_ = resp.Body.Close()
					}
					return nil, errCutOff
				})
			})
			if _, err := b.Adopt(t.Context(), a.reported); err != nil {
				_, err = b.Adopt(t.Context(), a.reported)
				a.must(err)
			}
			a.check()
			if seen <= n {
				break // all its writes were tried
			}
		}
	}
}

// TestAdoptWithoutNamespace proves that an attachment whose namespace the API has lost is an error that a person can read, and that
// its address is kept from others.
func TestAdoptWithoutNamespace(t *testing.T) {
	a := newAdoption(t)
	a.reported.Namespace = "lost"
	if _, err := a.binder(nil).Adopt(t.Context(), a.reported); !apierrors.IsNotFound(err) {
		t.Fatalf("the error is %v", err)
	}
	a.must(a.binder(nil).Keep(t.Context(), a.reported))
	a.must(a.binder(nil).Keep(t.Context(), a.reported))
	other := newClaim(t, a, a.pool, a.ns, "other", "192.168.50.8")
	if _, err := a.binder(nil).Bind(t.Context(), other, a.pool, nil); !problem.AddressCooling.Is(err) {
		t.Errorf("another claim that asks for the address is told %v", err)
	}
	lease := &v1alpha1.MacLease{}
	a.must(a.Get(t.Context(), types.NamespacedName{Name: a.reported.LeaseName}, lease))
	if len(lease.Spec.History) != 1 || lease.Spec.History[0].Reason.Attested() || !lease.Spec.History[0].To.Equal(lease.Spec.ReleasedAt) {
		t.Errorf("the lease's history is %+v, released at %v", lease.Spec.History, lease.Spec.ReleasedAt)
	}
}

// TestKeepLeavesOthers proves that a lease that is there is not touched by who only wants it kept.
func TestKeepLeavesOthers(t *testing.T) {
	a := newAdoption(t)
	web := a.bound("web", "192.168.50.8", "web")
	a.must(a.binder(nil).Keep(t.Context(), a.reported))
	lease := &v1alpha1.MacLease{}
	a.must(a.Get(t.Context(), types.NamespacedName{Name: a.reported.LeaseName}, lease))
	if lease.Spec.ClaimRef.UID != web.UID || lease.Spec.ReleasedAt != nil {
		t.Errorf("the lease is %+v", lease.Spec)
	}
}
