// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"context"
	"fmt"
	"maps"
	"slices"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// inventory is all of the cluster that an adoption depends on.
type inventory struct {
	networks    []nadv1.NetworkAttachmentDefinition
	pods        []corev1.Pod
	templates   []template
	allocations []allocation
	pools       []v1alpha1.MacPool
	claims      []v1alpha1.MacClaim
}

// template is a workload that makes pods with a networks annotation.
type template struct {
	kind, namespace, name, annotation string
	// surge: a rolling update starts the new pod while the old one is there.
	surge bool
}

// inventoryOf reads the cluster. A kind that it does not know has no objects.
func inventoryOf(ctx context.Context, c client.Client) (*inventory, error) {
	var (
		networks     nadv1.NetworkAttachmentDefinitionList
		pods         corev1.PodList
		deployments  appsv1.DeploymentList
		statefulSets appsv1.StatefulSetList
		daemonSets   appsv1.DaemonSetList
		cronJobs     batchv1.CronJobList
		pools        v1alpha1.MacPoolList
		claims       v1alpha1.MacClaimList
	)
	for _, list := range []client.ObjectList{&networks, &pods, &deployments, &statefulSets, &daemonSets, &cronJobs, &pools, &claims} {
		if err := readAll(ctx, c, list); err != nil {
			return nil, err
		}
	}
	inv := &inventory{
		networks: networks.Items, pods: pods.Items, pools: pools.Items, claims: claims.Items,
		templates: templatesOf(deployments.Items, statefulSets.Items, daemonSets.Items, cronJobs.Items),
	}
	var err error
	inv.allocations, err = allocationsOf(ctx, c)
	return inv, err
}

// templatesOf are the workloads that select networks.
func templatesOf(deployments []appsv1.Deployment, statefulSets []appsv1.StatefulSet, daemonSets []appsv1.DaemonSet, cronJobs []batchv1.CronJob) (all []template) {
	add := func(kind string, meta metav1.ObjectMeta, pod *corev1.PodTemplateSpec, surge bool) {
		if annotation := pod.Annotations[nadv1.NetworkAttachmentAnnot]; annotation != "" {
			all = append(all, template{kind: kind, namespace: meta.Namespace, name: meta.Name, annotation: annotation, surge: surge})
		}
	}
	for i := range deployments {
		add("Deployment", deployments[i].ObjectMeta, &deployments[i].Spec.Template, surges(&deployments[i]))
	}
	for i := range statefulSets {
		add("StatefulSet", statefulSets[i].ObjectMeta, &statefulSets[i].Spec.Template, false)
	}
	for i := range daemonSets {
		add("DaemonSet", daemonSets[i].ObjectMeta, &daemonSets[i].Spec.Template, false)
	}
	for i := range cronJobs {
		add("CronJob", cronJobs[i].ObjectMeta, &cronJobs[i].Spec.JobTemplate.Spec.Template, false)
	}
	return all
}

// surges tells whether a Deployment starts new pods before it ends old ones.
func surges(d *appsv1.Deployment) bool {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return false
	}
	rolling := d.Spec.Strategy.RollingUpdate
	return rolling == nil || rolling.MaxSurge == nil || rolling.MaxSurge.String() != "0" && rolling.MaxSurge.String() != "0%"
}

// readAll lists all objects of a kind, none if the cluster does not know the kind.
func readAll(ctx context.Context, c client.Client, list client.ObjectList) error {
	err := c.List(ctx, list)
	if apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what there is to adopt: %w", err)
	}
	return nil
}

// pod is the pod of a name, nil if it is not there or has ended.
func (inv *inventory) pod(namespace, name string) *corev1.Pod {
	for i := range inv.pods {
		if p := &inv.pods[i]; p.Namespace == namespace && p.Name == name {
			return p
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
