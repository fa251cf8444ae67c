// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/installer/report"
)

// Of a cluster in which nothing is wrong there is nothing to say.
func TestHealthy(t *testing.T) {
	for _, node := range []string{"", "n1"} {
		s := healthy()
		s.node = node
		for _, subject := range examine(s) {
			for _, f := range subject.Findings {
				t.Errorf("node %q, %s: %+v", node, subject.Name, f)
			}
		}
	}
}

// typed are workloads whose networks annotation is as somebody typed it.
func typed(networks string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: networks}}
}

func statefulSet(name, networks string, replicas int32) appsv1.StatefulSet {
	return appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: name}, Spec: appsv1.StatefulSetSpec{
		Replicas: &replicas, Template: corev1.PodTemplateSpec{ObjectMeta: typed(networks)},
	}}
}

func poolCondition(kind, message string) func(*state) {
	return func(s *state) {
		s.pools.Items[0].Status.Conditions = append(s.pools.Items[0].Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Message: message})
	}
}

func inspected(edit func(*inspection)) func(*state) {
	return func(s *state) {
		i := s.installers["n2"]
		edit(&i)
		s.installers["n2"] = i
	}
}

// Each fault of a cluster is found where it is, and its fix is named.
func TestSeededFaults(t *testing.T) {
	const forbidden = "Ask an administrator"
	for name, tc := range map[string]struct {
		seed    func(*state)
		subject string
		want    Severity // Fault if empty
		node    string
		words   []string
		fix     string
	}{
		"a kind is missing":         {seed: func(s *state) { s.customKinds.Items = slices.Delete(s.customKinds.Items, 0, 1) }, subject: "kinds", words: []string{"MacClaim", "missing"}, fix: "Install macpool again"},
		"a kind is older":           {seed: olderKind, subject: "kinds", words: []string{"older than this program", "spec.cooldown"}, fix: "Install macpool again"},
		"a kind is newer":           {seed: newerKind, subject: "kinds", want: Hint, words: []string{"newer", "spec.added"}, fix: "Get kubectl-macpool"},
		"a kind is not established": {seed: func(s *state) { s.customKinds.Items[0].Status.Conditions = nil }, subject: "kinds", words: []string{"not established"}, fix: "kubectl describe crd"},
		"a policy is missing":       {seed: func(s *state) { s.policies.Items = s.policies.Items[1:] }, subject: "policies", words: []string{"MP315", "macpool-agent-claims is not in force", "no ValidatingAdmissionPolicy of that name"}, fix: "Install macpool again"},
		"a policy fails open":       {seed: func(s *state) { s.policies.Items[0].Spec.FailurePolicy = new(admissionv1.Ignore) }, subject: "policies", words: []string{"failurePolicy Ignore and not Fail"}, fix: "Install"},
		"a policy was edited":       {seed: func(s *state) { s.policies.Items[0].Spec.Validations[0].Expression = "true" }, subject: "policies", words: []string{"other rules"}, fix: "Install"},
		"a policy is not bound": {seed: func(s *state) {
			s.bindings.Items[0].Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
		}, subject: "policies", words: []string{"not bound"}, fix: "Install"},
		"policies are not in force":          {seed: func(s *state) { s.refusal = nil }, subject: "policies", words: []string{"not in force"}, fix: "macpool.dev/mac-policy=off"},
		"the dry run may not be asked":       {seed: func(s *state) { s.refusal = errors.New("pods is forbidden") }, subject: "policies", want: Unchecked, words: []string{"pods is forbidden"}},
		"no manager is ready":                {seed: func(s *state) { s.deployments.Items[0].Status.ReadyReplicas = 0 }, subject: "manager", words: []string{"no manager is ready, of 2"}, fix: "kubectl -n macpool-system logs deployment/macpool-manager"},
		"one manager is not ready":           {seed: func(s *state) { s.deployments.Items[0].Status.ReadyReplicas = 1 }, subject: "manager", want: Hint, words: []string{"1 of 2"}, fix: "logs"},
		"the manager is scaled down":         {seed: func(s *state) { s.deployments.Items[0].Spec.Replicas = new(int32(0)) }, subject: "manager", words: []string{"scaled to 0"}, fix: "scale deployment/macpool-manager"},
		"the manager crashes":                {seed: crashingManager, subject: "manager", words: []string{"restarted 7 times", "exit status 1"}, fix: "logs --previous"},
		"there is no manager":                {seed: func(s *state) { s.deployments.Items = nil; s.macNodes.Items = nil }, subject: "manager", words: []string{"no manager"}, fix: "Install"},
		"there is no agent":                  {seed: func(s *state) { s.pods.Items = s.pods.Items[:1]; s.macNodes.Items = s.macNodes.Items[:1] }, subject: "agents", node: "n2", words: []string{"node n2 has no agent"}, fix: "tolerates the taints"},
		"an agent is left out":               {seed: leftOutNode, subject: "agents", want: Hint, node: "n2", words: []string{"nodeSelector"}, fix: "Extend"},
		"an agent is no pod":                 {seed: func(s *state) { s.pods.Items = s.pods.Items[:1] }, subject: "agents", want: Unchecked, node: "n2", words: []string{"by no pod"}},
		"an agent is not ready":              {seed: func(s *state) { s.pods.Items[1].Status.Conditions = nil }, subject: "agents", node: "n2", words: []string{"not ready"}, fix: "kubectl -n macpool-system describe pod macpool-agent-n2"},
		"an agent's image cannot be pulled":  {seed: unpulled, subject: "agents", node: "n2", words: []string{"ImagePullBackOff"}, fix: "describe pod"},
		"an agent is silent":                 {seed: func(s *state) { s.silent["n2"] = 3 * time.Minute }, subject: "agents", node: "n2", words: []string{"is silent", "3m0s old"}, fix: "reaches the API server"},
		"an agent has never reported":        {seed: func(s *state) { s.macNodes.Items = s.macNodes.Items[:1] }, subject: "agents", node: "n2", words: []string{"never reported"}, fix: "logs"},
		"a node has not confirmed a restore": {seed: func(s *state) { s.pools.Items[0].Status.Timeline, s.macNodes.Items[0].Status.Timeline = 2, 2 }, subject: "agents", want: Hint, node: "n2", words: []string{"gone back in time"}, fix: "by itself"},
		"an agent is of another version":     {seed: func(s *state) { s.macNodes.Items[1].Status.AgentVersion = "v0.2.0" }, subject: "versions", want: Hint, words: []string{"v0.1.0 on n1; v0.2.0 on n2"}, fix: "update"},
		"this program is old":                {seed: func(s *state) { s.version = "v0.0.9" }, subject: "versions", want: Hint, words: []string{"this program is of version v0.0.9"}, fix: "Get kubectl-macpool"},
		"the manager is of another version":  {seed: func(s *state) { s.deployments.Items[0].Spec.Template.Spec.Containers[0].Image = "r:5000/m:v0.2.0" }, subject: "versions", want: Hint, words: []string{"v0.2.0, the agents' of v0.1.0"}, fix: "one release"},
		"a clock is behind":                  {seed: func(s *state) { s.offsets["n2"] = -time.Hour }, subject: "clocks", want: Hint, node: "n2", words: []string{"1h0m0s behind"}, fix: "NTP"},
		"the plugin is missing":              {seed: inspected(func(i *inspection) { i.Problem = "/opt/cni/bin/macpool: not installed yet" }), subject: "plugins", node: "n2", words: []string{"not in place on node n2"}, fix: "container installer"},
		"the plugin is another's": {seed: inspected(func(i *inspection) {
			i.Problem = "MP517: /opt/cni/bin/macpool on the node is not macpool's plugin, and stays as it is"
		}), subject: "plugins", node: "n2", words: []string{"/opt/cni/bin/macpool"}},
		"the socket is missing": {seed: inspected(func(i *inspection) { i.Socket = false }), subject: "plugins", node: "n2", words: []string{"/run/macpool/agent.sock"}, fix: "container agent"},
		"a reference plugin is missing": {seed: inspected(func(i *inspection) {
			i.Directories = []report.Directory{{Dir: "/opt/cni/bin", Plugins: []string{"macpool"}}}
		}), subject: "plugins", node: "n2", words: []string{"no CNI plugin macvlan in /opt/cni/bin", "home/iot"}, fix: "MACPOOL_REFERENCE_PLUGINS=macvlan"},
		"a node may not be asked":              {seed: inspected(func(i *inspection) { i.err = errors.New("pods/exec is forbidden") }), subject: "plugins", want: Unchecked, node: "n2", words: []string{"forbidden"}, fix: "pods/exec"},
		"Multus is not configured":             {seed: inspected(func(i *inspection) { i.Multus = nil }), subject: "multus", node: "n2", words: []string{"no configuration of Multus"}, fix: "first by name"},
		"Multus comes second":                  {seed: inspected(func(i *inspection) { i.Multus[0].Before = "/etc/cni/net.d/00-a.conf" }), subject: "multus", node: "n2", words: []string{"takes /etc/cni/net.d/00-a.conf before"}, fix: "first by name"},
		"Cilium renamed Multus' configuration": {seed: inspected(func(i *inspection) { i.Renamed = []string{"/etc/cni/net.d/00-multus.conf.cilium_bak"} }), subject: "multus", node: "n2", words: []string{"cilium_bak"}, fix: "cni.exclusive=false"},
		"Cilium is exclusive (founding case)":  {seed: func(s *state) { s.configMaps.Items[0].Data = map[string]string{"cni-exclusive": "true"} }, subject: "multus", words: []string{"kube-system/cilium-config"}, fix: "cni-exclusive: \"false\""},
		"there is no Multus":                   {seed: func(s *state) { s.customKinds.Items = s.customKinds.Items[:len(s.customKinds.Items)-1] }, subject: "multus", words: []string{"no Multus"}, fix: "Install Multus"},
		"Multus crashes":                       {seed: crashingMultus, subject: "multus", node: "n2", words: []string{"CrashLoopBackOff"}, fix: "kubectl -n kube-system logs multus"},
		"a parent is missing":                  {seed: parentIs(v1alpha1.ParentMissing), subject: "links", node: "n2", words: []string{"MP535", "eth0.50", "n2"}, fix: "Make the link"},
		"a parent is down":                     {seed: parentIs(v1alpha1.ParentDown), subject: "links", node: "n2", words: []string{"eth0.50", "carrier"}, fix: "Set it up"},
		"the VLAN does not reach a node":       {seed: parentIs(v1alpha1.ParentSilent), subject: "links", node: "n2", words: []string{"gateway of pool iot"}, fix: "switch port"},
		"a parent is of another VLAN":          {seed: func(s *state) { s.pools.Items[0].Spec.Parents[0].Link = "bond0.60" }, subject: "links", words: []string{"VLAN 50", "bond0.60", "VLAN 60"}, fix: "VLAN 50"},
		"a network is of another VLAN":         {seed: func(s *state) { s.networks.Items[0] = networkOf("iot", "eth0.60", "iot") }, subject: "networks", words: []string{"MP411", "VLAN 60"}, fix: "eth0.50"},
		"a network cannot be read":             {seed: func(s *state) { s.networks.Items[0].Spec.Config = `{"type": "macpool"` }, subject: "networks", words: []string{"MP401", "home/iot"}, fix: "Correct the JSON"},
		"a network names no pool that exists":  {seed: func(s *state) { s.networks.Items[0] = networkOf("iot", "eth0.50", "tv") }, subject: "networks", words: []string{"MP302", `"tv"`}, fix: "kubectl get macpools"},
		"a chained entry is missing":           {seed: unchained, subject: "networks", want: Hint, words: []string{"MP405"}, fix: "Append"},
		"a pool is not Ready":                  {seed: unreadyPool, subject: "pools", words: []string{"MP303", "the same prefix"}, fix: "Correct the pool"},
		"a pool nobody has looked at":          {seed: func(s *state) { s.pools.Items[0].Status.Conditions = nil }, subject: "pools", words: []string{"no manager has looked"}, fix: "manager"},
		"a pool is exhausted":                  {seed: poolCondition(v1alpha1.PoolExhausted, "MP301: pool iot has no address left: of 4. Add a range to the pool."), subject: "pools", words: []string{"MP301", "Add a range"}},
		"a pool is nearly full":                {seed: func(s *state) { s.pools.Items[0].Status.Available = new(int64(12)) }, subject: "pools", want: Hint, words: []string{"12 of its 253"}, fix: "Add a range"},
		"allocation is paused":                 {seed: poolCondition(v1alpha1.PoolAllocationPaused, "MP307: no address of pool iot is given out"), subject: "pools", words: []string{"MP307"}},
		"the brake is engaged":                 {seed: poolCondition(v1alpha1.PoolReleasesPaused, "MP308: 20 leases of pool iot would be released at once"), subject: "pools", words: []string{"MP308"}},
		"the brake is off": {seed: func(s *state) {
			s.pools.Items[0].Annotations = map[string]string{v1alpha1.AnnotationReleases: "resumed"}
		}, subject: "pools", want: Hint, words: []string{"switched off"}, fix: "Remove the annotation"},
		"a namespace takes a pool from the others": {seed: leasedBy("shop", 127), subject: "pools", want: Hint, words: []string{"namespace shop has 127 of the 253 addresses of pool iot, which 2 namespaces use"}, fix: "maxPerNamespace"},
		"a multicast MAC (founding case)": {seed: func(s *state) {
			s.deployments.Items[1].Spec.Template.ObjectMeta = typed(`[{"name": "iot", "mac": "f1:fd:59:0b:bd:2b"}]`)
		}, subject: "workloads", words: []string{"MP101", "Deployment home/hub", "f1:fd:59:0b:bd:2b"}, fix: "f2:fd:59:0b:bd:2b"},
		"a universal MAC in a CronJob": {seed: cronJob, subject: "workloads", want: Hint, words: []string{"CronJob home/backup", "universally"}, fix: "Drop the MAC"},
		"a MAC in two workloads": {seed: func(s *state) {
			s.statefulSets.Items = []appsv1.StatefulSet{statefulSet("a", `[{"name": "iot", "mac": "02:00:00:00:00:01"}]`, 1), statefulSet("b", `[{"name": "iot", "mac": "02-00-00-00-00-01"}]`, 1)}
		}, subject: "workloads", words: []string{"StatefulSet home/a and in StatefulSet home/b"}, fix: "all of them but one"},
		"a MAC in a template of three": {seed: func(s *state) {
			s.statefulSets.Items = []appsv1.StatefulSet{statefulSet("a", `[{"name": "iot", "mac": "02:00:00:00:00:01"}]`, 3)}
		}, subject: "workloads", words: []string{"which has 3 pods"}, fix: "replicas: 1"},
		"a MAC of a VM": {seed: machine("03:00:00:00:00:01"), subject: "workloads", words: []string{"VirtualMachine home/vm", "MP101"}, fix: "02:00:00:00:00:01"},
		"an address in two workloads": {seed: func(s *state) {
			s.statefulSets.Items = []appsv1.StatefulSet{statefulSet("a", `[{"name": "iot", "ips": ["192.168.50.8/24"]}]`, 1)}
		}, subject: "workloads", words: []string{"address 192.168.50.8 is typed in Deployment home/hub and in StatefulSet home/a"}, fix: "Drop the address"},
		"a network that does not exist":     {seed: func(s *state) { s.statefulSets.Items = []appsv1.StatefulSet{statefulSet("a", `lan`, 1)} }, subject: "workloads", words: []string{"MP232", "home/lan"}, fix: "NetworkAttachmentDefinition"},
		"an annotation that cannot be read": {seed: func(s *state) { s.statefulSets.Items = []appsv1.StatefulSet{statefulSet("a", `[{"name": `, 1)} }, subject: "workloads", words: []string{"MP402", "StatefulSet home/a"}, fix: "JSON list"},
		"a claim waits":                     {seed: waitingClaim, subject: "claims", words: []string{"claim home/hub has no address", "MP203"}, fix: "describe macclaim"},
		"a claim is suspect":                {seed: suspectClaim, subject: "claims", node: "n2", words: []string{"MP219"}},
		"a lease is stale":                  {seed: func(s *state) { s.claims.Items = nil; s.astray = straying(s.leases.Items, nil) }, subject: "leases", words: []string{"vlan-50.192.168.50.8 is stale", "does not exist"}, fix: "manager"},
		"a claim has lost its lease":        {seed: func(s *state) { s.leases.Items = nil; s.astray = straying(nil, s.claims.Items) }, subject: "leases", words: []string{"claim home/hub names lease"}, fix: "manager"},
		"an address in conflict": {seed: func(s *state) {
			s.leases.Items[0].Spec.Conflict = &v1alpha1.Conflict{MAC: "d8:3a:dd:00:00:01", NodeName: "n2"}
		}, subject: "leases", node: "n2", words: []string{"MP207", "d8:3a:dd:00:00:01"}, fix: "exclude the address"},
		"interfaces linger":              {seed: func(s *state) { s.macNodes.Items[1].Status.Lingering = new(int32(2)) }, subject: "reports", node: "n2", words: []string{"2 interfaces"}, fix: "crictl pods"},
		"DELs wait":                      {seed: func(s *state) { s.macNodes.Items[1].Status.Spooled = new(int32(3)) }, subject: "reports", want: Hint, node: "n2", words: []string{"3 DELs"}, fix: "log"},
		"ends wait":                      {seed: func(s *state) { s.macNodes.Items[1].Status.PendingClears = new(int32(3)) }, subject: "reports", want: Hint, node: "n2", words: []string{"3 interfaces are gone"}, fix: "log"},
		"an interface was fenced":        {seed: fenced, subject: "reports", want: Hint, node: "n2", words: []string{"home/hub-0"}, fix: "Delete those pods"},
		"a stranger is heard":            {seed: stranger, subject: "reports", node: "n2", words: []string{"d8:3a:dd:00:00:01", "192.168.50.8"}, fix: "docs/conflicts.md"},
		"what may not be read":           {seed: func(s *state) { s.unread["macpools"] = noRight("macpools") }, subject: "pools", want: Unchecked, words: []string{"may not list macpools"}, fix: forbidden},
		"templates that may not be read": {seed: func(s *state) { s.unread["cronjobs"] = noRight("cronjobs") }, subject: "workloads", want: Unchecked, words: []string{"may not list cronjobs"}, fix: forbidden},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			tc.seed(s)
			if tc.want == "" {
				tc.want = Fault
			}
			subjects := examine(s)
			i := slices.IndexFunc(subjects, func(x Subject) bool { return x.Name == tc.subject })
			matches := func(f Finding) bool {
				text := f.Code + " " + f.What
				return f.Severity == tc.want && f.Node == tc.node && strings.Contains(f.Fix, tc.fix) &&
					!slices.ContainsFunc(tc.words, func(word string) bool { return !strings.Contains(text, word) })
			}
			if !slices.ContainsFunc(subjects[i].Findings, matches) {
				t.Errorf("got %+v", subjects[i].Findings)
			}
			if tc.want != Fault { // nor is anything made worse than it is
				r := Report{Subjects: subjects}
				if n := r.count(Fault); n != 0 {
					t.Errorf("%d faults: %+v", n, subjects)
				}
			}
		})
	}
}

func noRight(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("no"))
}

func poolSpec(s *state) map[string]apiextensionsv1.JSONSchemaProps {
	i := slices.IndexFunc(s.customKinds.Items, func(k apiextensionsv1.CustomResourceDefinition) bool { return k.Spec.Names.Kind == "MacPool" })
	return s.customKinds.Items[i].Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties
}

// leasedBy gives a namespace addresses of the pool, of which one cools and one has cooled down.
func leasedBy(namespace string, n int) func(*state) {
	return func(s *state) {
		for i := range n + 1 {
			l := v1alpha1.MacLease{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("vlan-50.192.168.50.%d", i+100)},
				Spec:       v1alpha1.MacLeaseSpec{PoolName: "iot", ClaimRef: v1alpha1.ClaimRef{Namespace: namespace, Name: fmt.Sprintf("claim-%d", i)}},
			}
			if released := ago(time.Minute); i < 2 {
				l.Spec.ReleasedAt = &released
				if i == 0 {
					l.Spec.ReusableAt = &released
				}
			}
			s.leases.Items = append(s.leases.Items, l)
		}
	}
}

// Who has half of a pool takes nothing from others if there are none, if the pool says how much that may be, or if it is less than half.
func TestSharesOfAPool(t *testing.T) {
	for name, seed := range map[string]func(*state){
		"less than half": leasedBy("shop", 126),
		"alone":          leasedBy("home", 200),
		"with a ceiling": func(s *state) {
			s.pools.Items[0].Spec.MaxPerNamespace = new(int32(200))
			leasedBy("shop", 200)(s)
		},
		"not counted yet": func(s *state) {
			s.pools.Items[0].Status.Capacity = nil
			leasedBy("shop", 200)(s)
		},
	} {
		s := healthy()
		seed(s)
		if findings := shares(s); len(findings) != 0 {
			t.Errorf("%s: %+v", name, findings)
		}
	}
}

func olderKind(s *state) { delete(poolSpec(s), "cooldown") }

func newerKind(s *state) { poolSpec(s)["added"] = apiextensionsv1.JSONSchemaProps{Type: "string"} }

func crashing(component, node string, labels map[string]string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: component, Labels: labels, OwnerReferences: ownedBy("ReplicaSet", component)},
		Spec:       corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: component, RestartCount: 7,
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", FinishedAt: ago(time.Minute)}},
		}}},
	}
}

func crashingManager(s *state) {
	s.pods.Items = append(s.pods.Items, crashing("manager", "n1", labelled("manager")))
}

func crashingMultus(s *state) {
	p := crashing("multus", "n2", map[string]string{"app": "multus"})
	p.Namespace = "kube-system"
	p.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}
	s.pods.Items = append(s.pods.Items, p)
}

func leftOutNode(s *state) {
	s.pods.Items, s.macNodes.Items = s.pods.Items[:1], s.macNodes.Items[:1]
	s.daemonSets.Items[0].Spec.Template.Spec.NodeSelector = map[string]string{"vlan": "yes"}
	s.nodes.Items[0].Labels["vlan"] = "yes"
}

func unpulled(s *state) {
	s.pods.Items[1].Status = corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Name: "agent", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}},
	}}}
}

func parentIs(is v1alpha1.ParentState) func(*state) {
	return func(s *state) { s.macNodes.Items[1].Status.Parents[0].State = is }
}

func unchained(s *state) {
	s.networks.Items[0].Spec.Config = `{"cniVersion": "1.0.0", "name": "iot", "type": "macvlan", "master": "eth0.50", "ipam": {"type": "macpool", "pool": "iot"}}`
}

func unreadyPool(s *state) {
	s.pools.Items[0].Status.Conditions[0] = metav1.Condition{Type: v1alpha1.PoolReady, Status: metav1.ConditionFalse, Message: "pool tv has the same prefix"}
}

func cronJob(s *state) {
	job := batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "backup"}}
	job.Spec.JobTemplate.Spec.Template.ObjectMeta = typed(`[{"name": "iot", "mac": "d8:3a:dd:00:00:01"}]`)
	s.cronJobs.Items = append(s.cronJobs.Items, job)
}

func machine(mac string) func(*state) {
	return func(s *state) {
		s.machines.Items = append(s.machines.Items, unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": map[string]any{"namespace": "home", "name": "vm"},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"domain": map[string]any{"devices": map[string]any{
				"interfaces": []any{map[string]any{"name": "lan", "macAddress": mac}},
			}}}}},
		}})
	}
}

func waitingClaim(s *state) {
	s.claims.Items[0].Status.Conditions[0] = metav1.Condition{
		Type: v1alpha1.ClaimReady, Status: metav1.ConditionFalse, LastTransitionTime: ago(5 * time.Minute), Message: "MP203: address 192.168.50.8 is leased to claim home/tv by pool iot",
	}
}

func suspectClaim(s *state) {
	s.claims.Items[0].Status.Holder = &v1alpha1.Holder{NodeName: "n2"}
	s.claims.Items[0].Status.Conditions = append(s.claims.Items[0].Status.Conditions, metav1.Condition{
		Type: v1alpha1.ClaimSuspect, Status: metav1.ConditionTrue, Message: "MP219: pod hub-0, which holds claim home/hub on node n2, is gone: its address is kept",
	})
}

func fenced(s *state) {
	s.macNodes.Items[1].Status.Fenced = []v1alpha1.FencedInterface{{Namespace: "home", PodName: "hub-0", LeaseName: "vlan-50.192.168.50.8", FencedAt: ago(time.Minute)}}
}

func stranger(s *state) {
	s.macNodes.Items[1].Status.Strangers = []v1alpha1.Stranger{{LeaseName: "vlan-50.192.168.50.8", PoolName: "iot", IP: "192.168.50.8", MAC: "d8:3a:dd:00:00:01", SeenAt: ago(time.Minute)}}
}

// One node alone: what another one has is not its matter, nor is what is the cluster's.
func TestOneNode(t *testing.T) {
	s := healthy()
	s.node = "n1"
	parentIs(v1alpha1.ParentMissing)(s)
	s.deployments.Items[0].Status.ReadyReplicas = 0
	s.silent["n2"] = time.Hour
	r := Report{Subjects: examine(s)}
	if n := r.count(Fault); n != 0 {
		t.Errorf("%d faults of others: %+v", n, r.Subjects)
	}
}

// Only what two readings show, unchanged, is astray.
func TestAstrayTwice(t *testing.T) {
	s := healthy()
	first := straying(s.leases.Items, nil)
	if got := both(first, straying(s.leases.Items, s.claims.Items)); len(got) != 0 {
		t.Errorf("what went together the second time is astray: %v", got)
	}
	if got := both(first, straying(s.leases.Items, nil)); len(got) != 1 {
		t.Errorf("what went together neither time: %v", got)
	}
	s.leases.Items[0].ResourceVersion = "2"
	if got := both(straying(healthy().leases.Items, nil), straying(s.leases.Items, nil)); len(got) != 0 {
		t.Errorf("what changed meanwhile is astray: %v", got)
	}
}
