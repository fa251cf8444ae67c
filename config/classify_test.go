// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// inForce is how long the API server may take to go by flow schemas that were made.
const inForce = time.Minute

// account is the config of a service account, which it makes where there is none, with a real token of it.
func account(t *testing.T, namespace, name string) *rest.Config {
	t.Helper()
	ensure(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	ensure(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	return withToken(t, namespace, name, nil)
}

// ourAgent is the config of the agent of node-1, whose token is bound to its pod, and so tells its node, as the kubelet asks for it.
func ourAgent(t *testing.T) *rest.Config {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "macpool-agent-1"},
		Spec: corev1.PodSpec{
			NodeName: "node-1", ServiceAccountName: "macpool-agent", Containers: []corev1.Container{{Name: "agent", Image: "agent"}},
		},
	}
	ensure(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: pod.Spec.NodeName}})
	ensure(t, pod)
	return withToken(t, namespace, pod.Spec.ServiceAccountName, &authenticationv1.BoundObjectReference{
		APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID,
	})
}

func ourManager(t *testing.T) *rest.Config {
	t.Helper()
	return account(t, namespace, "macpool-manager")
}

// ensure makes an object where there is none.
func ensure(t *testing.T, object client.Object) {
	t.Helper()
	err := api.Create(t.Context(), object)
	if apierrors.IsAlreadyExists(err) {
		err = api.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func withToken(t *testing.T, namespace, name string, bound *authenticationv1.BoundObjectReference) *rest.Config {
	t.Helper()
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: bound}}
	owner := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := api.SubResource("token").Create(t.Context(), owner, token); err != nil {
		t.Fatalf("asking for a token of %s/%s: %v", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(admin)
	config.BearerToken = token.Status.Token
	config.QPS = -1
	return config
}

// classified sends a request, and returns the names of the flow schema and the priority level that the API server says it
// was of, by their UIDs. Whether the request is allowed does not matter: it is classified before it is authorized.
func classified(t *testing.T, config *rest.Config, method, path string) (schema, level string) {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url(path), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
	var schemas flowcontrolv1.FlowSchemaList
	var levels flowcontrolv1.PriorityLevelConfigurationList
	if err := api.List(t.Context(), &schemas); err != nil {
		t.Fatal(err)
	}
	if err := api.List(t.Context(), &levels); err != nil {
		t.Fatal(err)
	}
	for _, s := range schemas.Items {
		if string(s.UID) == resp.Header.Get(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID) {
			schema = s.Name
		}
	}
	for _, l := range levels.Items {
		if string(l.UID) == resp.Header.Get(flowcontrolv1.ResponseHeaderMatchedPriorityLevelConfigurationUID) {
			level = l.Name
		}
	}
	return schema, level
}

// awaitFlowSchemas returns when the API server goes by the flow schemas of agents and manager, of which those of contact come before.
func awaitFlowSchemas(t *testing.T) {
	t.Helper()
	for _, config := range []*rest.Config{ourAgent(t), ourManager(t)} {
		err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, inForce, true, func(context.Context) (bool, error) {
			_, level := classified(t, config, http.MethodGet, "/api/v1/pods") //nolint:contextcheck // it is the test's
			return level == "macpool", nil
		})
		if err != nil {
			t.Fatalf("waiting for the flow schemas: %v", err)
		}
	}
}

// TestT25Classification asks with real tokens, and wants the API server to say that what must arrive in time is a flow of its own, all else of
// macpool's accounts is of its level, and nobody else gets in there by a name that resembles theirs.
func TestT25Classification(t *testing.T) {
	const (
		macpools  = "/apis/macpool.dev/v1alpha1/macpools"
		macnodes  = "/apis/macpool.dev/v1alpha1/macnodes"
		macleases = "/apis/macpool.dev/v1alpha1/macleases"
		macclaims = "/apis/macpool.dev/v1alpha1/namespaces/default/macclaims"
		leases    = "/apis/coordination.k8s.io/v1/namespaces/"
	)
	agent, manager := ourAgent(t), ourManager(t)
	tenant := account(t, "tenant", "app")
	awaitFlowSchemas(t)
	for name, tt := range map[string]struct {
		who          *rest.Config
		method, path string
		want         string
	}{
		"report":               {agent, http.MethodPatch, macnodes + "/node-1/status", "macpool-contact"},
		"report, whole":        {agent, http.MethodPut, macnodes + "/node-1/status", "macpool-contact"},
		"first report":         {agent, http.MethodPost, macnodes, "macpool-contact"},
		"heartbeat":            {agent, http.MethodGet, macpools + "?limit=1", "macpool-contact"},
		"ADD, claim":           {agent, http.MethodPost, macclaims, "macpool-agents"},
		"ADD, holder":          {agent, http.MethodPut, macclaims + "/a/status", "macpool-agents"},
		"ADD, lease":           {agent, http.MethodPost, macleases, "macpool-agents"},
		"release":              {agent, http.MethodPut, macleases + "/a", "macpool-agents"},
		"pods of the node":     {agent, http.MethodGet, "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1", "macpool-agents"},
		"agent's discovery":    {agent, http.MethodGet, "/apis", "macpool-agents"},
		"manager's Lease":      {manager, http.MethodPut, leases + namespace + "/leases/macpool-manager", "macpool-contact"},
		"another Lease":        {manager, http.MethodPut, leases + "default/leases/macpool-manager", "macpool-manager"},
		"reports":              {manager, http.MethodGet, macnodes, "macpool-manager"},
		"claim ahead":          {manager, http.MethodPost, macclaims, "macpool-manager"},
		"manager's release":    {manager, http.MethodPut, macleases + "/a", "macpool-manager"},
		"manager's discovery":  {manager, http.MethodGet, "/api", "macpool-manager"},
		"tenant":               {tenant, http.MethodPost, macclaims, "service-accounts"},
		"tenant's report":      {tenant, http.MethodPatch, macnodes + "/node-1/status", "service-accounts"},
		"agent of a tenant":    {account(t, "tenant", "macpool-agent"), http.MethodPost, macclaims, "service-accounts"},
		"other of our account": {account(t, namespace, "default"), http.MethodPost, macclaims, "service-accounts"},
	} {
		t.Run(name, func(t *testing.T) {
			schema, level := classified(t, tt.who, tt.method, tt.path)
			wantLevel := "macpool"
			if tt.want == "service-accounts" {
				wantLevel = "workload-low"
			}
			if schema != tt.want || level != wantLevel {
				t.Errorf("%s %s is of flow schema %q and level %q, want %q and %q", tt.method, tt.path, schema, level, tt.want, wantLevel)
			}
		})
	}
}
