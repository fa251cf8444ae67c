// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/kubeconfigtest"
)

// crds is where the generated CRDs are, seen from this package.
var crds = filepath.Join("..", "..", "config", "crd", "bases")

// The API server of all tests here: what a rule refuses, and in which words, only it can say.
var (
	config *rest.Config
	api    client.Client
	// kubeconfig is a file by which kubectl reaches it.
	kubeconfig string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var stop func()
	var err error
	server := &envtest.Environment{CRDDirectoryPaths: []string{crds}, ErrorIfCRDPathMissing: true}
	if config, kubeconfig, stop, err = kubeconfigtest.Serve(server); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		fmt.Fprintln(os.Stderr, "building the scheme:", err)
		return 1
	}
	if api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		fmt.Fprintln(os.Stderr, "making a client:", err)
		return 1
	}
	return m.Run()
}

var unique atomic.Int64

// newName is a name that no other test uses.
func newName(prefix string) string { return fmt.Sprintf("%s-%d", prefix, unique.Add(1)) }

// newNamespace makes a namespace for one test.
func newNamespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: newName("test")}}
	if err := api.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// mustCreate creates obj for good.
func mustCreate(t *testing.T, obj client.Object) {
	t.Helper()
	if err := api.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

// dryCreate tells what the API server says to the creation of obj as edit leaves it. Nothing is stored. The edit is made on
// JSON, since what a Go type cannot hold is what people write.
func dryCreate(t *testing.T, obj client.Object, edit func(fields)) error {
	t.Helper()
	return api.Create(t.Context(), edited(t, obj, edit), client.DryRunAll)
}

// dryUpdate tells what the API server says to the update of obj, which exists, to what edit makes of it.
func dryUpdate(t *testing.T, obj client.Object, edit func(fields)) error {
	t.Helper()
	return api.Update(t.Context(), edited(t, obj, edit), client.DryRunAll)
}

func edited(t *testing.T, obj client.Object, edit func(fields)) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	gvk, err := api.GroupVersionKindFor(obj)
	if err != nil {
		t.Fatal(err)
	}
	u.SetGroupVersionKind(gvk)
	if edit != nil {
		edit(content)
	}
	return u
}

// fields is an object as JSON.
type fields map[string]any

// set sets the field at a dotted path, whose numbers are indexes of lists; a nil value removes it.
func (f fields) set(path string, value any) {
	var at any = map[string]any(f)
	keys := strings.Split(path, ".")
	for i, key := range keys {
		last := i == len(keys)-1
		switch node := at.(type) {
		case map[string]any:
			switch {
			case last && value == nil:
				delete(node, key)
			case last:
				node[key] = value
			default:
				if node[key] == nil {
					node[key] = map[string]any{}
				}
				at = node[key]
			}
		case []any:
			var index int
			if _, err := fmt.Sscan(key, &index); err != nil {
				panic(err)
			}
			if last {
				node[index] = value
			} else {
				at = node[index]
			}
		default:
			panic(fmt.Sprintf("no field %s in %v", key, at))
		}
	}
}

// set is an edit of one field.
func set(path string, value any) func(fields) { return func(f fields) { f.set(path, value) } }

// both are two edits.
func both(edits ...func(fields)) func(fields) {
	return func(f fields) {
		for _, edit := range edits {
			edit(f)
		}
	}
}

// notChecked is the cause that the API server adds where the schema alone was reason enough to refuse.
const notChecked = "some validation rules were not checked because the object was invalid"

// checkErrors wants err to be a refusal as invalid whose causes are the wanted ones and no others; none is wanted if want is
// empty. A wanted cause is a part of its text, or "field: part of its text".
func checkErrors(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		if err != nil {
			t.Fatalf("refused, want accepted: %v", err)
		}
		return
	}
	if !apierrors.IsInvalid(err) {
		t.Fatalf("got %v, want a refusal as invalid with %q", err, want)
	}
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		t.Fatalf("%v has no status", err)
	}
	seen := map[string]bool{}
	for _, cause := range status.Status().Details.Causes {
		if strings.Contains(cause.Message, notChecked) {
			continue
		}
		expected := false
		for _, w := range want {
			field, text, found := strings.Cut(w, ": ")
			if strings.Contains(cause.Message, w) || found && cause.Field == field && strings.Contains(cause.Message, text) {
				seen[w], expected = true, true
			}
		}
		if !expected {
			t.Errorf("unexpected cause %s: %s", cause.Field, cause.Message)
		}
	}
	for _, w := range want {
		if !seen[w] {
			t.Errorf("no cause says %q: %v", w, err)
		}
	}
}
