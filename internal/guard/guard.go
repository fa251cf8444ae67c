// SPDX-License-Identifier: Apache-2.0

// Package guard sees to it that the admission policies which guard something are in force (T26). Each of them, and its binding, is compared
// with what this program was built with, which finds whatever was edited: one that fails open, is narrowed, or demands nothing. And a
// write that it must refuse is sent as a dry run, which finds what no comparison can: an API server that does not ask policies, or has not
// yet taken notice of this one, or a binding whose parameter is not there.
//
// What fails open guards nothing, and is left out.
package guard

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/problem"
)

const (
	// defaultEvery lets several looks fall into the minute in which a policy that is gone must be noticed.
	defaultEvery = 20 * time.Second
	// defaultSoon is for what is not in force: an API server takes a moment to notice a policy that was made or mended.
	defaultSoon = 2 * time.Second
	// patience is how long one look may take.
	patience = 10 * time.Second
	// jitter keeps replicas from asking at the same time.
	jitter = 0.2
)

// Guard looks at the policies over and over. It is ready while all of them are in force. An API server that does not answer has not said that
// they are not: that leaves things as they were. Make one with its fields, and add it to a manager.
type Guard struct {
	// Live reads and writes at the API server, Cache reads from caches.
	Live     client.Client
	Cache    client.Reader
	Recorder events.EventRecorder
	Clock    clock.Clock
	// Every is how often it looks, Soon how often while something is not in force; 20 s and 2 s if zero.
	Every, Soon time.Duration

	mu sync.Mutex
	// verdicts are why a policy is not in force, empty if it is; nothing of one about which nobody has answered: policy -> why
	verdicts map[string]string
}

// guarding are the policies that guard something.
func guarding() []admissionv1.ValidatingAdmissionPolicy {
	return slices.DeleteFunc(slices.Clone(Policies()), func(p admissionv1.ValidatingAdmissionPolicy) bool {
		return *served(&p).FailurePolicy != admissionv1.Fail
	})
}

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get,resourceNames=macpool-agent-claims;macpool-agent-leases;macpool-agent-nodes;macpool-claim-in-use;macpool-force-release;macpool-node-labels;macpool-only;macpool-pod-gate;macpool-pool-in-use
// +kubebuilder:rbac:groups=macpool.dev,resources=macpools;macnodes,verbs=create;patch,resourceNames=macpool-policy-probe
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims;macleases,verbs=create
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims,verbs=delete
// +kubebuilder:rbac:groups="",resources=pods;nodes,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Start looks until the context ends.
func (g *Guard) Start(ctx context.Context) error {
	if g.Every == 0 {
		g.Every = defaultEvery
	}
	if g.Soon == 0 {
		g.Soon = defaultSoon
	}
	for {
		g.look(ctx)
		next := g.Every
		if g.Ready(nil) != nil {
			next = g.Soon
		}
		select {
		case <-ctx.Done():
			return nil
		case <-g.Clock.After(wait.Jitter(next, jitter)):
		}
	}
}

// NeedLeaderElection : each replica says for itself whether it is ready.
func (g *Guard) NeedLeaderElection() bool { return false }

// Ready is nil while all policies are in force, as far as is known; a healthz.Checker.
func (g *Guard) Ready(*http.Request) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []error
	for _, policy := range guarding() {
		why, known := g.verdicts[policy.Name]
		switch {
		case !known:
			all = append(all, problem.PolicyNotInForce.New(policy.Name, "the API server has not answered yet"))
		case why != "":
			all = append(all, problem.PolicyNotInForce.New(policy.Name, why))
		}
	}
	return errors.Join(all...)
}

// look judges each policy, and says what has changed.
func (g *Guard) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	log := ctrl.LoggerFrom(ctx).WithName("guard")
	for _, policy := range guarding() {
		why, err := g.judge(ctx, &policy)
		if err != nil {
			log.V(1).Info("Could not tell whether a policy is in force", "policy", policy.Name, "error", err.Error())
			continue
		}
		g.mu.Lock()
		before, known := g.verdicts[policy.Name]
		if g.verdicts == nil {
			g.verdicts = map[string]string{}
		}
		g.verdicts[policy.Name] = why
		g.mu.Unlock()
		switch {
		case why == before && (known || why == ""):
		case why == "":
			log.Info("A policy is in force again", "policy", policy.Name)
		default:
			p := problem.PolicyNotInForce.New(policy.Name, why)
			log.Info("A policy is not in force", "policy", policy.Name, "reason", p.Error())
			about := &admissionv1.ValidatingAdmissionPolicy{}
			about.Name = policy.Name
			g.Recorder.Eventf(about, nil, corev1.EventTypeWarning, p.Kind.Reason, "Guard", "%s", problem.Cut(p.Error(), problem.MaxNote))
		}
	}
}

// judge is why a policy is not in force, empty if it is; an error if nobody can tell.
func (g *Guard) judge(ctx context.Context, want *admissionv1.ValidatingAdmissionPolicy) (why string, err error) {
	got, err := read[admissionv1.ValidatingAdmissionPolicy](ctx, g.Live, want.Name)
	if err != nil {
		return refused(err)
	}
	if why = ComparePolicy(want, got); why != "" {
		return why, nil
	}
	for i := range Bindings() {
		binding := &Bindings()[i]
		if binding.Spec.PolicyName != want.Name {
			continue
		}
		bound, err := read[admissionv1.ValidatingAdmissionPolicyBinding](ctx, g.Live, binding.Name)
		if err != nil {
			return refused(err)
		}
		if why = CompareBinding(binding, bound); why != "" {
			return why, nil
		}
	}
	p := probes[want.Name]
	return p.answer(want.Name, p.write(ctx, g.Live, g.Cache))
}

// read reads an object, nil if there is none of the name.
func read[T any, P interface {
	*T
	client.Object
}](ctx context.Context, live client.Reader, name string) (P, error) {
	object := P(new(T))
	err := live.Get(ctx, client.ObjectKey{Name: name}, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
}

// Describe implements prometheus.Collector.
func (g *Guard) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- metric.PolicyInForce.Desc()
}

// Collect implements prometheus.Collector.
func (g *Guard) Collect(metrics chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for policy, why := range g.verdicts {
		value := 0.0
		if why == "" {
			value = 1
		}
		metrics <- metric.PolicyInForce.At(value, policy)
	}
}
