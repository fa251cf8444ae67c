// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// The API server of all tests here: uniqueness is proven against a real one (M27).
var (
	config *rest.Config
	scheme = runtime.NewScheme()
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true" {
		return m.Run() // targets need no API server, and each of their processes would start one
	}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: run make test")
		return 1
	}
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	server := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	server.ControlPlane.GetAPIServer().Configure().Append("max-requests-inflight", "3000").Append("max-mutating-requests-inflight", "2000")
	server.ControlPlane.Etcd = &envtest.Etcd{}
	server.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync")
	defer func() { _ = server.Stop() }() // also of a start that failed half-way
	var err error
	if config, err = server.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "starting the control plane:", err)
		return 1
	}
	config.QPS = -1
	return m.Run()
}

// newClient is a live client whose requests go through wrap, if that is not nil.
func newClient(t *testing.T, wrap func(http.RoundTripper) http.RoundTripper) client.Client {
	t.Helper()
	c := rest.CopyConfig(config)
	if wrap != nil {
		c.Wrap(wrap)
	}
	cl, err := client.New(c, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

var unique atomic.Int64

// newNamespace makes a namespace for one test.
func newNamespace(t *testing.T, c client.Client) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("test-%d", unique.Add(1))}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// newPool makes a pool of its own segment and calls it ready, as the manager would.
func newPool(t *testing.T, c client.Client, subnets ...v1alpha1.Subnet) *v1alpha1.MacPool {
	t.Helper()
	n := unique.Add(1)
	pool := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pool-%d", n)},
		Spec:       v1alpha1.MacPoolSpec{VLAN: new(int32(50)), Segment: fmt.Sprintf("test-%d", n), Subnets: subnets},
	}
	createPool(t, c, pool)
	return pool
}

func createPool(t *testing.T, c client.Client, pool *v1alpha1.MacPool) {
	t.Helper()
	if err := c.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	apimeta.SetStatusCondition(&pool.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonValid, ObservedGeneration: pool.Generation,
	})
	if err := c.Status().Update(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
}

// newClaim makes a claim as a person would.
func newClaim(t *testing.T, c client.Client, pool *v1alpha1.MacPool, namespace, name string, ips ...v1alpha1.IPAddress) *v1alpha1.MacClaim {
	t.Helper()
	claim := &v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: pool.Name}, IPs: ips},
	}
	if err := c.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	return claim
}

// newBinder is one writer: a process of its own, as far as the API server can tell.
func newBinder(t *testing.T, c client.Client, pools ...*v1alpha1.MacPool) *binding.Binder {
	t.Helper()
	b := &binding.Binder{Client: c, Index: binding.NewIndex(), Clock: clock.RealClock{}}
	for _, p := range pools {
		if err := b.Index.SetPool(p); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// leasesOf are the leases of a pool that are leased now, by name.
func leasesOf(t *testing.T, c client.Client, pool *v1alpha1.MacPool) map[string]v1alpha1.MacLease {
	t.Helper()
	var list v1alpha1.MacLeaseList
	if err := c.List(t.Context(), &list, client.MatchingLabels{v1alpha1.LabelSegment: binding.SegmentOf(pool)}); err != nil {
		t.Fatal(err)
	}
	leases := map[string]v1alpha1.MacLease{}
	for _, l := range list.Items {
		if l.Spec.ReleasedAt == nil {
			leases[l.Name] = l
		}
	}
	return leases
}

// bind binds until it succeeds, as a caller that retries does.
func bind(ctx context.Context, b *binding.Binder, claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, holder *v1alpha1.Holder) (*v1alpha1.MacClaim, error) {
	var last error
	for range 20 {
		bound, err := b.Bind(ctx, claim, pool, holder)
		if err == nil {
			return bound, nil
		}
		last = err
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		live := &v1alpha1.MacClaim{}
		if err := b.Client.Get(ctx, client.ObjectKeyFromObject(claim), live); err != nil {
			return nil, err
		}
		claim = live
	}
	return nil, last
}

// release gives back the lease of a claim.
func release(ctx context.Context, b *binding.Binder, claim *v1alpha1.MacClaim, evidence string) error {
	return b.Release(ctx, claim.Status.LeaseName, claim.UID, v1alpha1.LeaseHistory{Evidence: evidence})
}
