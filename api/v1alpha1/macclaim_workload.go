// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// WorkloadKind is a kind of workload whose pods keep their addresses, or Pod for a pod that stands for itself. Any kind of controller may be one:
// its claims are numbered then, and each of its pods gets the lowest that is free.
//
// +kubebuilder:validation:MaxLength=63
type WorkloadKind string

const (
	// WorkloadPod is a pod that keeps its address only for its own life.
	WorkloadPod WorkloadKind = "Pod"

	// WorkloadStatefulSet is one ordinal of a StatefulSet.
	WorkloadStatefulSet WorkloadKind = "StatefulSet"

	// WorkloadDaemonSet is a DaemonSet's pod on one node.
	WorkloadDaemonSet WorkloadKind = "DaemonSet"

	// WorkloadVM is a virtual machine of KubeVirt, whichever virt-launcher pods it runs in.
	WorkloadVM WorkloadKind = "VirtualMachine"
)

// Workload is the stable identity that an address belongs to.
//
// +kubebuilder:validation:XValidation:rule="self.kind != 'Job' && self.kind != 'CronJob'",message="kind must not be Job or CronJob: a claim for one is named by its pods"
// +kubebuilder:validation:XValidation:rule="self.kind != 'VirtualMachineInstance'",message="kind must be VirtualMachine: the claim of a VM is the same in each of its instances"
// +kubebuilder:validation:XValidation:rule="self.kind in ['Pod', 'DaemonSet', 'VirtualMachine', 'VirtualMachineInstance', 'Job', 'CronJob'] || has(self.ordinal)",message="ordinal must be set: a claim is for one of the workload's replicas"
// +kubebuilder:validation:XValidation:rule="!(self.kind in ['Pod', 'DaemonSet', 'VirtualMachine']) || !has(self.ordinal)",message="ordinal must not be set for a Pod, a DaemonSet or a VirtualMachine"
// +kubebuilder:validation:XValidation:rule="(self.kind == 'DaemonSet') == has(self.node)",message="node must be set for a DaemonSet, and for nothing else"
type Workload struct {
	// kind is the kind of the workload: StatefulSet, Deployment, DaemonSet, VirtualMachine (of KubeVirt), any other kind of controller of pods
	// but Job and CronJob, or Pod. The pods of a ReplicaSet that is a Deployment's are the Deployment's.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	Kind WorkloadKind `json:"kind,omitempty"`

	// name is the workload's name, in the claim's namespace.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// ordinal tells the replicas apart: that of a StatefulSet's pod; of other kinds the number of the claim, from 0 on.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Ordinal *int32 `json:"ordinal,omitempty"`

	// node is the node of a DaemonSet's pod.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`

	// interface is the pod's interface that the address is for, such as net1.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	Interface string `json:"interface,omitempty"`
}
