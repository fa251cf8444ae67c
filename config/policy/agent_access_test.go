// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/accesstest"
	"github.com/macpool/macpool/internal/problem"
)

var update = flag.Bool("update", false, "write docs/agent-access.md anew")

// asked is a kind about which an agent asks, by two objects of it: one of its own node and one of another's. Of a kind whose objects
// are no node's both are alike.
type asked struct {
	resource   schema.GroupVersionResource
	namespaced bool
	own, other *unstructured.Unstructured
	// change is what the agent of the object's node would write; toStatus is what it would write into the status.
	change, toStatus string
}

// verbs are all ways to use an object; those with a slash are of its status.
var verbs = []string{
	"get", "list", "watch", "create", "update", "patch", "apply", "delete", "deletecollection", "update /status", "patch /status", "apply /status",
}

// TestT11AgentAccess is T11 and R-S2: whoever has the token of a node's agent writes what is that node's and nothing else. The table in the docs
// is what the API server answers: to real tokens of service accounts, which it has bound to pods, and to requests in their name. All
// writes are dry runs, which are admitted, or not, as those that last.
func TestT11AgentAccess(t *testing.T) {
	tokens := agentTokens(t)
	kinds := askedKinds(t)
	byToken, inName := answers(t, kinds, tokens), answers(t, kinds, func(node string) *rest.Config { return accesstest.AsAgent(server.Config, node) })
	if diff := cmp.Diff(byToken, inName); diff != "" {
		t.Errorf("a token is answered otherwise than a request in its name (-token +name):\n%s", diff)
	}
	file := filepath.Join("..", "..", "docs", "agent-access.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const begin = "<!-- The table is written by go test ./config/policy -run TestT11AgentAccess -update. -->\n"
	before, _, found := strings.Cut(string(text), begin)
	if !found {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + begin + "\n" + strings.Join(byToken, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), want); diff != "" {
		t.Errorf("the table in %s is not what the API server answers (-docs +server):\n%s", file, diff)
	}
}

// answers is the table, in the name of those whom as makes of a node.
func answers(t *testing.T, kinds []asked, as func(node string) *rest.Config) []string {
	t.Helper()
	ofA, ofNone := dynamicClient(t, as("node-a")), dynamicClient(t, as(""))
	lines := []string{"| kind | verb | own node | other node | no node in the token |", "|---|---|---|---|---|"}
	for _, k := range kinds {
		for _, verb := range verbs {
			cells := []string{
				answer(t, try(t.Context(), ofA, k, k.own, verb)),
				answer(t, try(t.Context(), ofA, k, k.other, verb)),
				answer(t, try(t.Context(), ofNone, k, k.own, verb)),
			}
			if cells[0] == "-" {
				continue // there is no such thing
			}
			lines = append(lines, "| "+strings.Join(append([]string{k.resource.Resource, verb}, cells...), " | ")+" |")
		}
	}
	return lines
}

// answer says a cell of the table by what the API server said.
func answer(t *testing.T, err error) string {
	t.Helper()
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
		return "yes"
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), problem.NotItsNode.Code):
		return "no (policy)"
	case apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "Policy"):
		return "no (role)"
	case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		return "-"
	default:
		t.Errorf("an answer that is neither: %v", err)
		return "?"
	}
}

func dynamicClient(t *testing.T, config *rest.Config) dynamic.Interface {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	c, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var errNoVerb = errors.New("there is no such verb")

// try does one thing.
func try(ctx context.Context, c dynamic.Interface, k asked, object *unstructured.Unstructured, verb string) error {
	var r dynamic.ResourceInterface = c.Resource(k.resource)
	if k.namespaced {
		r = c.Resource(k.resource).Namespace(object.GetNamespace())
	}
	dry := []string{metav1.DryRunAll}
	name, change, sub := object.GetName(), k.change, []string{}
	verb, status := strings.CutSuffix(verb, " /status")
	if status {
		sub, change = []string{"status"}, k.toStatus
	}
	var err error
	switch verb {
	case "get":
		_, err = r.Get(ctx, name, metav1.GetOptions{})
	case "list":
		_, err = r.List(ctx, metav1.ListOptions{})
	case "watch":
		w, watchErr := r.Watch(ctx, metav1.ListOptions{})
		if watchErr == nil {
			w.Stop()
		}
		err = watchErr
	case "create":
		fresh := object.DeepCopy()
		for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"} {
			unstructured.RemoveNestedField(fresh.Object, "metadata", field)
		}
		_, err = r.Create(ctx, fresh, metav1.CreateOptions{DryRun: dry})
	case "update":
		changed, mergeErr := merged(object, change)
		if mergeErr != nil {
			return mergeErr
		}
		_, err = r.Update(ctx, changed, metav1.UpdateOptions{DryRun: dry}, sub...)
	case "patch":
		_, err = r.Patch(ctx, name, types.MergePatchType, []byte(change), metav1.PatchOptions{DryRun: dry}, sub...)
	case "apply":
		intent := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,%s`, object.GetAPIVersion(), object.GetKind(), change[1:])
		_, err = r.Patch(ctx, name, types.ApplyPatchType, []byte(intent), metav1.PatchOptions{DryRun: dry, FieldManager: "test", Force: new(true)}, sub...)
	case "delete":
		err = r.Delete(ctx, name, metav1.DeleteOptions{DryRun: dry})
	case "deletecollection":
		err = r.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{})
	default:
		err = errNoVerb
	}
	return err
}

// merged is the object with a merge patch.
func merged(object *unstructured.Unstructured, patch string) (*unstructured.Unstructured, error) {
	changes := &unstructured.Unstructured{}
	if err := changes.UnmarshalJSON([]byte(`{"apiVersion":"v1","kind":"Patch",` + patch[1:])); err != nil {
		return nil, err
	}
	changed := object.DeepCopy()
	merge(changed.Object, map[string]any{"metadata": changes.Object["metadata"], "spec": changes.Object["spec"], "status": changes.Object["status"]})
	return changed, nil
}

func merge(into, from map[string]any) {
	for k, v := range from {
		inner, isMap := v.(map[string]any)
		old, wasMap := into[k].(map[string]any)
		switch {
		case v == nil:
		case isMap && wasMap:
			merge(old, inner)
		default:
			into[k] = v
		}
	}
}

// agentTokens makes a pod of the agent's on node-a, and returns the way to the API server with a token that is bound to it, or to nothing.
func agentTokens(t *testing.T) func(node string) *rest.Config {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: accesstest.Namespace, Name: "agent-a"},
		Spec: corev1.PodSpec{
			ServiceAccountName: "macpool-agent", NodeName: "node-a", Containers: []corev1.Container{{Name: "agent", Image: "none"}},
		},
	}
	for _, object := range []client.Object{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}}, pod} {
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	return func(node string) *rest.Config {
		request := &authenticationv1.TokenRequest{}
		if node != "" {
			request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
		}
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: accesstest.Namespace, Name: "macpool-agent"}}
		if err := api.SubResource("token").Create(t.Context(), account, request); err != nil {
			t.Fatal(err)
		}
		config := rest.AnonymousClientConfig(server.Config)
		config.BearerToken = request.Status.Token
		return config
	}
}

// askedKinds makes two objects of each kind.
func askedKinds(t *testing.T) []asked {
	t.Helper()
	v1 := schema.GroupVersion{Version: "v1"}
	mine := v1alpha1.GroupVersion
	label := `{"metadata":{"labels":{"changed":"yes"}}}`
	pool := newPool("access")
	made := []struct {
		asked

		objects [2]client.Object
	}{
		{asked{resource: mine.WithResource("macpools"), change: label, toStatus: `{"status":{"ownLeases":7}}`}, [2]client.Object{pool, pool}},
		{
			asked{resource: mine.WithResource("macclaims"), namespaced: true, change: label, toStatus: `{"status":{"generation":2,"holder":{"generation":2}}}`},
			[2]client.Object{workloadClaim(t, "access-a", "node-a"), workloadClaim(t, "access-b", "node-b")},
		},
		{
			asked{resource: mine.WithResource("macleases"), change: `{"spec":{"leasedAt":"2026-01-02T03:04:05Z"}}`, toStatus: label},
			[2]client.Object{newLease("192.168.60.10", "node-a"), newLease("192.168.60.11", "node-b")},
		},
		{
			asked{resource: mine.WithResource("macnodes"), change: label, toStatus: `{"status":{"epoch":7}}`},
			[2]client.Object{&v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}}, &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "node-b"}}},
		},
		{
			asked{resource: v1.WithResource("pods"), namespaced: true, change: label, toStatus: `{"status":{"reason":"Changed"}}`},
			[2]client.Object{podOn("access-a", "node-a"), podOn("access-b", "node-b")},
		},
		{
			asked{resource: v1.WithResource("nodes"), change: label, toStatus: label},
			[2]client.Object{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}}, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-b"}}},
		},
		{asked{resource: v1.WithResource("secrets"), namespaced: true, change: label, toStatus: label}, twice(&corev1.Secret{ObjectMeta: inDefault("access")})},
		{asked{resource: v1.WithResource("configmaps"), namespaced: true, change: label, toStatus: label}, twice(&corev1.ConfigMap{ObjectMeta: inDefault("access")})},
	}
	var all []asked
	for _, m := range made {
		for i, object := range m.objects {
			if object.GetUID() == "" {
				if err := api.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
					t.Fatal(err)
				}
			}
			raw := &unstructured.Unstructured{}
			gvk, err := api.GroupVersionKindFor(object)
			if err != nil {
				t.Fatal(err)
			}
			raw.SetGroupVersionKind(gvk)
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(object), raw); err != nil {
				t.Fatal(err)
			}
			raw.SetManagedFields(nil) // an intent to apply has none
			if i == 0 {
				m.own = raw
			} else {
				m.other = raw
			}
		}
		all = append(all, m.asked)
	}
	return all
}

func twice(object client.Object) [2]client.Object { return [2]client.Object{object, object} }

func inDefault(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name}
}

func podOn(name, node string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: inDefault(name), Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "none"}}}}
}
