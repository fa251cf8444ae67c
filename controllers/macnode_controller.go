// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/macpool/macpool/api/v1alpha1"
)

// defaultReportSilence is several times the interval at which agents report.
const defaultReportSilence = time.Minute

// MacNodeReconciler deletes the MacNodes of nodes that were deleted. An agent may outlive its Node for a while, since a kubelet does not
// make its Node again before it starts anew; as long as it reports, its MacNode stays: an agent that misses what it has written would take
// the API server for one that has gone back in time. It also stays as long as a pod of the node holds a claim.
type MacNodeReconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// APIReader reads live: nothing is deleted on the word of a cache.
	APIReader client.Reader
	// Clock must be monotonic, as time.Now is.
	Clock clock.PassiveClock
	// Silence is for how long this process must have seen no report; 1 min if zero.
	Silence time.Duration

	last lastReports
}

// lastReports are the last reports of nodes that this process has seen, and since when they are the last. The zero value is empty. Safe for
// concurrent use.
type lastReports struct {
	mu  sync.Mutex
	all map[string]lastReport // MacNode -> its last report
}

type lastReport struct {
	uid     types.UID
	renewed time.Time
	since   time.Time
}

// +kubebuilder:rbac:groups=macpool.dev,resources=macnodes,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims,verbs=list
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch

func (r *MacNodeReconciler) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	if r.Silence == 0 {
		r.Silence = defaultReportSilence
	}
	never := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
	return ctrl.NewControllerManagedBy(mgr).Named("macnode").
		For(&v1alpha1.MacNode{}, builder.WithPredicates(never)).
		// A Node and its MacNode have one name.
		Watches(&corev1.Node{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(never)).
		WithOptions(options(1)).
		Complete(r)
}

func (r *MacNodeReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	for _, reader := range []client.Reader{r.Client, r.APIReader} {
		report := &v1alpha1.MacNode{}
		if err := reader.Get(ctx, req.NamespacedName, report); err != nil {
			r.last.forget(req.Name)
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		node, err := nodeOf(ctx, reader, req.Name)
		if err != nil {
			return ctrl.Result{}, err
		}
		if node != nil {
			r.last.forget(req.Name)
			return ctrl.Result{}, nil
		}
		if left := r.Silence - r.last.silence(report, r.Clock.Now()); left > 0 {
			return ctrl.Result{RequeueAfter: left}, nil
		}
		if reader == r.APIReader {
			return r.remove(ctx, report)
		}
	}
	return ctrl.Result{}, nil
}

// remove deletes the report of a node that is gone, as it was read, unless a pod of that node holds a claim. None can
// become the holder of one any more: the node is gone.
func (r *MacNodeReconciler) remove(ctx context.Context, report *v1alpha1.MacNode) (ctrl.Result, error) {
	for _, field := range []string{"status.holder.nodeName", "status.alternate.nodeName"} {
		var held v1alpha1.MacClaimList
		if err := r.APIReader.List(ctx, &held, client.MatchingFields{field: report.Name}, client.Limit(1)); err != nil {
			return ctrl.Result{}, fmt.Errorf("listing the claims on node %s: %w", report.Name, err)
		}
		if len(held.Items) > 0 {
			return ctrl.Result{RequeueAfter: retryProblem}, nil
		}
	}
	err := r.Client.Delete(ctx, report, client.Preconditions{UID: &report.UID, ResourceVersion: &report.ResourceVersion})
	if err != nil {
		return settle(ctrl.Result{}, fmt.Errorf("deleting macnode %s: %w", report.Name, err))
	}
	r.last.forget(report.Name)
	ctrl.LoggerFrom(ctx).Info("Deleted the MacNode of a node that is gone")
	return ctrl.Result{}, nil
}

// silence is for how long this process has seen no newer report than this one.
func (l *lastReports) silence(report *v1alpha1.MacNode, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.all[report.Name]
	if ok && known.uid == report.UID && known.renewed.Equal(report.Status.RenewTime.Time) {
		return now.Sub(known.since)
	}
	if l.all == nil {
		l.all = map[string]lastReport{}
	}
	l.all[report.Name] = lastReport{uid: report.UID, renewed: report.Status.RenewTime.Time, since: now}
	return 0
}

func (l *lastReports) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, name)
}
