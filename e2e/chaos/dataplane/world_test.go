// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/e2e/chaos/report"
	"github.com/macpool/macpool/e2e/lab"
)

const (
	load = "load" // the namespace

	// scale divides kubelet's back-off, and is what the report calls its scale. What macpool itself waits for is not scaled.
	scale = 20

	// cooldown leaves room for an interface to go that was just being removed, and lets addresses be used again and again.
	cooldown = 2 * time.Second
)

// personalities are those of the hosts, by turns.
var personalities = []lab.Personality{
	{Runtime: lab.Containerd, Multus: lab.MultusThin},
	{Runtime: lab.CRIO, Multus: lab.MultusThick},
	{Runtime: lab.Containerd, Multus: lab.NoMultus},
	{Runtime: lab.CRIO, Multus: lab.NoMultus},
	{Runtime: lab.Containerd, Multus: lab.MultusThick},
	{Runtime: lab.CRIO, Multus: lab.MultusThin},
}

// host is a node and what is being done to it.
type host struct {
	*lab.Host

	// struck is held by whoever does something to the host as a whole.
	struck sync.Mutex

	mu       sync.Mutex
	on       bool // has power
	plugged  bool
	paused   bool      // its agent is
	steadyAt time.Time // since when it is on and plugged
}

func (h *host) set(change func(*host)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.on && h.plugged
	change(h)
	if !before && h.on && h.plugged {
		h.steadyAt = time.Now()
	}
}

// steady tells whether its pods have been on the wire for a while.
func (h *host) steady() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.on && h.plugged && time.Since(h.steadyAt) > time.Second
}

// domain is the layer 2 domain that it is in.
func (h *host) domain() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.plugged {
		return h.Name
	}
	return "the switch"
}

// world is the laboratory and everything that is known about it.
type world struct {
	*testing.T

	ctx   context.Context //nolint:containedctx // the run's life
	lab   *lab.Lab
	api   client.WithWatch
	seed  uint64
	begin time.Time
	hosts []*host // on which pods come and go
	// victims are those that are cut off for long.
	victims []*host
	strict  *network // whose addresses are never taken over
	split0  *appsv1.StatefulSet
	nets    []*network
	sets    []*appsv1.StatefulSet
	truth   *truth
	leases  *leaseTable
	scan    *scanner
	wire    *wireJudge
	asker   *asker
	prober  *lab.Prober
	// managers are two, without leader election (R-K1).
	managers []*lab.Process

	mu         sync.Mutex
	caught     *caught // set when violations are wanted
	report     report.Report
	violations int
}

// rng is the source of what somebody does: the same for the same seed, whatever others do.
func (w *world) rng(who string) *rand.Rand {
	var h uint64 = 14695981039346656037
	for _, c := range []byte(who) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(w.seed, h))
}

// newWorld starts everything.
func newWorld(t *testing.T, hosts int) *world {
	t.Helper()
	// Not the test's own: what is under way when a test has failed is to be seen to its end.
	w := &world{T: t, ctx: context.WithoutCancel(t.Context()), seed: *seedFlag, begin: time.Now()}
	w.report = report.Report{Harness: "dataplane", Seed: w.seed, Scale: scale, Figures: map[string]float64{}}
	w.truth, w.scan, w.asker = newTruth(w), newScanner(w), newAsker(w)
	if err := w.start(hosts); err != nil {
		w.showLogs()
		t.Fatal(err)
	}
	return w
}

func (w *world) start(hosts int) error {
	var err error
	if w.lab, err = lab.Start(w.ctx, isolation, options); err != nil {
		return err
	}
	w.lab.Witness = w.truth
	if w.api, err = w.lab.API.WatchClient(); err != nil {
		return err
	}
	for range 2 {
		if err := w.lab.StartManager(w.ctx); err != nil {
			return err
		}
		w.managers = append(w.managers, w.lab.Manager)
	}
	if err := w.api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: load}}); err != nil {
		return err
	}
	w.strict = newNetwork("strict", 70, 16, false)
	w.nets = []*network{newNetwork("vlan", 50, 64, false), newNetwork("bridged", 60, 48, true), w.strict}
	var vlans []int
	for _, n := range w.nets {
		vlans = append(vlans, n.vlan)
		if err := w.addNetwork(n); err != nil {
			return err
		}
	}
	if err := errors.Join(w.addSets(), w.splitSet()); err != nil {
		return err
	}
	w.leases = newLeaseTable(w)
	for i := range hosts {
		h, err := w.addHost(fmt.Sprintf("node-%d", i), personalities[i%len(personalities)], vlans)
		if err != nil {
			return err
		}
		w.hosts = append(w.hosts, h)
	}
	for i := range victims {
		h, err := w.addHost(fmt.Sprintf("victim-%d", i), personalities[i], vlans)
		if err != nil {
			return err
		}
		w.victims = append(w.victims, h)
	}
	if w.prober, err = w.lab.NewProber([4]byte{0x02, 0xaa, 0, 0}); err != nil {
		return err
	}
	if w.wire, err = newWireJudge(w); err != nil {
		return err
	}
	go w.scan.run()
	go w.wire.run()
	go w.asker.run(100 * time.Millisecond)
	go func() {
		for w.ctx.Err() == nil {
			time.Sleep(5 * time.Second)
			w.truth.forget()
		}
	}()
	return nil
}

func (w *world) addSets() error {
	for i := range 3 {
		labels := map[string]string{"app": fmt.Sprintf("set%d", i)}
		set := &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: load, Name: labels["app"]},
			Spec: appsv1.StatefulSetSpec{
				ServiceName: labels["app"], Replicas: new(int32(100)), Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{}},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
				},
			},
		}
		if err := w.api.Create(w.ctx, set); err != nil {
			return err
		}
		w.sets = append(w.sets, set)
	}
	return nil
}

func (w *world) addHost(name string, p lab.Personality, vlans []int) (*host, error) {
	node, err := w.lab.AddNode(w.ctx, name, vlans...)
	if err != nil {
		return nil, err
	}
	for _, n := range w.nets {
		if n.bridge {
			if err := node.AddBridge(fmt.Sprintf("br%d", n.vlan), n.vlan); err != nil {
				return nil, err
			}
		}
	}
	if err := node.StartAgent(w.ctx); err != nil {
		return nil, err
	}
	h := &host{}
	if h.Host, err = node.NewHost(p, scale); err != nil {
		return nil, err
	}
	h.set(func(h *host) { h.on, h.plugged = true, true })
	if err := node.ReportReady(w.ctx, true); err != nil {
		return nil, err
	}
	h.Kubelet.Start()
	return h, nil
}

// everywhere are all hosts.
func (w *world) everywhere() []*host { return slices.Concat(w.hosts, w.victims) }

// await polls until f has nothing to complain about.
func (w *world) await(what string, patience time.Duration, f func() error) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
	}
}
