// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/problem"
)

// NADReconciler reads networks that name macpool and tells their authors what is wrong with them. It writes nothing but
// events: networks are others' objects.
type NADReconciler struct {
	// Client reads from the cache.
	Client   client.Client
	Recorder events.EventRecorder

	reports reports
}

// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=network-attachment-definitions,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

func (r *NADReconciler) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("network").For(&nadv1.NetworkAttachmentDefinition{}).Complete(r)
}

func (r *NADReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	nad := &nadv1.NetworkAttachmentDefinition{}
	if err := r.Client.Get(ctx, req.NamespacedName, nad); err != nil {
		r.reports.forget(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	findings := map[string]finding{}
	for _, p := range lint(nad) {
		findings[p.Kind.Reason] = findingOf(p)
	}
	for _, f := range r.reports.news(nad, findings) {
		say(r.Recorder, nad, "", f)
	}
	return ctrl.Result{}, nil
}

// lint finds what is wrong with a network that names macpool.
func lint(nad *nadv1.NetworkAttachmentDefinition) []*problem.Error {
	n, trouble := networkOf(nad)
	if trouble != nil {
		return []*problem.Error{trouble}
	}
	name := client.ObjectKeyFromObject(nad).String()
	var problems []*problem.Error
	if n.Ours && n.Pool == "" {
		problems = append(problems, problem.NoPoolNamed.New(name))
	}
	if n.Ours && !n.Chained {
		problems = append(problems, problem.ChainedEntryMissing.New(name))
	}
	return problems
}
