// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// adoptWorkers is how many reports are written at once.
const adoptWorkers = 8

// adopt writes what the nodes report as attached of these pools. Its error says that some of it is to be tried again.
func (r *Recovery) adopt(ctx context.Context, nodes []v1alpha1.MacNode, pools []v1alpha1.MacPool) error {
	byName := make(map[string]*v1alpha1.MacPool, len(pools))
	for i := range pools {
		byName[pools[i].Name] = &pools[i]
	}
	var reports []binding.Reported
	for i := range nodes {
		for _, a := range nodes[i].Status.Attachments {
			if pool := byName[a.PoolName]; pool != nil {
				reports = append(reports, binding.Reported{
					NodeAttachment: a, NodeName: nodes[i].Name, NodeUID: nodes[i].Status.NodeUID, VLAN: pool.Spec.VLAN,
				})
			}
		}
	}
	leased, err := r.leased(ctx, reports)
	if err != nil {
		return err
	}
	granted, lost := binding.Contest(reports, leased)
	var mu sync.Mutex
	written := map[string]int{} // pool -> how many reports were news
	unwritten := map[string]int{}
	failed := each(granted, func(report *binding.Reported) error {
		changed, err := r.Binder.Adopt(ctx, *report)
		refused := cannotAdopt(err)
		if refused {
			r.tellRefused(ctx, report, byName[report.PoolName], err)
			err = r.Binder.Keep(ctx, *report)
		}
		mu.Lock()
		defer mu.Unlock()
		switch {
		case refused:
			unwritten[report.PoolName]++
		case changed:
			written[report.PoolName]++
		}
		return err
	})
	failed = errors.Join(failed, each(lost, func(loss *binding.Loss) error {
		mu.Lock()
		unwritten[loss.PoolName]++
		mu.Unlock()
		r.tellLoss(ctx, loss, byName[loss.PoolName])
		if loss.SameAddress() {
			return nil
		}
		return r.Binder.Keep(ctx, loss.Reported)
	}))
	if failed != nil {
		ctrl.LoggerFrom(ctx).Error(failed, "Writing what the nodes have reported did not succeed yet")
		return failed
	}
	for name, pool := range byName {
		note := fmt.Sprintf("Allocation goes on, on timeline %d; written again: %d, in conflict: %d", pool.Status.Timeline, written[name], unwritten[name])
		r.Recorder.Eventf(pool, nil, corev1.EventTypeNormal, "AllocationResumed", "Recover", "%s", note)
		ctrl.LoggerFrom(ctx).Info("Recovered a pool after the API server went back in time", "pool", name,
			"timeline", pool.Status.Timeline, "written", written[name], "conflicts", unwritten[name])
	}
	return nil
}

// each does something for all, some at once.
func each[T any](all []T, do func(*T) error) error {
	var working sync.WaitGroup
	errs := make([]error, len(all))
	slots := make(chan struct{}, adoptWorkers)
	for i := range all {
		slots <- struct{}{}
		working.Go(func() {
			defer func() { <-slots }()
			errs[i] = do(&all[i])
		})
	}
	working.Wait()
	return errors.Join(errs...)
}

// leased is whose the API says the leases are that are reported more than once.
func (r *Recovery) leased(ctx context.Context, reports []binding.Reported) (map[string]types.NamespacedName, error) {
	times := map[string]int{}
	for i := range reports {
		times[reports[i].LeaseName]++
	}
	owners := map[string]types.NamespacedName{}
	for name, n := range times {
		if n < 2 {
			continue
		}
		lease := &v1alpha1.MacLease{}
		err := r.Reader.Get(ctx, client.ObjectKey{Name: name}, lease)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading lease %s: %w", name, err)
		}
		if lease.Spec.ReleasedAt == nil {
			owners[name] = types.NamespacedName{Namespace: lease.Spec.ClaimRef.Namespace, Name: lease.Spec.ClaimRef.Name}
		}
	}
	return owners, nil
}

// cannotAdopt tells whether trying again is of no use: the namespace is gone too, or somebody's policy or quota refuses the claim.
func cannotAdopt(err error) bool {
	if apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return false // the definitions are not there yet
	}
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
}

// tellLoss lists a report that cannot be granted, once.
func (r *Recovery) tellLoss(ctx context.Context, loss *binding.Loss, pool *v1alpha1.MacPool) {
	if !r.isNews(&loss.Reported) {
		return
	}
	to := &loss.To
	note := problem.LeaseLost.New(loss.LeaseName, loss.Namespace, loss.ClaimName, to.Namespace, to.ClaimName).Error()
	if loss.Namespace == to.Namespace && loss.ClaimName == to.ClaimName {
		note = problem.LeaseLost.New(loss.LeaseName, loss.Namespace, loss.ClaimName, to.Namespace, to.ClaimName+" with lease "+to.LeaseName).Error()
	}
	note = fmt.Sprintf("Pod %s on node %s and pod %s on node %s were both attached when the API server went back in time: %s",
		loss.PodName, loss.NodeName, to.PodName, to.NodeName, note)
	r.tell(ctx, &loss.Reported, pool, problem.LeaseLost.Reason, note)
}

// tellRefused lists a report that cannot be written, once.
func (r *Recovery) tellRefused(ctx context.Context, report *binding.Reported, pool *v1alpha1.MacPool, err error) {
	if r.isNews(report) {
		r.tell(ctx, report, pool, problem.ClaimRefused.Reason, problem.ClaimRefused.New(report.Namespace, report.ClaimName, rootCause(err)).Error())
	}
}

func (r *Recovery) isNews(report *binding.Reported) bool {
	key := report.NodeName + "/" + string(report.PodUID) + "/" + report.LeaseName
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said[key] {
		return false
	}
	r.said[key] = true
	return true
}

// tell says it to the claim, if there is one, and to the pool.
func (r *Recovery) tell(ctx context.Context, report *binding.Reported, pool *v1alpha1.MacPool, reason, note string) {
	ctrl.LoggerFrom(ctx).Info("What a node has attached is in conflict", "node", report.NodeName, "pod", report.PodName,
		"claimNamespace", report.Namespace, "claim", report.ClaimName, "lease", report.LeaseName, "note", note)
	about := []runtime.Object{pool}
	claim := &v1alpha1.MacClaim{}
	if r.Reader.Get(ctx, client.ObjectKey{Namespace: report.Namespace, Name: report.ClaimName}, claim) == nil {
		about = append(about, claim)
	}
	for _, object := range about {
		r.Recorder.Eventf(object, nil, corev1.EventTypeWarning, reason, "Recover", "%s", problem.Cut(note, problem.MaxNote))
	}
}
