// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
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

// NodeLabelReconciler writes on each Node by which pools' VLANs its pods are reached, as its agent reports: agents have no right to write on
// Nodes. The labels are derived from the report alone, so that any replica writes the same; an admission policy keeps the manager from
// writing anything else there.
type NodeLabelReconciler struct {
	Client client.Client
	// Clock must be monotonic, as time.Now is.
	Clock clock.PassiveClock
	// Silence is for how long this process must have seen no report before the node is taken for one that reaches nothing; 1 min if zero.
	Silence time.Duration

	last lastReports
}

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=macpool.dev,resources=macnodes,verbs=get;list;watch

func (r *NodeLabelReconciler) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	if r.Silence == 0 {
		r.Silence = defaultReportSilence
	}
	labelsChanged := predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !maps.Equal(readyLabels(e.ObjectOld), readyLabels(e.ObjectNew)) || e.ObjectOld.GetUID() != e.ObjectNew.GetUID()
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
	return ctrl.NewControllerManagedBy(mgr).Named("nodelabel").
		For(&corev1.Node{}, builder.WithPredicates(labelsChanged)).
		// A Node and its MacNode have one name.
		Watches(&v1alpha1.MacNode{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(parentsReported.changed())).
		WithOptions(options(1)).
		Complete(r)
}

func (r *NodeLabelReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	node, err := nodeOf(ctx, r.Client, req.Name)
	if err != nil || node == nil {
		r.last.forget(req.Name)
		return ctrl.Result{}, err
	}
	report := &v1alpha1.MacNode{}
	if err := client.IgnoreNotFound(r.Client.Get(ctx, req.NamespacedName, report)); err != nil {
		return ctrl.Result{}, fmt.Errorf("reading macnode %s: %w", req.Name, err)
	}
	wanted := map[string]string{}
	var result ctrl.Result
	// A node that was made again under the name may have other links.
	if report.Name != "" && (report.Status.NodeUID == "" || report.Status.NodeUID == node.UID) {
		if left := r.Silence - r.last.silence(report, r.Clock.Now()); left > 0 {
			for _, p := range report.Status.Parents {
				if p.State == v1alpha1.ParentReady {
					wanted[v1alpha1.LabelNodePrefix+p.PoolName] = v1alpha1.NodeReady
				}
			}
			if len(wanted) > 0 {
				result.RequeueAfter = left
			}
		}
	}
	return settle(result, r.label(ctx, node, wanted))
}

// label makes the node have the wanted labels of ours, and no other. The UID keeps them from a node that is made again meanwhile.
func (r *NodeLabelReconciler) label(ctx context.Context, node *corev1.Node, wanted map[string]string) error {
	changes := map[string]any{}
	has := readyLabels(node)
	for key := range has {
		if wanted[key] == "" {
			changes[key] = nil
		}
	}
	for key, value := range wanted {
		if has[key] != value {
			changes[key] = value
		}
	}
	if len(changes) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": node.UID, "labels": changes}})
	if err != nil {
		return fmt.Errorf("labelling node %s: %w", node.Name, err)
	}
	target := &corev1.Node{}
	target.Name = node.Name
	if err := r.Client.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("labelling node %s: %w", node.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Labelled a node", "labels", changes)
	return nil
}

// readyLabels are a node's labels that are ours.
func readyLabels(node client.Object) map[string]string {
	own := map[string]string{}
	for key, value := range node.GetLabels() {
		if strings.HasPrefix(key, v1alpha1.LabelNodePrefix) {
			own[key] = value
		}
	}
	return own
}
