// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startServer starts an API server and returns the arguments by which kubectl and helm find it.
func startServer(t *testing.T) string {
	t.Helper()
	server := &envtest.Environment{}
	if _, err := server.Start(); err != nil {
		t.Fatalf("starting the control plane: %v", err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, server.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return "--kubeconfig=" + file
}

// TestServerDryRun asks the API server about every manifest, as strictly as it can: it knows each field's type, the CRDs' rules
// and the admission policies' expressions.
func TestServerDryRun(t *testing.T) {
	config := startServer(t)
	kubectl(t, config, "create", "namespace", namespace)
	kubectl(t, config, "create", "namespace", "macpool-cleanup")
	kubectl(t, config, "apply", "--server-side", "-f", "../e2e/lab/manifests/nad-crd.yaml", "-f", "../config/crd/bases")
	kubectl(t, config, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")

	// A mistake is found in each kind, or the rest of this test shows nothing.
	dryRun := []string{config, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"}
	sound := kustomize(t, "default") + "---\n" + kustomize(t, "samples")
	for name, mistake := range map[string][2]string{
		"Deployment":                {"  replicas: 2\n", "  replicaz: 2\n"},
		"DaemonSet":                 {"mountPropagation: HostToContainer", "mountPropagation: Sometimes"},
		"ValidatingAdmissionPolicy": {"oldObject == null", "oldObject === null"},
		"MacPool":                   {"vlan: 50", "vlan: 5000"},
	} {
		mistaken := strings.Replace(sound, mistake[0], mistake[1], 1)
		if _, err := runKubectl(t, mistaken, dryRun...); err == nil || mistaken == sound {
			t.Errorf("%s with %q passes, or has no such line", name, mistake[1])
		}
	}

	for name, manifests := range map[string]string{
		"config/default":               kustomize(t, "default"),
		"config/samples":               kustomize(t, "samples"),
		"config/cleanup":               kustomize(t, "cleanup"),
		"chart":                        template(t),
		"chart for OpenShift":          template(t, `platform="openshift"`),
		"chart with all that can be":   template(t, everything...),
		"chart without what it can be": template(t, `crds.enabled=false`, `policies.enabled=false`, `flowControl.enabled=false`, `networkPolicy.enabled=false`, `agent.tolerations=[]`, `manager.replicas=1`),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := runKubectl(t, manifests, dryRun...)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Count(out, "serverside-applied"), len(objects(t, manifests)); got != want {
				t.Errorf("the server answered for %d objects of %d:\n%s", got, want, out)
			}
		})
	}
}

// everything sets all values but the PodMonitor's, whose kind the API server does not know.
var everything = []string{
	`platform="rke2"`, `binDirs=["/opt/cni/bin"]`, `referencePlugins=["bridge","host-device","macvlan","sbr","static","tuning","vlan"]`,
	`image={"tag":"v9","pullPolicy":"Always","pullSecrets":[{"name":"s1"},{"name":"s2"}]}`,
	`manager={"replicas":3,"nodeSelector":{"a":"b"},"tolerations":[{"key":"k","operator":"Equal","value":"v","effect":"NoSchedule"}]}`,
	`agent={"nodeSelector":{"a":"b"},"maxUnavailable":2,"resources":{"limits":{"cpu":1,"memory":"1Gi"}}}`,
	`installer.resources={"limits":{"cpu":"100m"}}`,
	`networkPolicy.metricsFrom=[{"namespaceSelector":{"matchLabels":{"a":"b"}},"podSelector":{}},{"ipBlock":{"cidr":"192.0.2.0/24"}}]`,
}

// TestT22HelmUninstall packages the chart, pushes it to a registry on this machine, and installs it from there, as users do: then upgrades it, uninstalls
// it under a pod that has an address, and installs it again. Pools, claims and leases stay as they are, unless crds.keep is false: then they go, and
// nothing is kept waiting for anybody who was uninstalled (R-P5).
func TestT22HelmUninstall(t *testing.T) {
	registry := "oci://" + startRegistry(t) + "/charts"
	dir := t.TempDir()
	mustHelm(t, "package", chart, "--destination", dir)
	archives, err := filepath.Glob(filepath.Join(dir, "macpool-*.tgz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("helm package wrote %v, %v", archives, err)
	}
	mustHelm(t, "push", archives[0], registry, "--plain-http")

	config := startServer(t)
	release := []string{"macpool", registry + "/macpool", "--plain-http", "--namespace", namespace, config}
	notes := mustHelm(t, append([]string{"install", "--create-namespace"}, release...)...)
	if !strings.Contains(notes, "kubectl -n "+namespace+" rollout status daemonset/macpool-agent") {
		t.Errorf("the notes do not say what to do next:\n%s", notes)
	}
	kubectl(t, config, "wait", "--for=condition=Established", "crd/macpools.macpool.dev", "--timeout=60s")
	kubectl(t, config, "apply", "-f", "../config/samples/macpool.yaml")
	for key, object := range objects(t, template(t)) {
		args := []string{config, "get", object.GetKind(), object.GetName(), "-o", "name"}
		if object.GetNamespace() != "" {
			args = append(args, "-n", object.GetNamespace())
		}
		if _, err := runKubectl(t, "", args...); err != nil {
			t.Errorf("after the installation there is no %s: %v", key, err)
		}
	}

	platform := func() string {
		return kubectl(t, config, "-n", namespace, "get", "daemonset", "macpool-agent",
			"-o", `jsonpath={.spec.template.spec.initContainers[0].env[?(@.name=="MACPOOL_PLATFORM")].value}`)
	}
	if got := platform(); got != "auto" {
		t.Errorf("the platform is %q after the installation; want auto", got)
	}
	mustHelm(t, append([]string{"upgrade", "--set", "platform=k3s"}, release...)...)
	if got := platform(); got != "k3s" {
		t.Errorf("the platform is %q after the upgrade; want k3s", got)
	}

	attach(t, config)
	before := leased(t, config)
	mustHelm(t, "uninstall", "macpool", "--namespace", namespace, config)
	if out := kubectl(t, config, "-n", namespace, "get", "deployments,daemonsets", "-o", "name"); out != "" {
		t.Errorf("after the release was uninstalled there are still %s", out)
	}
	if diff := cmp.Diff(before, leased(t, config)); diff != "" {
		t.Errorf("the uninstallation has changed what is leased:\n%s", diff)
	}
	mustHelm(t, append([]string{"install"}, release...)...)
	if diff := cmp.Diff(before, leased(t, config)); diff != "" {
		t.Errorf("the installation has changed what is leased:\n%s", diff)
	}

	mustHelm(t, append([]string{"upgrade", "--set", "crds.keep=false"}, release...)...)
	mustHelm(t, "uninstall", "macpool", "--namespace", namespace, config)
	kubectl(t, config, "wait", "--for=delete", "crd", "macpools.macpool.dev", "macclaims.macpool.dev", "macleases.macpool.dev", "macnodes.macpool.dev", "--timeout=60s")
	if out := kubectl(t, config, "-n", "default", "get", "pod", "camera", "-o", "name"); strings.TrimSpace(out) != "pod/camera" {
		t.Errorf("the pod went with its address: %q", out)
	}
}

// attach makes a pod whose claim has a lease, and holds it, as the manager writes them.
func attach(t *testing.T, config string) {
	t.Helper()
	const objects = `
apiVersion: v1
kind: Pod
metadata: {name: camera, namespace: default}
spec: {nodeName: node-1, containers: [{name: main, image: camera}]}
---
apiVersion: macpool.dev/v1alpha1
kind: MacClaim
metadata: {name: camera, namespace: default}
spec: {poolRef: {name: iot}}
`
	if out, err := runKubectl(t, objects, config, "create", "-f", "-"); err != nil {
		t.Fatal(err, out)
	}
	uid := func(kind string) string {
		return kubectl(t, config, "-n", "default", "get", kind, "camera", "-o", "jsonpath={.metadata.uid}")
	}
	const now = "2026-01-02T03:04:05Z"
	manager := []string{config, "--as=system:serviceaccount:" + namespace + ":macpool-manager"}
	lease := fmt.Sprintf(`
apiVersion: macpool.dev/v1alpha1
kind: MacLease
metadata: {name: vlan-50.192.168.50.8}
spec:
  poolName: iot
  mac: "02:32:00:a8:32:08"
  ips: [192.168.50.8]
  claimRef: {namespace: default, name: camera, uid: %q}
  nodeName: node-1
  podName: camera
  leasedAt: %q
`, uid("macclaim"), now)
	if out, err := runKubectl(t, lease, append(manager, "create", "-f", "-")...); err != nil {
		t.Fatal(err, out)
	}
	holder := fmt.Sprintf(`
apiVersion: macpool.dev/v1alpha1
kind: MacClaim
metadata: {name: camera, namespace: default}
status:
  mac: "02:32:00:a8:32:08"
  ips: [192.168.50.8]
  leaseName: vlan-50.192.168.50.8
  holder: {podName: camera, podUID: %q, nodeName: node-1, interface: net1, generation: 1, since: %q}
`, uid("pod"), now)
	// kubectl patch would read the status first, which the manager may not by itself.
	if out, err := runKubectl(t, holder, append(manager, "apply", "--server-side", "--subresource=status", "-f", "-")...); err != nil {
		t.Fatal(err, out)
	}
}

// leased are the pools, claims, leases and pods that there are: each with its UID, its version, and whether it is to go.
func leased(t *testing.T, config string) []string {
	t.Helper()
	out := kubectl(t, config, "get", "macpools,macclaims,macleases,pods", "-A", "-o",
		`jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.resourceVersion} {.metadata.deletionTimestamp}{"\n"}{end}`)
	lines := slices.Sorted(strings.Lines(out))
	if len(lines) != 4 {
		t.Fatalf("there are %q, want a pool, a claim, a lease and a pod", lines)
	}
	return lines
}

// startRegistry starts an OCI registry on this machine and returns its address.
func startRegistry(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "release")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../hack/release", "-mod=readonly", "-trimpath", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the registry: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary, "registry")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("waiting for the registry: %v", err)
	}
	return strings.TrimSpace(address)
}
