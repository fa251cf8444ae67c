// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/cli/clitest"
)

// command is check with a clock that goes on by itself when it waits; meanwhile pauses is called.
func command(t *testing.T, pauses func(), args ...string) (o *options, out, said *bytes.Buffer) {
	t.Helper()
	streams, _, out, said := genericiooptions.NewTestIOStreams()
	f := cli.NewFactory(streams)
	f.Config.KubeConfig = &api.Kubeconfig
	clk := clocktesting.NewFakeClock(time.Now())
	f.Clock = clk
	o = &options{Factory: f, pause: func(_ context.Context, d time.Duration) error {
		clk.Step(d)
		pauses()
		return nil
	}}
	c := &cobra.Command{}
	o.addFlags(c)
	clitest.Must(t, c.ParseFlags(args))
	return o, out, said
}

// world is a namespace whose pods get addresses as the manager and the agents give them.
type world struct {
	*testing.T

	namespace string
	binder    *binding.Binder
}

func newWorld(t *testing.T, namespace string) *world {
	t.Helper()
	clitest.Must(t, api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	return &world{T: t, namespace: namespace, binder: &binding.Binder{Client: &api, Index: binding.NewIndex(), Clock: clock.RealClock{}}}
}

// pool makes a pool with a segment of its own, and calls it ready.
func (w *world) pool(name string, change ...func(*v1alpha1.MacPoolSpec)) *v1alpha1.MacPool {
	w.Helper()
	p := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MacPoolSpec{
		VLAN: ptr.To[int32](50), Segment: name, Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24", Gateway: "192.168.50.1"}},
	}}
	for _, c := range change {
		c(&p.Spec)
	}
	clitest.Must(w.T, api.Create(w.Context(), p))
	w.Cleanup(func() { _ = api.Delete(context.WithoutCancel(w.Context()), p) })
	apimeta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonValid, ObservedGeneration: p.Generation,
	})
	clitest.Must(w.T, api.Status().Update(w.Context(), p))
	clitest.Must(w.T, w.binder.Index.SetPool(p))
	return p
}

// attach makes a pod on node n1 that holds a claim of the pool.
func (w *world) attach(name string, pool *v1alpha1.MacPool) (*corev1.Pod, *v1alpha1.MacClaim) {
	w.Helper()
	pod, claim, err := w.tryAttach(name, pool)
	clitest.Must(w.T, err)
	return pod, claim
}

func (w *world) tryAttach(name string, pool *v1alpha1.MacPool) (*corev1.Pod, *v1alpha1.MacClaim, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
	if err := api.Create(w.Context(), pod); err != nil {
		return nil, nil, err
	}
	claim, err := w.binder.EnsureClaim(w.Context(), binding.NewClaim(pod, pool, "net1", binding.Wish{}))
	if err != nil {
		return nil, nil, err
	}
	claim, err = w.binder.Bind(w.Context(), claim, pool, &v1alpha1.Holder{PodName: pod.Name, PodUID: pod.UID, NodeName: "n1", Interface: "net1"})
	return pod, claim, err
}

func (w *world) lease(claim *v1alpha1.MacClaim) *v1alpha1.MacLease {
	w.Helper()
	l := &v1alpha1.MacLease{}
	clitest.Must(w.T, api.Get(w.Context(), client.ObjectKey{Name: claim.Status.LeaseName}, l))
	return l
}

// clear deletes everything that the test has left.
func (w *world) clear() {
	ctx := context.WithoutCancel(w.Context())
	var claims v1alpha1.MacClaimList
	_ = api.List(ctx, &claims)
	for i := range claims.Items {
		_ = api.Delete(ctx, &claims.Items[i])
	}
	_ = api.DeleteAllOf(ctx, &v1alpha1.MacLease{})
	_ = api.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(w.namespace), client.GracePeriodSeconds(0))
}

// TestSeededViolations proves R-O3 on a real API server: in a world in order there is no violation; of each of the invariants I1 to I8 one is
// seeded, by writing objects, and all of them are found and named, with the exit status that says so.
func TestSeededViolations(t *testing.T) {
	w := newWorld(t, "seeded")
	t.Cleanup(w.clear)
	pools := map[string]*v1alpha1.MacPool{}
	for _, id := range []string{"i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8"} {
		pools[id] = w.pool(id, func(s *v1alpha1.MacPoolSpec) {
			if id == "i8" {
				s.MaxPerNamespace = ptr.To[int32](1)
			}
		})
	}
	claims := map[string]*v1alpha1.MacClaim{}
	for _, name := range []string{"i1-a", "i1-b", "i2", "i3", "i4", "i5", "i6", "i7", "i8"} {
		id, _, _ := strings.Cut(name, "-")
		_, claims[name] = w.attach(name, pools[id])
	}

	o, out, said := command(t, func() { t.Error("a world in order is looked at again") })
	if err := o.run(t.Context()); err != nil {
		t.Fatalf("in order: %v\n%s%s", err, out, said)
	}
	clitest.Golden(t, "in-order", out.String())

	set := func(name string, change func(*v1alpha1.MacLeaseSpec)) {
		l := w.lease(claims[name])
		change(&l.Spec)
		clitest.Must(t, api.Update(t.Context(), l))
	}
	seed := func(name, pool, claim, mac string) {
		l := &v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: w.lease(claims[claim]).Spec}
		l.Spec.IPs, l.Spec.MAC = []v1alpha1.IPAddress{v1alpha1.IPAddress(strings.TrimPrefix(name, pool+"."))}, v1alpha1.MACAddress(mac)
		clitest.Must(t, api.Create(t.Context(), l))
	}
	set("i1-b", func(s *v1alpha1.MacLeaseSpec) { s.MAC = w.lease(claims["i1-a"]).Spec.MAC })
	set("i2", func(s *v1alpha1.MacLeaseSpec) { s.ReleasedAt = new(metav1.Now()) })
	claims["i3"].Status.Holder.NodeName = "n2"
	clitest.Must(t, api.Status().Update(t.Context(), claims["i3"]))
	claims["i4"].Status.IPs = []string{"192.168.50.250"}
	clitest.Must(t, api.Status().Update(t.Context(), claims["i4"]))
	clitest.Must(t, api.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "i5"}}, client.GracePeriodSeconds(0)))
	clitest.Must(t, api.Delete(t.Context(), claims["i5"]))
	set("i6", func(s *v1alpha1.MacLeaseSpec) {
		to := metav1.Now()
		s.LeasedAt = metav1.NewTime(to.Add(3 * time.Second))
		s.History = []v1alpha1.LeaseHistory{{Namespace: "seeded", Claim: "other", From: to, To: to, Reason: v1alpha1.EndAgentReport}}
	})
	seed("i7.192.168.50.1", "i7", "i7", "02:32:00:a8:32:01")
	seed("i8.192.168.50.200", "i8", "i8", "02:32:00:a8:32:c8")

	looks := 0
	o, out, said = command(t, func() { looks++ })
	if err := o.run(t.Context()); !errors.Is(err, cli.ErrFound) {
		t.Errorf("the exit is %v, want %v", err, cli.ErrFound)
	}
	clitest.Golden(t, "seeded", out.String())
	if looks < 2 || !strings.Contains(said.String(), "looking again in 5s, and for 1m20s at most") {
		t.Errorf("looked again %d times, and said\n%s", looks, said)
	}

	o, out, _ = command(t, func() {}, "-o", "json")
	if err := o.run(t.Context()); !errors.Is(err, cli.ErrFound) {
		t.Errorf("as JSON the exit is %v", err)
	}
	var got answer
	clitest.Must(t, json.Unmarshal(out.Bytes(), &got))
	ids := map[string]bool{}
	for _, v := range got.Violations {
		ids[v.Invariant] = true
	}
	if len(ids) != 8 {
		t.Errorf("as JSON the invariants are %v", ids)
	}
}

// R-O3: what is mended while check looks is no violation.
func TestMended(t *testing.T) {
	w := newWorld(t, "mended")
	t.Cleanup(w.clear)
	_, claim := w.attach("db-0", w.pool("mended"))
	l := w.lease(claim)
	l.Spec.ReleasedAt = new(metav1.Now())
	clitest.Must(t, api.Update(t.Context(), l))
	o, out, said := command(t, func() {
		l.Spec.ReleasedAt = nil
		clitest.Must(t, api.Update(t.Context(), l))
	})
	if err := o.run(t.Context()); err != nil {
		t.Errorf("%v\n%s%s", err, out, said)
	}
	if !strings.Contains(out.String(), "gone, or written anew, at the second look: 1") {
		t.Errorf("it says\n%s", out)
	}
}

// R-O3: an agent that cannot be asked is said as not compared, and is an error for who wants that.
func TestUnasked(t *testing.T) {
	report := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "n9"}}
	clitest.Must(t, api.Create(t.Context(), report))
	t.Cleanup(func() { _ = api.Delete(context.WithoutCancel(t.Context()), report) })
	o, out, _ := command(t, func() {})
	clitest.Must(t, o.run(t.Context()))
	clitest.Golden(t, "unasked", out.String())
	o, _, _ = command(t, func() {}, "--require-agents")
	if err := o.run(t.Context()); err == nil || !strings.Contains(err.Error(), "1 agent could not be asked\nnode n9: no pod of the agent runs there") {
		t.Errorf("with --require-agents: %v", err)
	}

	// A pod that is there, on a node that does not answer.
	w := newWorld(t, "unasked")
	t.Cleanup(w.clear)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: "macpool-agent-x",
			Labels: map[string]string{"app.kubernetes.io/name": "macpool", "app.kubernetes.io/component": "agent"},
		},
		Spec: corev1.PodSpec{NodeName: "n9", Containers: []corev1.Container{{Name: "agent", Image: "agent"}}},
	}
	clitest.Must(t, api.Create(t.Context(), pod))
	pod.Status.Phase = corev1.PodRunning
	clitest.Must(t, api.Status().Update(t.Context(), pod))
	o, out, _ = command(t, func() {})
	clitest.Must(t, o.run(t.Context()))
	if !strings.Contains(out.String(), "agent of node n9: running /agent in pod unasked/macpool-agent-x: ") {
		t.Errorf("it says\n%s", out)
	}
}

// R-O3: while pods come and go, as manager and agents do it, there is no violation.
func TestChurn(t *testing.T) {
	w := newWorld(t, "churn")
	t.Cleanup(w.clear)
	pool := w.pool("churn")
	ctx, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	var rounds atomic.Int64
	defer workers.Wait()
	defer stop()
	for i := range 4 {
		workers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := w.comeAndGo(fmt.Sprintf("pod-%d-%d", i, n), pool); err != nil { //nolint:contextcheck // it ends with the test
					t.Error(err)
					return
				}
				rounds.Add(1)
			}
		})
	}
	for rounds.Load() < 8 && !t.Failed() {
		time.Sleep(10 * time.Millisecond)
	}
	for looks, before := 0, rounds.Load(); (looks < 5 || rounds.Load() < before+20) && !t.Failed(); looks++ {
		o, out, said := command(t, func() { time.Sleep(250 * time.Millisecond) })
		if err := o.run(t.Context()); err != nil {
			t.Errorf("%v\n%s%s", err, out, said)
		}
	}
	t.Logf("%d pods came and went", rounds.Load())
}

// comeAndGo is the life of a pod.
func (w *world) comeAndGo(name string, pool *v1alpha1.MacPool) error {
	pod, claim, err := w.tryAttach(name, pool)
	if err != nil {
		return err
	}
	if err := api.Delete(w.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(claim)
	if err := w.binder.ClearHolder(w.Context(), key, pod.UID, claim.Status.Holder.Generation, binding.AgentReport("n1")); err != nil {
		return err
	}
	if err := api.Delete(w.Context(), claim); err != nil {
		return err
	}
	return w.binder.Release(w.Context(), claim.Status.LeaseName, claim.UID, v1alpha1.LeaseHistory{Reason: v1alpha1.EndAgentReport})
}
