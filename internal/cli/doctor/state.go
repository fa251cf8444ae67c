// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"maps"
	"slices"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/installer/report"
)

// state is all that was read, once. Checks are functions of it.
type state struct {
	// node is the one node that is looked at, empty for all.
	node string
	// version is that of this program.
	version string
	// now is the API server's time.
	now time.Time
	// unread : resource -> why it could not be read.
	unread map[string]error

	customKinds  apiextensionsv1.CustomResourceDefinitionList
	policies     admissionv1.ValidatingAdmissionPolicyList
	bindings     admissionv1.ValidatingAdmissionPolicyBindingList
	nodes        corev1.NodeList
	pods         corev1.PodList
	configMaps   corev1.ConfigMapList // of kube-system
	deployments  appsv1.DeploymentList
	statefulSets appsv1.StatefulSetList
	daemonSets   appsv1.DaemonSetList
	jobs         batchv1.JobList
	cronJobs     batchv1.CronJobList
	machines     unstructured.UnstructuredList
	networks     nadv1.NetworkAttachmentDefinitionList
	pools        v1alpha1.MacPoolList
	claims       v1alpha1.MacClaimList
	leases       v1alpha1.MacLeaseList
	macNodes     v1alpha1.MacNodeList

	// astray are the leases and claims that did not go together in two readings.
	astray []astray
	// refusal is what a dry run of a pod with a multicast MAC was answered.
	refusal error
	// silent : node -> how old its agent's last report is, if none came while it was watched.
	silent map[string]time.Duration
	// offsets : node -> how far its clock is ahead of the API server's, of those that seemed silent and were not.
	offsets map[string]time.Duration
	// installers : node -> what its installer reports.
	installers map[string]inspection
}

// inspection is an installer's report, or why there is none.
type inspection struct {
	report.Node
	err error
}

// lists are the lists to read, by the name of their resource.
func (s *state) lists() map[string]client.ObjectList {
	s.machines.SetAPIVersion("kubevirt.io/v1")
	s.machines.SetKind("VirtualMachineList")
	return map[string]client.ObjectList{
		"customresourcedefinitions": &s.customKinds, "validatingadmissionpolicies": &s.policies, "validatingadmissionpolicybindings": &s.bindings,
		"nodes": &s.nodes, "pods": &s.pods, "configmaps": &s.configMaps, "deployments": &s.deployments, "statefulsets": &s.statefulSets,
		"daemonsets": &s.daemonSets, "jobs": &s.jobs, "cronjobs": &s.cronJobs, "virtualmachines": &s.machines, networkResource: &s.networks,
		"macpools": &s.pools, "macclaims": &s.claims, "macleases": &s.leases, "macnodes": &s.macNodes,
	}
}

// labelName and labelComponent are those of all that macpool's manifests and chart make.
const (
	labelName      = "app.kubernetes.io/name"
	labelComponent = "app.kubernetes.io/component"
)

func isOurs(object client.Object, component string) bool {
	l := object.GetLabels()
	return l[labelName] == "macpool" && l[labelComponent] == component
}

// workers are the Linux nodes on which pods may be started, and on which agents are due.
func (s *state) workers() []*corev1.Node {
	var workers []*corev1.Node
	for i := range s.nodes.Items {
		n := &s.nodes.Items[i]
		if !n.Spec.Unschedulable && (n.Labels[corev1.LabelOSStable] == "" || n.Labels[corev1.LabelOSStable] == "linux") && s.looksAt(n.Name) {
			workers = append(workers, n)
		}
	}
	return workers
}

func (s *state) looksAt(node string) bool { return s.node == "" || s.node == node }

// agentPods : node -> its agent's pod; the newest, if one is being replaced.
func (s *state) agentPods() map[string]*corev1.Pod {
	pods := map[string]*corev1.Pod{}
	for i := range s.pods.Items {
		p := &s.pods.Items[i]
		if !isOurs(p, "agent") || p.Spec.NodeName == "" {
			continue
		}
		if known := pods[p.Spec.NodeName]; known == nil || known.CreationTimestamp.Before(&p.CreationTimestamp) {
			pods[p.Spec.NodeName] = p
		}
	}
	return pods
}

// reporting are the MacNodes that are looked at, by node.
func (s *state) reporting() map[string]*v1alpha1.MacNode {
	nodes := map[string]*v1alpha1.MacNode{}
	for i := range s.macNodes.Items {
		if n := &s.macNodes.Items[i]; s.looksAt(n.Name) {
			nodes[n.Name] = n
		}
	}
	return nodes
}

func (s *state) poolsByName() map[string]*v1alpha1.MacPool {
	pools := map[string]*v1alpha1.MacPool{}
	for i := range s.pools.Items {
		pools[s.pools.Items[i].Name] = &s.pools.Items[i]
	}
	return pools
}

func (s *state) networksByName() map[types.NamespacedName]*nadv1.NetworkAttachmentDefinition {
	networks := map[types.NamespacedName]*nadv1.NetworkAttachmentDefinition{}
	for i := range s.networks.Items {
		networks[client.ObjectKeyFromObject(&s.networks.Items[i])] = &s.networks.Items[i]
	}
	return networks
}

// condition is a condition that is there and has the status, nil otherwise.
func condition(all []metav1.Condition, kind string, status metav1.ConditionStatus) *metav1.Condition {
	i := slices.IndexFunc(all, func(c metav1.Condition) bool { return c.Type == kind && c.Status == status })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// sorted are the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
