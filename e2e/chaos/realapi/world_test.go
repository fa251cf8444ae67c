// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
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
		n, err := w.newNode(w.ctx, fmt.Sprintf("%s%d", farPrefix, i+1))
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
	w.background.Go(w.tendBrakes)
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

func (w *world) allNodes() []*node { return append(slices.Clone(w.nodes), w.farNodes...) }

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
