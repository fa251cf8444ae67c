// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// pool is VLAN 50 as the README has it, but for the last addresses, which are of other tests' pools. It chooses among namespaces, and takes all: for
// that an agent that binds reads the namespace.
const pool = `
apiVersion: macpool.dev/v1alpha1
kind: MacPool
metadata: {name: iot}
spec:
  vlan: 50
  cooldown: 1s
  namespaceSelector:
    matchExpressions: [{key: kubernetes.io/metadata.name, operator: Exists}]
  subnets:
  - cidr: 192.168.50.0/24
    gateway: 192.168.50.1
    ranges:
    - {start: 192.168.50.2, end: 192.168.50.99, explicitOnly: true}
    - {start: 192.168.50.100, end: 192.168.50.244}
`

// network is the founding case's, with its ipam and the chained entry as the only change.
const network = `
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: iot-vlan}
spec:
  config: |-
    {"cniVersion": "1.0.0", "name": "iot-vlan", "plugins": [
      {"type": "macvlan", "master": "eth0.50", "mode": "bridge", "ipam": {"type": "macpool", "pool": "iot"}},
      {"type": "tuning", "capabilities": {"mac": true, "ips": true}},
      {"type": "macpool"}]}
`

// newTestNamespace has the pool and the network.
func newTestNamespace(t *testing.T, name string) string {
	t.Helper()
	ns := newNamespace(t, name)
	apply(t, ns, pool)
	apply(t, ns, network)
	return ns
}

// applyPool makes another pool, which goes with the test, and a network of its name.
func applyPool(t *testing.T, namespace, name, yaml string) {
	t.Helper()
	apply(t, namespace, yaml)
	t.Cleanup(func() { _, _ = box.tryKubectl(context.Background(), "delete", "macpool", name, "--wait=false") })
	apply(t, namespace, strings.NewReplacer("iot-vlan", name, `"pool": "iot"`, `"pool": "`+name+`"`).Replace(network))
}

// podSpec runs until it is told to end, and ends at once.
func podSpec(extra string) string {
	return `terminationGracePeriodSeconds: 1
containers:
- name: c
  image: macpool.test/busybox:1
  imagePullPolicy: Never
  command: [sh, -c, "trap exit TERM; while :; do sleep 0.2; done"]
` + extra
}

// template is a pod template of an app on the network.
func template(app, spec string) string {
	return fmt.Sprintf("metadata:\n  labels: {app: %s}\n  annotations: {k8s.v1.cni.cncf.io/networks: iot-vlan}\nspec:\n%s", app, indent(2, spec))
}

// workload is an object of a kind with a pod template.
func workload(apiVersion, kind, name, spec, podTemplate string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec:\n%s  template:\n%s",
		apiVersion, kind, name, indent(2, spec), indent(4, podTemplate))
}

func deployment(name string, replicas int) string {
	spec := fmt.Sprintf("replicas: %d\nselector: {matchLabels: {app: %s}}\n", replicas, name)
	return workload("apps/v1", "Deployment", name, spec, template(name, podSpec("")))
}

// statefulSet has pods that leave a lost node soon.
func statefulSet(name string, replicas int, extra string) string {
	spec := fmt.Sprintf("serviceName: %s\npodManagementPolicy: Parallel\nreplicas: %d\nselector: {matchLabels: {app: %s}}\n", name, replicas, name)
	return workload("apps/v1", "StatefulSet", name, spec, template(name, podSpec(extra)))
}

func daemonSet(name string) string {
	spec := fmt.Sprintf("selector: {matchLabels: {app: %s}}\n", name)
	return workload("apps/v1", "DaemonSet", name, spec, template(name, podSpec("")))
}

func job(name string) string {
	return workload("batch/v1", "Job", name, "backoffLimit: 3\n", template(name, podSpec("restartPolicy: Never\n")))
}

func barePod(name, extra string) string {
	return "apiVersion: v1\nkind: Pod\n" + strings.Replace(template(name, podSpec(extra)), "metadata:\n", "metadata:\n  name: "+name+"\n", 1)
}

// indent moves every line of YAML to the right.
func indent(n int, yaml string) string {
	var b strings.Builder
	for line := range strings.Lines(yaml) {
		b.WriteString(strings.Repeat(" ", n) + line)
	}
	if !strings.HasSuffix(yaml, "\n") {
		b.WriteString("\n")
	}
	return b.String()
}
