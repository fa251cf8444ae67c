// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/controllers"
	"github.com/macpool/macpool/internal/accesstest"
	"github.com/macpool/macpool/internal/agent"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/timeline"
	"github.com/macpool/macpool/internal/view"
)

// Times are a fifth to a tenth of those of a cluster, so that a drill takes seconds.
const (
	renew    = time.Second
	grace    = 3 * time.Second
	silence  = 8 * time.Second
	cooldown = 2 * time.Second
	// patience is how long is waited for what takes moments.
	patience = 2 * time.Minute
)

// root is the root of the source tree.
var root = filepath.Join("..", "..")

// world is a cluster: a control plane, a manager and some nodes with their agents.
type world struct {
	client.Client

	t           *testing.T
	plane       *plane
	nodes       []*node
	stopManager func()
	scheme      *runtime.Scheme
	// wire is that of the drill that is going on.
	wire atomic.Pointer[wire]
}

func newWorld(t *testing.T, nodes int) *world {
	t.Helper()
	w := &world{t: t, plane: startPlane(t), scheme: runtime.NewScheme()}
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, nadv1.AddToScheme} {
		w.must(add(w.scheme))
	}
	var err error
	w.Client, err = client.New(w.plane.config, client.Options{Scheme: w.scheme})
	w.must(err)
	// A right that is missing in config fails a drill.
	w.must(accesstest.Install(t.Context(), w.plane.config, root))
	for i := range nodes {
		w.nodes = append(w.nodes, w.newNode(fmt.Sprintf("node-%d", i)))
	}
	w.startManager()
	for _, n := range w.nodes {
		n.start()
	}
	t.Cleanup(func() {
		for _, n := range w.nodes {
			n.stop()
		}
		w.stopManager()
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// startManager runs a manager as cmd/manager does, and starts it anew when it says that it has to.
func (w *world) startManager() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			err := w.runManager(ctx)
			switch {
			case errors.Is(err, controllers.ErrWentBack):
			case err != nil && ctx.Err() == nil:
				// It could not begin, since the API server is not there; its Deployment starts it again.
				time.Sleep(200 * time.Millisecond)
			}
		}
	})
	w.stopManager = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
}

func (w *world) runManager(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx) // what a manager that ends leaves behind ends with it
	defer cancel()
	clk := clock.RealClock{}
	link := &timeline.Link{Clock: clk, Broken: func() {}, Back: func() {}}
	config := accesstest.AsManager(w.plane.config)
	config.Wrap(link.Wrap)
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: w.scheme, Cache: view.CacheOptions(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)}, Logger: logr.Discard(),
	})
	if err != nil {
		return err
	}
	live, err := client.New(config, client.Options{Scheme: w.scheme})
	if err != nil {
		return err
	}
	feed, wake := view.NewFeed(), make(chan event.TypedGenericEvent[*v1alpha1.MacClaim])
	gate := timeline.New(live, clk, timeline.Times{Silence: silence, Empty: grace})
	link.Broken, link.Back = func() { gate.Doubt() }, func() { gate.Doubt() }
	binder := &binding.Binder{Client: live, Index: feed.Index, Clock: clk, Gate: gate.Check}
	recorder := mgr.GetEventRecorder("macpool-manager")
	recovery := &controllers.Recovery{
		Client: mgr.GetClient(), Reader: live, Binder: binder, Gate: gate, Recorder: recorder, Clock: clk, Grace: grace,
	}
	for _, c := range []interface {
		SetupWithManager(context.Context, ctrl.Manager) error
	}{
		feed, recovery,
		&controllers.MacPoolReconciler{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Feed: feed, Clock: clk, Wake: wake, Recovery: recovery},
		&controllers.MacClaimReconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Feed: feed, Recorder: recorder, Clock: clk, Wake: wake, Gate: gate.Check,
		},
		&controllers.PodReconciler{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Recorder: recorder, Clock: clk, Gate: gate.Check},
		&controllers.LeaseReconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Clock: clk, Wake: wake, Gate: gate.Check, OrphanAfter: 5 * time.Second,
		},
		&controllers.HolderReconciler{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Recorder: recorder, Clock: clk, Gate: gate.Check},
		&controllers.MacNodeReconciler{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: clk, Silence: silence},
	} {
		if err := c.SetupWithManager(ctx, mgr); err != nil {
			return err
		}
	}
	return mgr.Start(ctx)
}

// node is a machine with its agent, its container runtime and its kubelet, of which the test plays the two latter.
type node struct {
	name, socket, state string
	world               *world

	mu      sync.Mutex
	running func() // stops the agent; nil while it does not run
}

func (w *world) newNode(name string) *node {
	w.t.Helper()
	dir, err := os.MkdirTemp("", "drill")
	w.must(err)
	w.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &node{name: name, socket: filepath.Join(dir, "run", "agent.sock"), state: filepath.Join(dir, "state"), world: w}
	w.ensureNode(name)
	return n
}

// ensureNode makes the Node if it is not there, as a kubelet does, and calls it ready.
func (w *world) ensureNode(name string) {
	w.t.Helper()
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	w.must(client.IgnoreAlreadyExists(w.Create(w.t.Context(), object)))
	w.must(w.Get(w.t.Context(), client.ObjectKeyFromObject(object), object))
	object.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	w.must(w.Status().Update(w.t.Context(), object))
}

// start starts the agent.
func (n *node) start() {
	n.world.t.Helper()
	logger := logr.Discard()
	if os.Getenv("MACPOOL_DRILL_LOG") != "" {
		logger = stderrLog(n.name)
	}
	a, err := agent.NewOn(accesstest.AsAgent(n.world.plane.config, n.name), agent.Parts{
		RemoveLink: func(netns, _, _ string) error {
			if wire := n.world.wire.Load(); wire != nil {
				wire.cut(n, netns)
			}
			return nil
		},
	}, agent.Options{
		NodeName: n.name, Socket: n.socket, StateDir: n.state, NetNSDirs: []string{"/nowhere"}, AllowedUID: uint32(os.Getuid()), Log: logger, //nolint:gosec // G115: a uid
		Times: agent.Times{
			Heartbeat: 500 * time.Millisecond, Renew: renew, API: 3 * time.Second, ManagerWait: 100 * time.Millisecond,
			Reap: time.Second, ReapGrace: 2 * time.Second, ClearRetry: time.Second, Spool: time.Second, Takeover: silence,
			Gate: timeline.Times{Silence: silence, Empty: grace},
		},
	})
	n.world.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.world.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running = func() {
		cancel()
		if err := <-ended; err != nil {
			n.world.t.Errorf("the agent of %s: %v", n.name, err)
		}
	}
}

// stop stops the agent; its disk stays.
func (n *node) stop() {
	n.mu.Lock()
	running := n.running
	n.running = nil
	n.mu.Unlock()
	if running != nil {
		running()
	}
}

// ask asks the agent as the plugin does.
func (n *node) ask(ctx context.Context, req agentapi.Request) (agentapi.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", n.socket)
	if err != nil {
		return agentapi.Response{}, err
	}
	defer func() { _ = conn.Close() }()
	var resp agentapi.Response
	if err := agentapi.Write(conn, req); err != nil {
		return resp, err
	}
	return resp, agentapi.Read(conn, &resp)
}

// stderrLog is for looking at a drill that fails.
func stderrLog(name string) logr.Logger {
	return funcr.New(func(_, args string) {
		fmt.Fprintf(os.Stderr, "%s %s %s\n", time.Now().Format("05.000"), name, args)
	}, funcr.Options{Verbosity: 1})
}
