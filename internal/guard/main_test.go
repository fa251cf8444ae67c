// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/accesstest"
	"github.com/macpool/macpool/internal/kubeconfigtest"
)

const (
	// often is how often the guard of these tests looks.
	often = 100 * time.Millisecond
	// minute is how long it may take until the manager is not ready any more.
	minute = time.Minute
)

// The API server of all tests here, with macpool's kinds, roles and policies, and something for each policy to guard.
var (
	server *envtest.Environment
	// api is an administrator.
	api client.Client
	// manager is the service account that config/rbac makes, so that a right that is missing there fails a test.
	manager *rest.Config
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
		panic(err)
	}
	server = &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	server.ControlPlane.GetAPIServer().Configure().Set("authorization-mode", "RBAC")
	config, _, stop, err := kubeconfigtest.Serve(server)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	if err := prepare(context.Background(), config); err != nil {
		fmt.Fprintln(os.Stderr, "preparing the control plane:", err)
		return 1
	}
	return m.Run()
}

func prepare(ctx context.Context, config *rest.Config) error {
	root := filepath.Join("..", "..")
	if err := accesstest.Install(ctx, config, root); err != nil {
		return err
	}
	manager = accesstest.AsManager(config)
	var err error
	if api, err = client.New(config, client.Options{}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	agents, err := accesstest.Read(filepath.Join(root, "config", "agent", "daemonset.yaml"))
	for _, object := range agents {
		err = errors.Join(err, api.Create(ctx, object))
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db-0"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "db"}}},
	}
	claim := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db-0"}, Spec: v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "none"}},
	}
	err = errors.Join(err, api.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}), api.Create(ctx, pod), api.Create(ctx, claim))
	claim.Status.Holder = &v1alpha1.Holder{PodName: "db-0", PodUID: pod.UID, NodeName: "node-1", Interface: "net1", Generation: 1, Since: metav1.Now()}
	return errors.Join(err, api.Status().Update(ctx, claim))
}

// daemonSet is the agents', to which two of the policies are bound.
func daemonSet() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "macpool-system", Name: "macpool-agent"}}
}

// line is a connection to the API server that can be cut.
type line struct {
	cut  atomic.Bool
	next http.RoundTripper
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.cut.Load() {
		return nil, errors.New("connection refused")
	}
	return l.next.RoundTrip(r)
}

// newGuard is one with the manager's rights that looks often, and what it says.
func newGuard(t *testing.T) (*Guard, *line, *events.FakeRecorder) {
	t.Helper()
	l := &line{}
	config := rest.CopyConfig(manager)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		l.next = next
		return l
	})
	live, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	recorder := events.NewFakeRecorder(1000)
	return &Guard{Live: live, Cache: live, Recorder: recorder, Clock: clock.RealClock{}, Every: often, Soon: often}, l, recorder
}

// start runs the guard until the test ends.
func start(t *testing.T, g *Guard) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Start(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// becomes waits until the guard says what it should, which must take no more than the minute that is promised.
func becomes(t *testing.T, g *Guard, matcher types.GomegaMatcher) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() error { return g.Ready(nil) }, minute, often).Should(matcher)
}

// guardingBindings are the bindings of the policies that guard something.
func guardingBindings() []admissionv1.ValidatingAdmissionPolicyBinding {
	return slices.DeleteFunc(slices.Clone(Bindings()), func(b admissionv1.ValidatingAdmissionPolicyBinding) bool {
		return !slices.ContainsFunc(guarding(), func(p admissionv1.ValidatingAdmissionPolicy) bool { return p.Name == b.Spec.PolicyName })
	})
}
