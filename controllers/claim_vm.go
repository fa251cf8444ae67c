// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/retention"
)

// +kubebuilder:rbac:groups=kubevirt.io,resources=virtualmachines;virtualmachineinstances,verbs=get
// +kubebuilder:rbac:groups=k8s.cni.cncf.io,resources=ipamclaims,verbs=get;list;watch

// What macpool knows of others' kinds, which may not be installed: their names.
var (
	kindVM        = schema.GroupVersionKind{Group: binding.KubeVirtGroup, Version: "v1", Kind: "VirtualMachine"}
	kindVMI       = schema.GroupVersionKind{Group: binding.KubeVirtGroup, Version: "v1", Kind: "VirtualMachineInstance"}
	kindIPAMClaim = schema.GroupVersionKind{Group: "k8s.cni.cncf.io", Version: "v1alpha1", Kind: "IPAMClaim"}
)

// kindOf is the kind of what a claim was made for, "" if it is not known to be for anything.
func kindOf(claim *v1alpha1.MacClaim) v1alpha1.WorkloadKind {
	if claim.Spec.Workload != nil {
		return claim.Spec.Workload.Kind
	}
	if _, ok := claim.Labels[v1alpha1.LabelIPAMClaim]; ok {
		return ofIPAMClaim
	}
	return ""
}

// lifeOfVM is lifeOf for the claim of a VM, or of an IPAMClaim. Both are there while the VM is stopped. An API server that does not know
// their kinds has not said that they are gone: who removes KubeVirt from a cluster removes what is left of its VMs (R-G1).
func lifeOfVM(ctx context.Context, workloads, cache, live client.Reader, claim *v1alpha1.MacClaim, now time.Time) (life, error) {
	in := lifeInput{
		Managed: true, Kind: kindOf(claim), Held: claim.Status.Holder != nil, EndedAt: retention.EndedAt(claim), Now: now,
	}
	if in.Held {
		return judgeLife(in), nil
	}
	var err error
	if in.Superseded, err = superseded(ctx, cache, claim); err != nil {
		return life{}, err
	}
	if in.Retain, err = retainBy(ctx, cache, claim); err != nil {
		return life{}, err
	}
	switch in.Kind {
	case v1alpha1.WorkloadVM:
		vm := client.ObjectKey{Namespace: claim.Namespace, Name: claim.Spec.Workload.Name}
		if in.Pod, err = podStateOfVM(ctx, workloads, vm); err == nil && in.Pod != podAlive {
			in.SetExists, err = anyExists(ctx, live, vm, kindVM, kindVMI)
		}
	default:
		in.SetExists, err = anyExists(ctx, live, client.ObjectKeyFromObject(claim), kindIPAMClaim)
	}
	if err != nil {
		return life{}, err
	}
	verdict := judgeLife(in)
	verdict.Alive = in.Pod == podAlive || in.SetExists
	verdict.Look = in.SetExists && !verdict.Ended
	verdict.Absent = !in.Superseded
	return verdict, nil
}

// podStateOfVM is what is known of the pods of a VM: the best of them.
func podStateOfVM(ctx context.Context, reader client.Reader, vm client.ObjectKey) (podState, error) {
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, client.InNamespace(vm.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return podGone, fmt.Errorf("listing the pods of namespace %s: %w", vm.Namespace, err)
	}
	state := podGone
	for i := range pods.Items {
		if binding.VMName(&pods.Items[i]) == vm.Name {
			state = max(state, stateOf(&pods.Items[i]))
		}
	}
	return state, nil
}

// anyExists tells whether there is an object of the name of one of the kinds, or nobody can tell, since they are not served.
func anyExists(ctx context.Context, live client.Reader, key client.ObjectKey, kinds ...schema.GroupVersionKind) (bool, error) {
	for _, kind := range kinds {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(kind)
		switch err := live.Get(ctx, key, object); {
		case err == nil, apimeta.IsNoMatchError(err):
			return true, nil
		case !apierrors.IsNotFound(err):
			return false, fmt.Errorf("reading %s %s: %w", kind.Kind, key, err)
		}
	}
	return false, nil
}
