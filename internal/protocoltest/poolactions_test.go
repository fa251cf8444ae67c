// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

var poolActions = []action{
	{"edit pool", 2, func(w *world) bool { return len(w.poolsInAPI()) > 0 }, func(w *world, t *rapid.T) {
		p := pick(t, "pool", w.poolsInAPI()).DeepCopy()
		from, size := drawRange(t)
		setRange(&p.Spec, from, size)
		if rapid.Bool().Draw(t, "exclude") {
			p.Spec.Subnets[0].Exclude = []v1alpha1.AddressRange{{Start: address(from + 1)}}
		}
		w.logf("pool %s leases %v without %v", p.Name, p.Spec.Subnets[0].Ranges, p.Spec.Subnets[0].Exclude)
		w.stats.fault("F24", "pool edited", "m8-m9")
		w.must(w.admin.Update(background, p))
	}},
	{"delete pool", 1, func(w *world) bool { return len(w.poolsInAPI()) > 0 }, func(w *world, t *rapid.T) {
		p := pick(t, "pool", w.poolsInAPI())
		w.logf("delete pool %s", p.Name)
		w.stats.fault("F24", "pool deleted", "m8-m9")
		w.must(client.IgnoreNotFound(w.admin.Delete(background, p)))
	}},
	{"make pool again", 16, func(w *world) bool { return len(w.poolsInAPI()) < len(poolNames) }, func(w *world, t *rapid.T) {
		from, size := drawRange(t)
		for _, name := range poolNames {
			w.makePool(name, from, size)
		}
	}},
}

func (w *world) poolsInAPI() []*v1alpha1.MacPool { return all[*v1alpha1.MacPool](w, "MacPool") }

func drawRange(t *rapid.T) (from, size int) {
	return rapid.IntRange(8, 14).Draw(t, "from"), pick(t, "size", []int{8, 6, 10, 4, 2, 1})
}

func address(last int) v1alpha1.IPAddress {
	return v1alpha1.IPAddress(fmt.Sprintf("192.168.50.%d", last))
}

func setRange(spec *v1alpha1.MacPoolSpec, from, size int) {
	spec.Subnets[0].Exclude = nil
	spec.Subnets[0].Ranges = []v1alpha1.PoolRange{{AddressRange: v1alpha1.AddressRange{Start: address(from), End: address(from + size - 1)}}}
}

// makePool makes a pool of a few addresses, all pools on one segment, unless it is there.
func (w *world) makePool(name string, from, size int) {
	p := &v1alpha1.MacPool{
		ObjectMeta: object("", name),
		Spec: v1alpha1.MacPoolSpec{
			VLAN: new(int32(50)), Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/27", Gateway: "192.168.50.1"}},
			Cooldown: &metav1.Duration{Duration: w.settings.cooldown}, Retain: &metav1.Duration{Duration: w.settings.retain},
			History: &metav1.Duration{Duration: w.settings.history}, Takeover: w.settings.takeover,
		},
	}
	setRange(&p.Spec, from, size)
	if err := w.admin.Create(background, p); !apierrors.IsAlreadyExists(err) {
		w.must(err)
		w.logf("pool %s leases %v", name, p.Spec.Subnets[0].Ranges)
	}
}

// settings are what is the same in all pools of a run.
type settings struct {
	cooldown, retain, history time.Duration
	takeover                  v1alpha1.Takeover
}

func drawSettings(t *rapid.T) settings {
	return settings{
		cooldown: pick(t, "cooldown", []time.Duration{time.Minute, 10 * time.Second}),
		retain:   pick(t, "retain", []time.Duration{10 * time.Minute, 0, time.Minute}),
		history:  pick(t, "history", []time.Duration{20 * time.Minute, 2 * time.Minute}),
		takeover: pick(t, "takeover", []v1alpha1.Takeover{v1alpha1.TakeoverProbe, v1alpha1.TakeoverProbe, v1alpha1.TakeoverStrict, v1alpha1.TakeoverImmediate}),
	}
}

func (*world) noOptions() cache.Options { return cache.Options{} }

// policed tells whether the policy is in force that keeps claims in use.
func (w *world) policed() bool { return !slices.Contains(w.withdrawn, "MacClaim") }
