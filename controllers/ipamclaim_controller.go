// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/network"
)

// ipamClaimsEvery is the time between two looks whether IPAMClaims are served.
const ipamClaimsEvery = 30 * time.Second

// IPAMClaimReconciler serves the IPAMClaims of others, by which kubevirt/ipam-extensions asks for addresses that a VM keeps: the MacClaim
// of the same name is made when a pod refers to one (PodReconciler), and what it got is written into the IPAMClaim's status. It does nothing
// until the API server knows the kind, which may be installed at any time, and asks for it meanwhile.
//
// The kind is read without its types: of its module the API alone would bring a second client library, and what changes between its
// versions is not read.
type IPAMClaimReconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// Pods and Claims do what follows from an IPAMClaim that is there, or is gone.
	Pods   *PodReconciler
	Claims *MacClaimReconciler
	Clock  clock.PassiveClock
	// Every is the time between two looks whether IPAMClaims are served; 30 s if zero.
	Every time.Duration

	mgr     ctrl.Manager
	reader  client.Reader // of IPAMClaims
	options controller.Options
}

// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=ipamclaims,verbs=get;list;watch
// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=ipamclaims/status,verbs=patch
// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=network-attachment-definitions,verbs=list;watch
// +kubebuilder:rbac:groups=macpool.dev,resources=macclaims;macpools,verbs=get;list;watch

func (r *IPAMClaimReconciler) SetupWithManager(_ context.Context, mgr ctrl.Manager) error {
	if r.Every == 0 {
		r.Every = ipamClaimsEvery
	}
	r.mgr = mgr
	r.options = options(1)
	r.options.SkipNameValidation = mgr.GetControllerOptions().SkipNameValidation
	return mgr.Add(r)
}

// Start implements manager.Runnable: it waits until the kind is served and all IPAMClaims are read, and adds the controller then.
func (r *IPAMClaimReconciler) Start(ctx context.Context) error {
	served := func(context.Context) (bool, error) {
		_, err := r.mgr.GetRESTMapper().RESTMapping(kindIPAMClaim.GroupKind(), kindIPAMClaim.Version)
		return err == nil, nil // not served, or the API server does not answer: both may change
	}
	if wait.PollUntilContextCancel(ctx, r.Every, true, served) != nil {
		return nil //nolint:nilerr // the manager stops
	}
	own, err := r.read(ctx)
	if own == nil {
		return err
	}
	r.reader = own
	return ctrl.NewControllerManagedBy(r.mgr).
		Named("ipamclaim").
		WatchesRawSource(source.Kind(own, client.Object(newIPAMClaim()), &handler.EnqueueRequestForObject{})).
		Watches(&v1alpha1.MacClaim{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		WithOptions(r.options).
		Complete(r)
}

// read has a cache of IPAMClaims alone, when it has read them all; nil if the manager stops before. In the manager's own cache a kind that
// the API server names and does not list, for it was just uninstalled or nobody is allowed to, would keep every controller from
// starting: source.Kind waits for all that its cache reads, and ends the manager when that takes too long.
func (r *IPAMClaimReconciler) read(ctx context.Context) (cache.Cache, error) {
	own, err := cache.New(r.mgr.GetConfig(), cache.Options{
		HTTPClient: r.mgr.GetHTTPClient(), Scheme: r.mgr.GetScheme(), Mapper: r.mgr.GetRESTMapper(),
		DefaultTransform: cache.TransformStripManagedFields(),
	})
	if err != nil {
		return nil, fmt.Errorf("making a cache of IPAMClaims: %w", err)
	}
	if _, err := own.GetInformer(ctx, newIPAMClaim(), cache.BlockUntilSynced(false)); err != nil {
		return nil, fmt.Errorf("reading IPAMClaims: %w", err)
	}
	if err := r.mgr.Add(own); err != nil {
		return nil, fmt.Errorf("starting to read IPAMClaims: %w", err)
	}
	if !own.WaitForCacheSync(ctx) {
		return nil, nil //nolint:nilnil // the manager stops
	}
	return own, nil
}

func newIPAMClaim() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kindIPAMClaim)
	return object
}

func (r *IPAMClaimReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ipam := newIPAMClaim()
	err := r.reader.Get(ctx, req.NamespacedName, ipam)
	gone := apierrors.IsNotFound(err)
	if err != nil && !gone {
		return ctrl.Result{}, fmt.Errorf("reading IPAMClaim %s: %w", req.NamespacedName, err)
	}
	claim := &v1alpha1.MacClaim{}
	err = r.Client.Get(ctx, req.NamespacedName, claim)
	switch {
	case apierrors.IsNotFound(err) && gone:
		return ctrl.Result{}, nil
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, r.wanted(ctx, req)
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("reading claim %s: %w", req.NamespacedName, err)
	}
	var result ctrl.Result
	if kindOf(claim) == ofIPAMClaim && claim.Status.Holder == nil {
		// Its life depends on whether the IPAMClaim is there, of which it has no event of its own.
		if result, err = r.Claims.Reconcile(ctx, req); err != nil {
			return result, err
		}
	}
	if gone {
		return result, nil
	}
	return settle(result, r.fill(ctx, ipam, claim))
}

// wanted has the pods looked at that name an IPAMClaim for which there is no MacClaim yet: one of them makes it.
func (r *IPAMClaimReconciler) wanted(ctx context.Context, req ctrl.Request) error {
	var pods corev1.PodList
	err := r.Client.List(ctx, &pods, client.InNamespace(req.Namespace), podsByClaim.is(req.Name), client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("listing the pods that name IPAMClaim %s: %w", req.NamespacedName, err)
	}
	for i := range pods.Items {
		if _, err := r.Pods.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&pods.Items[i])}); err != nil {
			return err
		}
	}
	return nil
}

// ipamStatus is what macpool writes of an IPAMClaim's status.
type ipamStatus struct {
	IPs        []string           `json:"ips"`
	OwnerPod   *ipamOwnerPod      `json:"ownerPod,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

type ipamOwnerPod struct {
	Name string `json:"name,omitempty"`
}

// ipsAllocated is the condition of IPAMClaims that says whether they have addresses, and its reason if so: as others write it.
const (
	ipsAllocated         = "IPsAllocated"
	successfulAllocation = "SuccessfulAllocation"
)

// fill writes into the IPAMClaim what the claim has got, if it is for a network of ours: a claim that a person made may have the name of
// an IPAMClaim of another network by chance.
func (r *IPAMClaimReconciler) fill(ctx context.Context, ipam *unstructured.Unstructured, claim *v1alpha1.MacClaim) error {
	if kindOf(claim) != ofIPAMClaim {
		spec, ok := ipam.Object["spec"].(map[string]any)
		name, isText := spec["network"].(string)
		if !ok || !isText {
			return nil // of a form that is not known
		}
		if ours, err := r.isOurs(ctx, name, claim.Spec.PoolRef.Name); err != nil || !ours {
			return err
		}
	}
	var before ipamStatus
	if raw, ok := ipam.Object["status"].(map[string]any); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &before); err != nil {
			ctrl.LoggerFrom(ctx).V(1).Info("The status of an IPAMClaim was not understood", "error", err.Error())
			return nil
		}
	}
	pool := &v1alpha1.MacPool{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: claim.Spec.PoolRef.Name}, pool); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading pool %s: %w", claim.Spec.PoolRef.Name, err)
	}
	after := ipamStatusOf(claim, pool, before, ipam.GetGeneration(), r.Clock.Now())
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	text, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&after)
	if err != nil {
		return fmt.Errorf("writing the status of IPAMClaim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	updated := ipam.DeepCopy()
	updated.Object["status"] = text
	if err := r.Client.Status().Patch(ctx, updated, client.MergeFromWithOptions(ipam, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the status of IPAMClaim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	return nil
}

// isOurs tells whether a network of this name, as its configuration calls it, gets its addresses from the pool.
func (r *IPAMClaimReconciler) isOurs(ctx context.Context, name, pool string) (bool, error) {
	var nads nadv1.NetworkAttachmentDefinitionList
	if err := r.Client.List(ctx, &nads, networksByPool.is(pool), client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing the networks of pool %s: %w", pool, err)
	}
	for i := range nads.Items {
		if network.NameOf(&nads.Items[i]) == name {
			return true, nil
		}
	}
	return false, nil
}

// ipamStatusOf is the status of an IPAMClaim whose MacClaim is claim. The addresses have the length of their subnet, as other plugins
// write them.
func ipamStatusOf(claim *v1alpha1.MacClaim, pool *v1alpha1.MacPool, before ipamStatus, generation int64, now time.Time) ipamStatus {
	after := ipamStatus{IPs: []string{}}
	for _, c := range before.Conditions {
		after.Conditions = append(after.Conditions, *c.DeepCopy())
	}
	for _, text := range claim.Status.IPs {
		after.IPs = append(after.IPs, withLength(text, pool))
	}
	if holder := claim.Status.Holder; holder != nil {
		after.OwnerPod = &ipamOwnerPod{Name: holder.PodName}
	}
	condition := metav1.Condition{
		Type: ipsAllocated, ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now),
		Status: metav1.ConditionFalse, Reason: "Waiting", Message: "MacClaim " + claim.Name + " has no address yet",
	}
	if ready := apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimReady); ready != nil && ready.Status == metav1.ConditionFalse {
		condition.Reason, condition.Message = ready.Reason, ready.Message
	} else if claim.Status.LeaseName != "" {
		condition.Status, condition.Reason = metav1.ConditionTrue, successfulAllocation
		condition.Message = "MacClaim " + claim.Name + " has them, with MAC " + claim.Status.MAC
		if len(after.IPs) == 0 {
			condition.Message = "MacClaim " + claim.Name + " has MAC " + claim.Status.MAC + ", and its pool leases no addresses"
		}
	}
	apimeta.SetStatusCondition(&after.Conditions, condition)
	return after
}

func withLength(text string, pool *v1alpha1.MacPool) string {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return text
	}
	for _, s := range pool.Spec.Subnets {
		if subnet, err := netip.ParsePrefix(string(s.CIDR)); err == nil && subnet.Contains(ip) {
			return netip.PrefixFrom(ip, subnet.Bits()).String()
		}
	}
	return netip.PrefixFrom(ip, ip.BitLen()).String()
}
