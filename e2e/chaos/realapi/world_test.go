// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/e2e/chaos/report"
	"github.com/macpool/macpool/e2e/lab"
)

// world is a cluster and all that is done to it.
type world struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // the run's life
	clock   clock.WithTicker
	seed    uint64
	dir     string
	options lab.Options

	plane    *plane
	upstream *faultproxy.Upstream
	plan     *plan
	admin    client.Client
	managers []*manager
	nodes    []*node
	etcd     *unit
	api      *unit

	truth   *oracle.Truth
	ledger  *oracle.Ledger
	history *oracle.History

	// back is held while pods become what an API says that has gone back in time; pods that do something hold it for reading, and
	// come to an end when hurry is set.
	back  sync.RWMutex
	hurry atomic.Bool
	// background is what goes on beside the pods: watchers, restarts.
	background sync.WaitGroup
	cancel     context.CancelFunc

	slots []*slot
	// far are slots with nodes of their own.
	far      []*slot
	farNodes []*node
	away     atomic.Bool  // one of these is
	planes   atomic.Int64 // how often etcd or the API server was killed
	starts   atomic.Int64 // how often the API server was started
	blind    atomic.Bool  // the log may lack something, and the API was not listed since
	unsure   atomic.Bool  // the API is being brought up to what the nodes know
	editing  atomic.Int32 // pools that are being edited
	count    counters
	begin    time.Time

	// quiet: no faults and no changes any more; settleBy is when all must be at rest.
	quiet    atomic.Bool
	calm     bool
	settleBy time.Time

	mu      sync.Mutex
	luck    *mathrand.Rand
	report  report.Report
	listed  map[oracle.Kind]int // violations that were printed
	calls   map[string]*call    // pod -> its ADD
	codes   map[string]int      // what callers were refused with
	samples map[string]string   // code -> the last message
}

// counters are the run's totals.
type counters struct {
	adds, dels, failed, checks, spooled, hangups, lost atomic.Int64
	// What an ADD was for: a new pod, a replaced pod of a StatefulSet, a sandbox that was made again.
	fresh, replaced, again atomic.Int64
}

// manager is one replica.
type manager struct {
	*unit
	name  string
	proxy *faultproxy.Proxy
}

const (
	loadNamespace = "load"
	cooldown      = 2 * time.Second
)

// newWorld starts everything.
func newWorld(t *testing.T, seed uint64, o worldOptions) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w := &world{
		t: t, ctx: ctx, cancel: cancel, clock: clock.RealClock{}, seed: seed, dir: filepath.Join(isolation.Dir, t.Name()), options: options,
		history: &oracle.History{},
	}
	w.begin = w.clock.Now()
	t.Logf("seed %d", seed)
	w.report = report.Report{Harness: "realapi", Seed: seed, Figures: map[string]float64{}}
	w.truth = oracle.NewTruth(w.violation)
	w.ledger = oracle.NewLedger(w.truth, w.violation, func(string) time.Duration { return cooldown }, w.history.Released)
	w.plan, w.luck = newPlan(w, w.rng("plan")), w.rng("luck")
	if err := w.start(o); err != nil {
		w.showLogs()
		t.Fatal(err)
	}
	return w
}

type worldOptions struct {
	nodes, farNodes, managers int
	leaderElect               bool
}

func (w *world) start(o worldOptions) error {
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	var err error
	if w.plane, err = startPlane(w.ctx, w.dir, w.options); err != nil {
		return err
	}
	w.background.Go(w.readAudit)
	if err := w.plane.install(w.ctx); err != nil {
		return err
	}
	if w.admin, err = newAdmin(w.plane); err != nil {
		return err
	}
	if w.upstream, err = faultproxy.NewUpstream(w.plane.url, w.plane.ca); err != nil {
		return err
	}
	if w.etcd, err = w.newUnit("etcd", false, func() (*lab.Process, error) {
		if p := w.plane.process("etcd"); p.Running() {
			return p, nil
		}
		err := w.plane.startEtcd()
		return w.plane.process("etcd"), err
	}); err != nil {
		return err
	}
	// It may end by itself when etcd is away.
	if w.api, err = w.newUnit("kube-apiserver", true, func() (*lab.Process, error) {
		if p := w.plane.process("kube-apiserver"); p.Running() {
			return p, nil
		}
		w.starts.Add(1)
		err := w.plane.startAPI()
		return w.plane.process("kube-apiserver"), err
	}); err != nil {
		return err
	}
	w.background.Go(w.fillGaps)
	for i := range o.nodes {
		n, err := w.newNode(w.ctx, fmt.Sprintf("node-%d", i+1))
		if err != nil {
			return err
		}
		w.nodes = append(w.nodes, n)
	}
	for i := range o.farNodes {
		n, err := w.newNode(w.ctx, fmt.Sprintf("far-%d", i+1))
		if err != nil {
			return err
		}
		n.far = true
		w.farNodes = append(w.farNodes, n)
	}
	for range o.managers {
		if _, err := w.addManager(o.leaderElect); err != nil {
			return err
		}
	}
	return w.furnish()
}

func newAdmin(p *plane) (client.Client, error) {
	scheme := k8sruntime.NewScheme()
	for _, add := range []func(*k8sruntime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, nadv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return client.New(p.admin, client.Options{Scheme: scheme})
}

// addManager starts one more replica.
func (w *world) addManager(leaderElect bool) (*manager, error) {
	w.mu.Lock()
	m := &manager{name: fmt.Sprintf("manager-%d", len(w.managers)+1)}
	w.managers = append(w.managers, m)
	w.mu.Unlock()
	var err error
	if m.proxy, err = faultproxy.New(w.ctx, m.name, w.upstream, w.plan, w.clock); err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(w.dir, m.name+".kubeconfig")
	if err := w.plane.writeKubeconfig(w.ctx, kubeconfig, m.proxy, "macpool-manager", "", ""); err != nil {
		return nil, err
	}
	m.unit, err = w.newUnit(m.name, true, func() (*lab.Process, error) {
		return lab.StartProcess(w.dir, lab.Command{
			Name: m.name, Path: filepath.Join(w.options.Bin, "manager"), Env: []string{"GOGC=200"},
			Args: []string{
				"--kubeconfig=" + kubeconfig, "--health-probe-bind-address=0", "--metrics-bind-address=0",
				fmt.Sprintf("--leader-elect=%t", leaderElect), fmt.Sprintf("--recovery-grace=%s", *graceFlag),
				fmt.Sprintf("--restore-grace=%s", backupGrace),
			},
		})
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// furnish makes the namespace, the pools and the networks.
func (w *world) furnish() error {
	for _, ns := range []string{loadNamespace} {
		if err := w.admin.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
			return err
		}
	}
	for _, pool := range pools() {
		if err := w.admin.Create(w.ctx, pool); err != nil {
			return err
		}
		if err := w.admin.Create(w.ctx, network(loadNamespace, pool.Name)); err != nil {
			return err
		}
	}
	return nil
}

func network(ns, pool string) *nadv1.NetworkAttachmentDefinition {
	return &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: pool},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: fmt.Sprintf(
			`{"cniVersion": "1.0.0", "name": %q, "plugins": [{"type": "macvlan", "master": "eth0.50", "ipam": {"type": "macpool", "pool": %q}}, {"type": "macpool"}]}`,
			pool, pool)},
	}
}

// mainSize and tightSize are how many addresses the pools have.
const (
	mainSize  = 480
	tightSize = 8
)

func pools() []*v1alpha1.MacPool { return []*v1alpha1.MacPool{mainPool(), tightPool(), quickPool()} }

func mainPool() *v1alpha1.MacPool { return newPool("main", 50, "10.50.0.20", "10.50.1.243") }

func tightPool() *v1alpha1.MacPool { return newPool("tight", 51, "10.51.0.20", "10.51.0.27") }

func newPool(name string, vlan int32, start, end v1alpha1.IPAddress) *v1alpha1.MacPool {
	return &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: &vlan,
			Subnets: []v1alpha1.Subnet{{
				CIDR:   v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", vlan)),
				Ranges: []v1alpha1.PoolRange{{AddressRange: v1alpha1.AddressRange{Start: start, End: end}}},
			}},
			Cooldown: &metav1.Duration{Duration: cooldown},
			Retain:   &metav1.Duration{Duration: 3 * time.Second},
			History:  &metav1.Duration{Duration: 30 * time.Second},
		},
	}
}

func (w *world) allNodes() []*node { return append(slices.Clone(w.nodes), w.farNodes...) }

// readAudit feeds the log to the ledger as it comes.
func (w *world) readAudit() {
	lines := bufio.NewReaderSize(w.plane.auditOut, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		e, err := oracle.ParseEvent(line)
		if err == nil && e != nil {
			w.ledger.Add(e)
		}
		// A line that was cut off is that of an API server that was killed: it counts as missing.
	}
}

// fillGaps lists what there is each time that the API server was started again: what it did last may be missing in its log.
func (w *world) fillGaps() {
	for known := int64(0); w.pause(100 * time.Millisecond); {
		starts := w.starts.Load()
		if starts == known && w.api.alive() {
			continue
		}
		w.blind.Store(true)
		if !w.api.alive() || w.plane.awaitAPI(w.ctx) != nil || w.list() != nil {
			continue
		}
		known = starts
		w.blind.Store(false)
	}
}

// list shows the ledger what there is.
func (w *world) list() error {
	var leases v1alpha1.MacLeaseList
	var claims v1alpha1.MacClaimList
	for _, list := range []client.ObjectList{&leases, &claims} {
		if err := w.admin.List(w.ctx, list); err != nil {
			return err
		}
	}
	now := w.clock.Now()
	version := func(text string) uint64 {
		n, _ := strconv.ParseUint(text, 10, 64)
		return n
	}
	var events []*oracle.Event
	for i := range leases.Items {
		l := &leases.Items[i]
		o := &oracle.Lease{
			UID: string(l.UID), Pool: l.Spec.PoolName, MAC: string(l.Spec.MAC), Identity: l.Spec.ClaimRef.Namespace + "/" + l.Spec.ClaimRef.Name,
			ClaimUID: string(l.Spec.ClaimRef.UID), Released: l.Spec.ReleasedAt != nil, Reusable: l.Spec.ReusableAt != nil,
		}
		if l.Spec.ReleasedAt != nil {
			o.At = l.Spec.ReleasedAt.UTC().Format(time.RFC3339) // as it is in the log
		}
		for _, ip := range l.Spec.IPs {
			o.IPs = append(o.IPs, string(ip))
		}
		events = append(events, &oracle.Event{Name: l.Name, Version: version(l.ResourceVersion), Lease: o})
	}
	w.ledger.Listed("macleases", version(leases.ResourceVersion), now, events)
	events = nil
	for i := range claims.Items {
		c := &claims.Items[i]
		o := &oracle.Claim{UID: string(c.UID), Lease: c.Status.LeaseName}
		if h := c.Status.Holder; h != nil {
			o.HolderUID, o.HolderNode, o.Generation = string(h.PodUID), h.NodeName, h.Generation
		}
		events = append(events, &oracle.Event{Namespace: c.Namespace, Name: c.Name, Version: version(c.ResourceVersion), Claim: o})
	}
	w.ledger.Listed("macclaims", version(claims.ResourceVersion), now, events)
	return nil
}

// rng is a source of chance that depends on the seed and on what it is for.
func (w *world) rng(what string) *mathrand.Rand {
	h := w.seed
	for _, c := range []byte(what) {
		h = h*1099511628211 ^ uint64(c)
	}
	return mathrand.New(mathrand.NewPCG(w.seed, h))
}

// between is a time between two.
func (w *world) between(rng *mathrand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(rng.Int64N(int64(to-from)+1))
}

// pause waits; false if the run has ended meanwhile.
func (w *world) pause(d time.Duration) bool {
	select {
	case <-w.clock.After(d):
		return true
	case <-w.ctx.Done():
		return false
	}
}

// chance tells yes in so many of a thousand, for whoever has no source of chance of its own.
func (w *world) chance(perMille int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.luck.IntN(1000) < perMille
}

func (w *world) newID() string {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// violation notes what must not be, once in the log and for ever in the report.
func (w *world) violation(v oracle.Violation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.report
	switch v.Kind { //nolint:exhaustive // the others are listed
	case oracle.Duplicate:
		r.Duplicates++
	case oracle.FalseRelease:
		r.FalseReleases++
	case oracle.LostLease:
		r.LostLeases++
	case oracle.Orphan:
		r.Orphans++
	}
	text := fmt.Sprintf("%s: %s", v.Kind, v.Text)
	if len(r.Violations) < 200 {
		r.Violations = append(r.Violations, text)
	}
	if w.listed == nil {
		w.listed = map[oracle.Kind]int{}
	}
	if w.listed[v.Kind]++; w.listed[v.Kind] <= 8 {
		w.t.Errorf("[%s] VIOLATION %s", w.elapsed(), text)
	}
}

// inject counts a fault that was done.
func (w *world) inject(id, class, moment string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.AddFault(id, class, moment, 1)
}

func (w *world) elapsed() string { return w.clock.Since(w.begin).Round(time.Second).String() }

func (w *world) logf(format string, args ...any) {
	w.t.Logf("[%s] %s", w.elapsed(), fmt.Sprintf(format, args...))
}

// progress says every so often how far the run is, and moves the ledger on.
func (w *world) progress(every time.Duration) {
	last, lastAt := w.count.adds.Load(), w.clock.Now()
	requests, took := w.upstream.Load()
	for w.pause(time.Second) {
		now := w.clock.Now()
		if !w.blind.Load() && !w.unsure.Load() {
			w.ledger.Advance(now)
		}
		w.truth.Forget(now.Add(-2 * time.Minute))
		if now.Sub(lastAt) < every {
			continue
		}
		adds := w.count.adds.Load()
		n, t := w.upstream.Load()
		latency := (t - took) / time.Duration(max(1, n-requests))
		perSecond := float64(n-requests) / now.Sub(lastAt).Seconds()
		requests, took = n, t
		w.logf("%.0f ADD/s; API %.0f/s in %s; ADD %d (new %d, replaced %d, again %d), refused %d, DEL %d, CHECK %d; attached %d; faults %d; log %+v",
			float64(adds-last)/now.Sub(lastAt).Seconds(), perSecond, latency.Round(100*time.Microsecond), adds, w.count.fresh.Load(), w.count.replaced.Load(), w.count.again.Load(),
			w.count.failed.Load(), w.count.dels.Load(), w.count.checks.Load(), len(w.truth.Attached()), w.faults(), w.ledger.Stats())
		last, lastAt = adds, now
		if *verboseFlag {
			doing := map[any]int{}
			for _, s := range w.slots {
				doing[s.doing.Load()]++
			}
			w.mu.Lock()
			w.t.Logf("    slots: %v; refusals: %v", doing, w.codes)
			w.mu.Unlock()
		}
	}
}

func (w *world) faults() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sum int64
	for _, f := range w.report.Faults {
		sum += f.Count
	}
	return sum
}

// showLogs copies the logs to where they outlive the run, and says where.
func (w *world) showLogs() {
	dir, err := os.MkdirTemp("/var/tmp", "macpool-chaos-logs-")
	if err != nil {
		return
	}
	for _, pattern := range []string{"*.log", "plane/*.log"} {
		logs, _ := filepath.Glob(filepath.Join(w.dir, pattern))
		for _, path := range logs {
			_ = exec.Command("cp", path, dir).Run() //nolint:noctx // it ends by itself
		}
	}
	w.t.Logf("the logs are in %s", dir)
}

// finish writes the report and ends everything.
func (w *world) finish(name, replay string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.report
	r.Replay, r.Seconds = replay, w.clock.Since(w.begin).Seconds()
	r.Adds, r.Dels = w.count.adds.Load(), w.count.dels.Load()
	r.Steps = r.Adds + r.Dels + w.count.failed.Load() + w.count.checks.Load()
	stats := w.ledger.Stats()
	for key, n := range map[string]int64{
		"newPods": w.count.fresh.Load(), "replacedPods": w.count.replaced.Load(), "sandboxesMadeAgain": w.count.again.Load(),
		"refusedADDs": w.count.failed.Load(), "hangUps": w.count.hangups.Load(), "lostDELs": w.count.lost.Load(),
		"spooledDELs": w.count.spooled.Load(), "CHECKs": w.count.checks.Load(), "auditedWrites": stats.Writes, "auditGaps": stats.Gaps,
		"leasesGiven": stats.Leases, "leasesReleased": stats.Releases,
	} {
		r.Figures[key] = float64(n)
	}
	r.Figures["addsPerSecond"] = float64(r.Adds) / r.Seconds
	if err := r.Write(os.Getenv(report.DirEnv), name); err != nil {
		w.t.Error(err)
	}
}

// end stops the processes of the run.
func (w *world) end() {
	for _, m := range w.managers {
		w.retire(m.unit)
	}
	for _, n := range w.allNodes() {
		w.retire(n.agent)
		if n.disk != "" {
			_ = os.RemoveAll(n.disk)
		}
	}
	w.retire(w.api)
	w.retire(w.etcd)
	w.cancel()
	_ = w.plane.auditIn.Close()
	w.background.Wait()
	if w.t.Failed() {
		w.showLogs()
	}
}
