// SPDX-License-Identifier: Apache-2.0

package memapi_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/internal/memapi"
)

// TestSameAsTheRealServer: what the harnesses in memory rest on is what kube-apiserver does (M27).
func TestSameAsTheRealServer(t *testing.T) {
	kube := realServer(t)
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			want, got := run(t, kube, name), run(t, newServer(t), name)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the real server has -, the one in memory +:\n%s", diff)
			}
		})
	}
}

// TestTheTableSeesWeakServers: each weakness that a fake can have, and many do, shows in the table.
func TestTheTableSeesWeakServers(t *testing.T) {
	for what, weaken := range map[string]func(client.Client) client.Client{
		"a second create of a name succeeds":  func(c client.Client) client.Client { return &weak{Client: c, duplicates: true} },
		"an update of an old version":         func(c client.Client) client.Client { return &weak{Client: c, staleWrites: true} },
		"preconditions are ignored":           func(c client.Client) client.Client { return &weak{Client: c, blindDeletes: true} },
		"the status is written with the spec": func(c client.Client) client.Client { return &weak{Client: c, oneWrite: true} },
		"a claim in use is deleted":           nil,
	} {
		t.Run(what, func(t *testing.T) {
			var seenIn []string
			for _, name := range names() {
				strong := run(t, newServer(t), name)
				var feeble client.Client
				if weaken == nil {
					feeble = bareServer(t).Client("test", nil)
				} else {
					feeble = weaken(newServer(t))
				}
				if !slices.Equal(strong, run(t, feeble, name)) {
					seenIn = append(seenIn, name)
				}
			}
			if len(seenIn) == 0 {
				t.Error("no operation of the table shows it")
			}
			t.Logf("seen in: %s", strings.Join(seenIn, ", "))
		})
	}
}

// weak is a client of a server as weak as fakes have been.
type weak struct {
	client.Client

	duplicates, staleWrites, blindDeletes, oneWrite bool
}

func (w *weak) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	err := w.Client.Create(ctx, object, options...)
	if w.duplicates && apierrors.IsAlreadyExists(err) {
		return nil // as `if exists && err != nil` had it
	}
	return err
}

func (w *weak) Update(ctx context.Context, object client.Object, options ...client.UpdateOption) error {
	status := object.DeepCopyObject()
	err := w.Client.Update(ctx, object, options...)
	if w.staleWrites && apierrors.IsConflict(err) {
		current, ok := object.DeepCopyObject().(client.Object)
		if !ok || w.Get(ctx, client.ObjectKeyFromObject(object), current) != nil {
			return err
		}
		object.SetResourceVersion(current.GetResourceVersion())
		object.SetUID(current.GetUID())
		return w.Client.Update(ctx, object, options...)
	}
	if whole, ok := status.(client.Object); ok && w.oneWrite && err == nil {
		whole.SetResourceVersion(object.GetResourceVersion())
		_ = w.Client.Status().Update(ctx, whole)
	}
	return err
}

func (w *weak) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	if w.blindDeletes {
		options = nil
	}
	return w.Client.Delete(ctx, object, options...)
}

func names() []string {
	all := make([]string, 0, len(table))
	for name := range table {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

var unique int

// run is the transcript of one entry of the table, in a namespace of its own.
func run(t *testing.T, c client.Client, name string) []string {
	t.Helper()
	unique++
	ns := fmt.Sprintf("test-%d", unique)
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
		t.Fatal(err)
	}
	x := newTranscript(t, c, ns)
	table[name](t.Context(), x)
	return x.lines
}

func bareServer(t *testing.T) *memapi.Server {
	t.Helper()
	s, err := memapi.NewServer(clock.RealClock{}, memapi.Scheme(), memapi.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newServer is one in memory, with the policy.
func newServer(t *testing.T) client.Client {
	t.Helper()
	s := bareServer(t)
	s.Enforce(memapi.ClaimInUse)
	return s.Client("test", nil)
}

// realServer is a kube-apiserver with macpool's definitions and policy.
func realServer(t *testing.T) client.Client {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test")
	}
	config := filepath.Join("..", "..", "config")
	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(config, "crd", "bases")}, ErrorIfCRDPathMissing: true}
	env.ControlPlane.Etcd = &envtest.Etcd{}
	env.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync")
	rest, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	rest.QPS = -1
	c, err := client.New(rest, client.Options{Scheme: memapi.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(rest, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := admissionregistrationv1.AddToScheme(admin.Scheme()); err != nil {
		t.Fatal(err)
	}
	create := func(object client.Object, path ...string) {
		text, err := os.ReadFile(filepath.Join(append([]string{config}, path...)...))
		if err == nil {
			err = yaml.UnmarshalStrict(text, object)
		}
		if err == nil {
			err = admin.Create(t.Context(), object)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	agents := &appsv1.DaemonSet{}
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "macpool-system"}}); err != nil {
		t.Fatal(err)
	}
	create(agents, "agent", "daemonset.yaml")
	create(&admissionregistrationv1.ValidatingAdmissionPolicy{}, "policy", "claim_in_use_policy.yaml")
	create(&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, "policy", "claim_in_use_binding.yaml")
	awaitPolicy(t, c)
	return c
}

// awaitPolicy waits until the policy refuses something.
func awaitPolicy(t *testing.T, c client.Client) {
	t.Helper()
	probe := newTranscript(t, c, "default").claim("probe")
	if err := c.Create(t.Context(), probe); err != nil {
		t.Fatal(err)
	}
	probe.Status.Holder = held("probe", 1)
	if err := c.Status().Update(t.Context(), probe); err != nil {
		t.Fatal(err)
	}
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsForbidden(c.Delete(ctx, probe, client.DryRunAll)), nil
	})
	if err != nil {
		t.Fatalf("waiting for the policy: %v", err)
	}
}
