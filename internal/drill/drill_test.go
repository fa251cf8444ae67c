// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// size is how much a drill does.
type size struct {
	// before are the pods of before the snapshot, lost the allocations and releases that the API will forget, storm the pods
	// that are started when it is back.
	before, lost, storm int
}

// drill is one of them.
type drill struct {
	t    *testing.T
	w    *world
	rng  *rand.Rand
	size size
	ns   string
	// wide has addresses for all, tight few, so that they go from one identity to another.
	wide, tight string
	wire        *wire
	refusals    counts
	// givenUp is a node that is off for good.
	givenUp string

	mu   sync.Mutex
	pods []*pod
}

// counts are numbers by name.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counts) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[name]++
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.of)) {
		all = append(all, fmt.Sprintf("%s×%d", name, c.of[name]))
	}
	return strings.Join(all, " ")
}

// newDrill makes a namespace and pools, and attaches the pods of before.
func newDrill(t *testing.T, w *world, seed uint64, s size) *drill {
	t.Helper()
	n := unique.Add(1)
	d := &drill{
		t: t, w: w, rng: rand.New(rand.NewPCG(seed, 0)), size: s, wire: &wire{},
		ns: fmt.Sprintf("drill-%d", n), wide: fmt.Sprintf("wide-%d", n), tight: fmt.Sprintf("tight-%d", n),
	}
	w.must(w.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: d.ns}}))
	d.makePools()
	for _, pool := range []string{d.wide, d.tight} {
		w.must(w.Create(t.Context(), &nadv1.NetworkAttachmentDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: d.ns, Name: "net-" + pool},
			Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: fmt.Sprintf(
				`{"cniVersion": "1.0.0", "name": "net-%s", "plugins": [{"type": "macvlan", "master": "eth0.50", "ipam": {"type": "macpool", "pool": %q}}, {"type": "macpool"}]}`,
				pool, pool)},
		}))
	}
	w.wire.Store(d.wire)
	return d
}

// tightSize is how many addresses the tight pool leases.
const tightSize = 24

// makePools makes the pools, as their administrator does, also for the second time.
func (d *drill) makePools() {
	d.t.Helper()
	for name, subnet := range map[string]v1alpha1.Subnet{
		d.wide: {CIDR: "10.20.0.0/22"},
		d.tight: {CIDR: "10.30.0.0/24", Ranges: []v1alpha1.PoolRange{{
			AddressRange: v1alpha1.AddressRange{Start: "10.30.0.10", End: v1alpha1.IPAddress(fmt.Sprintf("10.30.0.%d", 10+tightSize-1))},
		}}},
	} {
		pool := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MacPoolSpec{
			VLAN: ptr.To[int32](50), Segment: name, Subnets: []v1alpha1.Subnet{subnet},
			Cooldown: &metav1.Duration{Duration: cooldown},
		}}
		d.eventually("pool "+name+" to be made", func(ctx context.Context) error {
			return client.IgnoreAlreadyExists(d.w.Create(ctx, pool.DeepCopy()))
		})
	}
}

// eventually waits until check has no complaint.
func (d *drill) eventually(what string, check func(ctx context.Context) error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			d.t.Fatalf("waiting for %s: %v", what, last)
		}
	}
}

func (d *drill) anyNode() *node { return d.w.nodes[d.rng.IntN(len(d.w.nodes))] }

// together does n things at once, some at a time, and fails if one does.
func (d *drill) together(what string, n int, do func(ctx context.Context, i int) error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	var working sync.WaitGroup
	slots := make(chan struct{}, 16)
	errs := make([]error, n)
	for i := range n {
		slots <- struct{}{}
		working.Go(func() {
			defer func() { <-slots }()
			errs[i] = do(ctx, i)
		})
	}
	working.Wait()
	if err := errors.Join(errs...); err != nil {
		d.t.Fatalf("%s: %v\nrefusals: %s", what, err, &d.refusals)
	}
}

// plan is a pod to be.
type plan struct {
	name, set string
	node      *node
	pool      string
	ahead     bool
}

func (d *drill) planned(prefix string, i int, pool string) plan {
	return plan{name: fmt.Sprintf("%s-%d", prefix, i), node: d.anyNode(), pool: pool, ahead: d.rng.IntN(2) == 0}
}

// begin makes and attaches pods.
func (d *drill) begin(what string, plans []plan) {
	d.t.Helper()
	d.together(what, len(plans), func(ctx context.Context, i int) error {
		pl := plans[i]
		p, err := d.newPod(ctx, pl.name, pl.set, pl.node, pl.pool, pl.ahead)
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.pods = append(d.pods, p)
		d.mu.Unlock()
		return d.attach(ctx, p)
	})
}

// beforeSnapshot attaches what the snapshot will know.
func (d *drill) beforeSnapshot() {
	d.t.Helper()
	var plans []plan
	for i := range d.size.before {
		pl := d.planned("old", i, d.wide)
		if i%3 == 0 {
			pl.name, pl.set = fmt.Sprintf("db-%d", i), "db"
		}
		if i%4 == 1 {
			pl.pool = d.tight
		}
		plans = append(plans, pl)
	}
	d.begin("the pods of before", plans)
}

// lostTime is what the API will forget: pods that come, pods that go, replicas that move, addresses that go to others.
func (d *drill) lostTime() {
	d.t.Helper()
	for done := 0; done < d.size.lost; {
		batch := min(20, d.size.lost-done)
		var plans []plan
		var leaving []*pod
		d.rng.Shuffle(len(d.pods), func(i, j int) { d.pods[i], d.pods[j] = d.pods[j], d.pods[i] })
		leave := min(len(d.pods), batch/2+len(d.in(d.tight))/2)
		leaving, d.pods = d.pods[:leave], slices.Clone(d.pods[leave:])
		d.together("pods that go", len(leaving), func(ctx context.Context, i int) error { return d.remove(ctx, leaving[i]) })
		room := tightSize - len(d.in(d.tight)) // who goes is chance: the pool must not be full of those that stay
		for _, p := range leaving {
			if p.set != "" {
				plans = append(plans, plan{name: p.name, set: p.set, node: d.anyNode(), pool: p.pool, ahead: d.rng.IntN(2) == 0})
				if p.pool == d.tight {
					room--
				}
			}
		}
		for i := range batch {
			pool := d.wide
			if d.rng.IntN(4) == 0 && room > 0 {
				pool = d.tight
				room--
			}
			plans = append(plans, d.planned("lost", done+i, pool))
		}
		d.begin("pods that come", plans)
		done += batch
	}
}

func (d *drill) in(pool string) []*pod {
	var all []*pod
	for _, p := range d.pods {
		if p.pool == pool {
			all = append(all, p)
		}
	}
	return all
}

// isPaused reads why a pool is paused; empty if it is not.
func (d *drill) pauses(ctx context.Context) (map[string]string, error) {
	pauses := map[string]string{}
	for _, name := range []string{d.wide, d.tight} {
		pool := &v1alpha1.MacPool{}
		if err := d.w.Get(ctx, types.NamespacedName{Name: name}, pool); err != nil {
			return nil, err
		}
		if c := apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolAllocationPaused); c != nil {
			pauses[name] = c.Message
		}
	}
	return pauses, nil
}

// storm starts pods at once, and restarts the sandboxes of some that run. It returns what waits for the end of it.
func (d *drill) storm(resurrected []*pod) (wait func()) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	var plans []plan
	for i := range d.size.storm {
		plans = append(plans, d.planned("storm", i, d.wide))
	}
	restarted := slices.Clone(d.pods[:min(len(d.pods), 5)])
	d.pods = d.pods[len(restarted):]
	var working sync.WaitGroup
	var errs counts
	for _, pl := range plans {
		working.Go(func() {
			p, err := d.newPod(ctx, pl.name, pl.set, pl.node, pl.pool, pl.ahead)
			if err == nil {
				err = d.attach(ctx, p)
				d.mu.Lock()
				d.pods = append(d.pods, p)
				d.mu.Unlock()
			}
			if err != nil {
				errs.add(err.Error())
			}
		})
	}
	for _, p := range restarted {
		working.Go(func() {
			// It may be a pod that the API does not know: then it is refused until it ends.
			short, stop := context.WithTimeout(ctx, 5*time.Second)
			defer stop()
			_ = d.attach(short, p)
			d.mu.Lock()
			defer d.mu.Unlock()
			d.pods = append(d.pods, p)
		})
	}
	for _, p := range resurrected {
		working.Go(func() {
			short, stop := context.WithTimeout(ctx, 10*time.Second)
			defer stop()
			if d.attach(short, p) == nil {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.pods = append(d.pods, p)
			}
		})
	}
	return func() {
		d.t.Helper()
		working.Wait()
		cancel()
		if s := errs.String(); s != "" {
			d.t.Fatalf("the storm: %s\nrefusals: %s", s, &d.refusals)
		}
	}
}

func crdScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}
