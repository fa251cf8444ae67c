// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

const (
	// stormLabel is of the namespaces whose claims are slow to make.
	stormLabel = "storm"
	// gusts is how many requests of a storm there are at a time: more than the API server serves of all people together.
	gusts = 100
)

// gate is an admission webhook that keeps the requests of a storm in the API server, each on its seat, for as long as hold takes. So a storm
// needs no fast machine, and seats are what it is short of.
type gate struct{ hold func(ctx context.Context) }

// newGate puts a gate in front of claims in the namespaces of a storm, until the test ends.
func newGate(t *testing.T, name string, hold func(ctx context.Context)) {
	t.Helper()
	server := httptest.NewTLSServer(gate{hold})
	webhook := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "gate.example.com", AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: new(int32(30)),
			SideEffects:       new(admissionregistrationv1.SideEffectClassNone),
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{stormLabel: name}},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: new(server.URL), CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{v1alpha1.GroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"macclaims"},
				},
			}},
		}},
	}
	create(t, webhook)
	t.Cleanup(func() {
		_ = api.Delete(context.WithoutCancel(t.Context()), webhook)
		server.Close()
	})
}

// ServeHTTP is http.Handler's.
func (g gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.hold(r.Context())
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	_ = json.NewEncoder(w).Encode(review) //nolint:errchkjson // the raw objects in it are not written
}

// user is a service account that makes claims.
type user struct{ client.Client }

func newUser(t *testing.T, config *rest.Config) user {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: api.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	return user{c}
}

// claim makes a claim, as an ADD that finds none does. Nothing is kept.
func (u user) claim(ctx context.Context, namespace string) error {
	claim := &v1alpha1.MacClaim{Spec: v1alpha1.MacClaimSpec{
		PoolRef: v1alpha1.PoolRef{Name: "iot"}, Workload: &v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: "pod", Interface: "net1"},
	}}
	claim.Namespace, claim.GenerateName = namespace, "pod-"
	claim.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	return u.Create(ctx, claim, client.DryRunAll)
}

// report is what an agent tells of its node. There is no object for it to be kept in, which is the answer.
func (u user) report(ctx context.Context, node string) error {
	object := &v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: node}}
	return client.IgnoreNotFound(u.Status().Update(ctx, object))
}

// pace is how long requests took. Safe for concurrent use.
type pace struct{ requests, took atomic.Int64 }

func (p *pace) measure(ask func() error) error {
	began := time.Now()
	err := ask()
	p.took.Add(int64(time.Since(began)))
	p.requests.Add(1)
	return err
}

func (p *pace) mean() time.Duration { return time.Duration(p.took.Load() / max(1, p.requests.Load())) }

// storm makes claims until the test ends, and returns when all that are made at a time are in the API server.
func storm(t *testing.T, level, namespace string, users ...user) *pace {
	t.Helper()
	ctx, calm := context.WithCancel(context.WithoutCancel(t.Context()))
	var workers sync.WaitGroup
	p := &pace{}
	for i := range gusts {
		workers.Go(func() {
			for ctx.Err() == nil {
				_ = p.measure(func() error { return users[i%len(users)].claim(ctx, namespace) })
			}
		})
	}
	t.Cleanup(func() {
		calm()
		workers.Wait()
	})
	awaitLoad(t, level, func(n int) bool { return n > gusts/2 })
	return p
}

// awaitLoad waits until enough requests of a level are in the API server: those that it serves and those that wait for a seat, of which
// it says how many there are.
func awaitLoad(t *testing.T, level string, enough func(n int) bool) {
	t.Helper()
	clients, err := kubernetes.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`(?m)^apiserver_flowcontrol_current_(?:inqueue|executing)_requests\{.*priority_level="` + level + `".*\} ([0-9]+)$`)
	err = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, inForce, true, func(ctx context.Context) (bool, error) {
		text, err := clients.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
		n := 0
		for _, match := range pattern.FindAllSubmatch(text, -1) {
			some, _ := strconv.Atoi(string(match[1])) // digits, by the pattern
			n += some
		}
		return enough(n), err
	})
	if err != nil {
		t.Fatalf("waiting for requests of level %s in the API server: %v", level, err)
	}
}

// stormy makes a namespace with a gate in front of its claims, and returns when the API server knows of it.
func stormy(t *testing.T, name string, hold func(ctx context.Context)) {
	t.Helper()
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{stormLabel: name}}})
	var came atomic.Bool
	newGate(t, name, func(ctx context.Context) {
		if came.Swap(true) {
			hold(ctx)
		}
	})
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, inForce, true, func(ctx context.Context) (bool, error) {
		err := user{api}.claim(ctx, name)
		return came.Load(), err
	})
	if err != nil {
		t.Fatalf("waiting for the webhook: %v", err)
	}
}

// mighty is a service account that may make claims, whatever it is.
func mighty(t *testing.T, namespace, name string) user {
	t.Helper()
	config := account(t, namespace, name)
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	})
	return newUser(t, config)
}

// TestT25StormOfATenant attacks the API server with more requests of a tenant's service accounts than it serves at a time, of which none
// ends unless the test lets it. Whoever shares their level waits until then. Agents and manager do not.
func TestT25StormOfATenant(t *testing.T) {
	agent, manager := newUser(t, ourAgent(t)), newUser(t, ourManager(t))
	awaitFlowSchemas(t)
	calm := make(chan struct{})
	stormy(t, "storm-of-a-tenant", func(ctx context.Context) {
		select {
		case <-calm:
		case <-ctx.Done():
		}
	})
	neighbour := mighty(t, "neighbour", "app")
	var tenants []user
	for i := range 4 {
		tenants = append(tenants, mighty(t, "storm-of-a-tenant", fmt.Sprintf("app-%d", i)))
	}
	storm(t, "workload-low", "storm-of-a-tenant", tenants...)

	// It would be the agents' lot without a level of their own.
	starved := make(chan error, 1)
	go func() { starved <- neighbour.claim(t.Context(), "neighbour") }()
	for range 5 {
		for what, err := range map[string]error{
			"ADD by an agent":      agent.claim(t.Context(), "default"),
			"ADD by the manager":   manager.claim(t.Context(), "default"),
			"a report of an agent": agent.report(t.Context(), "node-1"),
		} {
			if err != nil {
				t.Fatalf("%s during the storm: %v", what, err)
			}
		}
	}
	select {
	case err := <-starved:
		t.Errorf("there was no storm: who shares its level was served meanwhile (%v)", err)
	default:
	}
	close(calm)
	if err := <-starved; err != nil {
		t.Errorf("after the storm: %v", err)
	}
}

// TestT25StormOfAgents attacks by the agents themselves, whom the pods of one namespace have make more claims than the API server has seats for.
// What is another flow does not stand in their queue: reports, the manager, pods of other namespaces; and other people have their own seats.
func TestT25StormOfAgents(t *testing.T) {
	agent, manager := newUser(t, ourAgent(t)), newUser(t, ourManager(t))
	awaitFlowSchemas(t)
	neighbour := mighty(t, "neighbour-of-agents", "app")
	stormy(t, "storm-of-agents", func(ctx context.Context) {
		select { // longer than all else that a request costs
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	})
	inStorm := storm(t, "macpool", "storm-of-agents", agent)
	others := map[string]func() error{
		"a report":                    func() error { return agent.report(t.Context(), "node-1") },
		"the manager":                 func() error { return manager.claim(t.Context(), "default") },
		"an ADD in another namespace": func() error { return agent.claim(t.Context(), "default") },
		"a tenant's service account":  func() error { return neighbour.claim(t.Context(), "neighbour-of-agents") },
	}
	paces := make(map[string]*pace, len(others))
	var asked sync.WaitGroup
	for who, ask := range others {
		p := &pace{}
		paces[who] = p
		asked.Go(func() {
			for range 5 {
				if err := p.measure(ask); err != nil {
					t.Errorf("%s during the storm: %v", who, err)
				}
			}
		})
	}
	asked.Wait()
	for who, p := range paces {
		t.Logf("%s: %s, in the storm %s", who, p.mean(), inStorm.mean())
		if 2*p.mean() > inStorm.mean() {
			t.Errorf("%s took %s in the mean, a request of the storm %s", who, p.mean(), inStorm.mean())
		}
	}
}
