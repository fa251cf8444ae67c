// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/accesstest"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/timeline"
	"github.com/macpool/macpool/internal/wire"
)

// controlPlane is one API server for all tests here, started by the first that needs it.
var controlPlane = struct {
	once   sync.Once
	env    *envtest.Environment
	config *rest.Config
	err    error
}{}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code := m.Run()
	if controlPlane.env != nil {
		if err := controlPlane.env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the control plane:", err)
		}
	}
	os.Exit(code)
}

func apiConfig(t *testing.T) *rest.Config {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test")
	}
	controlPlane.once.Do(func() {
		env := &envtest.Environment{
			CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
			ErrorIfCRDPathMissing: true,
		}
		env.ControlPlane.Etcd = &envtest.Etcd{}
		env.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync")
		controlPlane.config, controlPlane.err = env.Start()
		controlPlane.env = env
		if controlPlane.err == nil {
			controlPlane.err = accesstest.Install(t.Context(), controlPlane.config, filepath.Join("..", ".."))
		}
	})
	if controlPlane.err != nil {
		t.Fatal(controlPlane.err)
	}
	config := rest.CopyConfig(controlPlane.config)
	config.QPS = -1
	return config
}

// newClient is the test's own way to the API, past everything that a test does to an agent's.
func newClient(t *testing.T) client.Client {
	t.Helper()
	return newClientOf(t, apiConfig(t))
}

func newClientOf(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, eventsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var unique atomic.Int64

// steerableClock is the real clock, set forward by the test. What waits, waits in real time.
type steerableClock struct {
	clock.RealClock

	ahead atomic.Int64
}

func (c *steerableClock) Now() time.Time {
	return c.RealClock.Now().Add(time.Duration(c.ahead.Load()))
}
func (c *steerableClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// node is a node with its agent, as a test sees it.
type node struct {
	name    string
	socket  string
	options Options
	wire    *apiWire
	clock   *steerableClock

	// vlan is what the node's agent hears on its links; by default they cannot be asked.
	vlan func(ctx context.Context, link string, q wire.Query) (answeredBy string, err error)
	// equip changes the agent before it runs.
	equip func(*Agent)
	// removing is called with each interface that the agent removes, named netns/interface/MAC.
	removing func(link string) error
	// current is the fence's.
	current func(ctx context.Context, pool string) (bool, error)

	agent *Agent
	stop  func()
}

var errNoVLAN = errors.New("there is no VLAN in this test")

// newNode makes a node whose agent does not run yet.
func newNode(t *testing.T, change ...func(*Options)) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "macpool") //nolint:usetesting // t.TempDir is longer than a socket's path may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &node{
		name: fmt.Sprintf("node-%d", unique.Add(1)), wire: newWire(), clock: &steerableClock{},
		socket:   filepath.Join(dir, "run", "agent.sock"),
		vlan:     func(context.Context, string, wire.Query) (string, error) { return "", errNoVLAN },
		removing: func(link string) error { t.Errorf("link %s was removed", link); return nil },
	}
	n.options = Options{
		NodeName: n.name, Socket: n.socket, StateDir: filepath.Join(dir, "state"), AllowedUID: self(), Clock: n.clock,
		NetNSDirs: append(DefaultNetNSDirs(), filepath.Dir(goneNetNS), filepath.Dir(aliveNetNS), "/alive", "/nowhere"),
		Log:       testr.NewWithOptions(t, testr.Options{}),
		Times: Times{
			Heartbeat: 200 * time.Millisecond, ManagerWait: time.Millisecond, API: 5 * time.Second, ClearRetry: 500 * time.Millisecond, Fence: 100 * time.Millisecond,
			Renew: time.Second, Gate: timeline.Times{Silence: 100 * time.Millisecond, Poll: 50 * time.Millisecond, Crowd: 1}, // the other tests' nodes are away, and many
			Spool: 100 * time.Millisecond, Reap: 100 * time.Millisecond, ReapGrace: 500 * time.Millisecond, HolderWait: patience,
		},
	}
	for _, c := range change {
		c(&n.options)
	}
	return n
}

// startNode starts a node and waits until it is ready.
func startNode(t *testing.T, change ...func(*Options)) *node {
	t.Helper()
	n := newNode(t, change...)
	n.start(t)
	n.awaitReady(t)
	return n
}

// start starts the agent, which may write what the agent of its node may (R-S2); it is stopped at the end of the test, if not before.
func (n *node) start(t *testing.T) {
	t.Helper()
	config := accesstest.AsAgent(apiConfig(t), n.name)
	config.Wrap(n.wire.wrap)
	a, err := New(config, n.options)
	if err != nil {
		t.Fatal(err)
	}
	a.ask = func(ctx context.Context, link string, q wire.Query) (string, error) { return n.vlan(ctx, link, q) }
	a.fence.remove = func(netns, iface, mac string) error { return n.removing(netns + "/" + iface + "/" + mac) }
	if n.current != nil {
		a.fence.current = n.current
	}
	if n.equip != nil {
		n.equip(a)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	n.agent = a
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("agent of %s: %v", n.name, err)
		}
	})
	t.Cleanup(n.stop)
	eventually(t, "the socket", func() error {
		if a.listening.Load() {
			return nil
		}
		return errNotReady
	})
}

func (n *node) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, "readiness of "+n.name, n.agent.Ready)
	eventually(t, "the first report of "+n.name, func() error {
		if !n.agent.contact.cachesHold() {
			return errNotReady
		}
		return nil
	})
}

func (n *node) ask(t *testing.T, req agentapi.Request) agentapi.Response {
	t.Helper()
	resp, _ := ask(t, n.socket, req)
	return resp
}

// start sends a request whose answer comes later.
func start(t *testing.T, n *node, req agentapi.Request) <-chan agentapi.Response {
	t.Helper()
	answer := make(chan agentapi.Response, 1)
	go func() {
		resp, _, err := tryAsk(t.Context(), n.socket, req)
		if err != nil {
			t.Error(err)
		}
		answer <- resp
	}()
	return answer
}

// eventually waits until check has no complaint. A list that failed often, while the API was away, is tried again after up to a minute by client-go.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	gomega.NewWithT(t).Eventually(check).WithTimeout(3*patience).WithPolling(10*time.Millisecond).Should(gomega.Succeed(), what)
}
