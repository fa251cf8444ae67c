// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestLint(t *testing.T) {
	stdout, stderr, err := helm(t, "lint", "--strict", chart)
	if err != nil {
		t.Errorf("helm lint: %v\n%s%s", err, stdout, stderr)
	}
}

// TestSameAsKustomize compares all that the chart renders by default with all that config/default does. Two things differ: Helm
// makes the namespace itself, and is told to leave the CRDs.
func TestSameAsKustomize(t *testing.T) {
	want, got := objects(t, kustomize(t, "default")), objects(t, template(t))
	if want["Namespace "+namespace] == nil {
		t.Error("kustomize renders no namespace")
	}
	delete(want, "Namespace "+namespace)
	for key, object := range got {
		if object.GetKind() != "CustomResourceDefinition" {
			continue
		}
		annotations := object.GetAnnotations()
		if annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s would go when the release is uninstalled, and all leases with it", key)
		}
		delete(annotations, "helm.sh/resource-policy")
		object.SetAnnotations(annotations)
	}
	for key := range got {
		if want[key] == nil {
			t.Errorf("only the chart has %s", key)
		}
	}
	for key, object := range want {
		if got[key] == nil {
			t.Errorf("only kustomize has %s", key)
		} else if diff := cmp.Diff(object.Object, got[key].Object); diff != "" {
			t.Errorf("%s differs between kustomize (-) and the chart (+), of which make manifests writes all but the workloads:\n%s", key, diff)
		}
	}
}

// TestMonitoringSameAsKustomize compares what there is for Prometheus and Grafana, when it is wanted, with config/prometheus.
func TestMonitoringSameAsKustomize(t *testing.T) {
	want, without := objects(t, kustomize(t, "prometheus")), objects(t, template(t))
	got := objects(t, template(t, "metrics.podMonitor.enabled=true", "metrics.rules.enabled=true", "metrics.dashboard.enabled=true"))
	for key := range want {
		if without[key] != nil {
			t.Errorf("%s is there although nobody wants it", key)
		}
		if got[key] == nil {
			t.Errorf("only kustomize has %s", key)
		} else if diff := cmp.Diff(want[key].Object, got[key].Object); diff != "" {
			t.Errorf("%s differs between kustomize (-) and the chart (+):\n%s", key, diff)
		}
	}
	if len(got) != len(without)+len(want) || len(want) != 3 {
		t.Errorf("the chart renders %d objects for monitoring, kustomize %d", len(got)-len(without), len(want))
	}
}

// TestNamespace renders for another namespace: nothing may name the one of config/.
func TestNamespace(t *testing.T) {
	rendered := mustHelm(t, "template", "macpool", chart, "--namespace", "elsewhere", "--set", "platform=openshift")
	for line := range strings.Lines(rendered) {
		if strings.Contains(line, namespace) {
			t.Errorf("rendered for another namespace: %q", line)
		}
	}
	for key, object := range objects(t, rendered) {
		for _, subject := range slice(t, object, "subjects") {
			if got := subject["namespace"]; got != "elsewhere" {
				t.Errorf("%s binds an account of namespace %v", key, got)
			}
		}
	}
}

func slice(t *testing.T, object *unstructured.Unstructured, path ...string) []map[string]any {
	t.Helper()
	items, _, err := unstructured.NestedSlice(object.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	maps := make([]map[string]any, len(items))
	for i, item := range items {
		maps[i] = item.(map[string]any) //nolint:errcheck // lists of containers and subjects hold nothing else
	}
	return maps
}

// TestT21ReleasedDigests renders the chart as a release has it, where hack/release.sh has written down the digests of the images: what is installed is
// these images, whatever their names stand for in a registry (T21), but for who asks for another tag or digest.
func TestT21ReleasedDigests(t *testing.T) {
	released := filepath.Join(t.TempDir(), "macpool")
	if err := os.CopyFS(released, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(released, "templates", "_released.tpl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	filled := strings.Replace(string(text), "{}", `{"macpool-manager":"sha256:11","macpool-agent":"sha256:22"}`, 1)
	if err := os.WriteFile(file, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := "sha256:" + strings.Repeat("3", 64)
	tests := map[string]struct {
		value          string
		manager, agent string
	}{
		"nothing asked for": {value: `platform="auto"`, manager: "ghcr.io/macpool/macpool-manager@sha256:11", agent: "ghcr.io/macpool/macpool-agent@sha256:22"},
		"a mirror":          {value: `image.registry="r.lan/m"`, manager: "r.lan/m/macpool-manager@sha256:11", agent: "r.lan/m/macpool-agent@sha256:22"},
		"a tag":             {value: `image.tag="v9"`, manager: "ghcr.io/macpool/macpool-manager:v9", agent: "ghcr.io/macpool/macpool-agent:v9"},
		"a digest":          {value: `agent.digest="` + asked + `"`, manager: "ghcr.io/macpool/macpool-manager@sha256:11", agent: "ghcr.io/macpool/macpool-agent@" + asked},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			rendered := mustHelm(t, "template", "macpool", released, "--set-json", tt.value)
			got := map[string]bool{}
			for line := range strings.Lines(rendered) {
				if _, image, ok := strings.Cut(line, " image: "); ok {
					got[strings.TrimSpace(image)] = true
				}
			}
			if diff := cmp.Diff(map[string]bool{tt.manager: true, tt.agent: true}, got); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

// TestValues sets values and looks for lines that come and go.
func TestValues(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tests := map[string]struct {
		values []string
		want   []string
		not    []string
	}{
		"defaults": {
			want: []string{
				"kind: CustomResourceDefinition", "name: macpool-mac-annotation", "helm.sh/resource-policy: keep", "kind: NetworkPolicy", "kind: FlowSchema",
			},
			not: []string{"PodMonitor", "PrometheusRule", "macpool-dashboard", "OTEL_", "imagePullPolicy", "imagePullSecrets", "\n      nodeSelector:", "system:openshift"},
		},
		"image": {
			values: []string{`image={"registry":"reg.lan:5000/x","tag":"v9","pullPolicy":"Always","pullSecrets":[{"name":"s1"}]}`},
			want: []string{
				"image: reg.lan:5000/x/macpool-manager:v9", "image: reg.lan:5000/x/macpool-agent:v9", "imagePullPolicy: Always", "- name: s1",
			},
			not: []string{"ghcr.io"},
		},
		"digest": {
			values: []string{`agent.digest="` + digest + `"`},
			want:   []string{"image: ghcr.io/macpool/macpool-agent@" + digest, "image: ghcr.io/macpool/macpool-manager:v"},
			not:    []string{"macpool-agent:v"},
		},
		"platform": {values: []string{`platform="k3s"`}, want: []string{"value: k3s"}, not: []string{"value: auto"}},
		"openshift": {
			values: []string{`platform="openshift"`},
			want:   []string{"name: system:openshift:scc:privileged", "name: system:openshift:scc:nonroot-v2", "value: openshift"},
		},
		"directories and plugins": {
			values: []string{`binDirs=["/opt/cni/bin","/usr/libexec/cni"]`, `referencePlugins=["macvlan","tuning"]`},
			want:   []string{`value: "/opt/cni/bin,/usr/libexec/cni"`, `value: "macvlan,tuning"`},
		},
		"scheduling": {
			values: []string{`agent.nodeSelector={"vlan":"yes"}`, `agent.tolerations=[]`, `manager.replicas=3`, `agent.maxUnavailable=1`},
			want:   []string{"vlan: \"yes\"", "replicas: 3", "maxUnavailable: 1"},
			not:    []string{"tolerations:"},
		},
		"ports": {
			values: []string{`agent.healthPort=19478`, `agent.metricsPort=19479`},
			want:   []string{"--health-probe-bind-address=127.0.0.1:19478", "hostPort: 19478", "--metrics-bind-address=:19479", "hostPort: 19479"},
			not:    []string{": 9478", ":9478", ": 9479", ":9479"},
		},
		"no metrics of agents": {
			values: []string{`agent.metricsPort=0`},
			want:   []string{"--health-probe-bind-address=127.0.0.1:9478", "--metrics-bind-address=:8080"}, // the latter is the manager's
			not:    []string{"9479", "bind-address=:0"},
		},
		"no CRDs":           {values: []string{"crds.enabled=false"}, not: []string{"CustomResourceDefinition"}},
		"CRDs go":           {values: []string{"crds.keep=false"}, want: []string{"kind: CustomResourceDefinition"}, not: []string{"resource-policy"}},
		"no policies":       {values: []string{"policies.enabled=false"}, not: []string{"ValidatingAdmissionPolicy"}},
		"typed MACs pass":   {values: []string{"policies.macAnnotation=false"}, not: []string{"macpool-mac-annotation"}},
		"no network policy": {values: []string{"networkPolicy.enabled=false"}, not: []string{"NetworkPolicy"}},
		"metrics for Prometheus": {
			values: []string{`networkPolicy.metricsFrom=[{"namespaceSelector":{"matchLabels":{"team":"prom"}}}]`},
			want:   []string{"- port: 8080\n      protocol: TCP\n    from:\n    - namespaceSelector:\n        matchLabels:\n          team: prom"},
		},
		"no flow control": {values: []string{"flowControl.enabled=false"}, not: []string{"FlowSchema", "PriorityLevelConfiguration"}},
		"metrics": {
			values: []string{`metrics.podMonitor={"enabled":true,"interval":"30s","labels":{"release":"prom"}}`},
			want:   []string{"kind: PodMonitor", "interval: 30s", "release: prom"},
		},
		"alerts and dashboard": {
			values: []string{`metrics.rules={"enabled":true,"labels":{"release":"prom"}}`, `metrics.dashboard={"enabled":true,"labels":{"folder":"net"}}`},
			want:   []string{"kind: PrometheusRule", "release: prom", `grafana_dashboard: "1"`, "folder: net", "{{ $labels.pool }}"},
			not:    []string{"PodMonitor"},
		},
		"traces": {
			values: []string{`tracing.endpoint="http://collector:4318"`},
			want:   []string{"- name: OTEL_EXPORTER_OTLP_ENDPOINT\n          value: \"http://collector:4318\""},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			rendered := template(t, tt.values...)
			objects(t, rendered) // parses
			for _, want := range tt.want {
				if !strings.Contains(rendered, want) {
					t.Errorf("rendered without %q", want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(rendered, not) {
					t.Errorf("rendered with %q", not)
				}
			}
		})
	}
}

// TestSchemaRefuses sets a wrong value, and wants helm to name it.
func TestSchemaRefuses(t *testing.T) {
	tests := map[string]string{
		`platforms="k3s"`:                           "platforms",
		`platform="k0s"`:                            "platform",
		`binDirs=["opt/cni/bin"]`:                   "binDirs",
		`binDirs="/opt/cni/bin"`:                    "binDirs",
		`referencePlugins=["ipvlan"]`:               "referencePlugins",
		`image.name="x"`:                            "image",
		`image.tag="v1:latest"`:                     "image/tag",
		`image.pullPolicy="Sometimes"`:              "pullPolicy",
		`image.pullSecrets=["s1"]`:                  "pullSecrets",
		`manager.replicas="two"`:                    "replicas",
		`manager.replicas=-1`:                       "replicas",
		`manager.image="x"`:                         "manager",
		`manager.resources.limit={"memory":"1Gi"}`:  "manager/resources",
		`manager.resources.limits={"memory":"1GB"}`: "limits/memory",
		`agent.digest="latest"`:                     "agent/digest",
		`agent.tolerations={"operator":"Exists"}`:   "agent/tolerations",
		`agent.maxUnavailable="none"`:               "agent/maxUnavailable",
		`agent.healthPort=0`:                        "agent/healthPort",
		`agent.metricsPort=70000`:                   "agent/metricsPort",
		`crds.enabled="yes"`:                        "crds/enabled",
		`policies.all=true`:                         "policies",
		`networkPolicy.metricsFrom=[{"pods":{}}]`:   "metricsFrom",
		`networkPolicy.metricsFrom=[{}]`:            "metricsFrom",
		`flowControl.enabled="no"`:                  "flowControl/enabled",
		`metrics.podMonitor.interval="often"`:       "interval",
		`metrics.rules.enabled="yes"`:               "rules/enabled",
		`tracing.endpoint="collector:4318"`:         "tracing/endpoint",
	}
	for value, want := range tests {
		t.Run(value, func(t *testing.T) {
			_, stderr, err := helm(t, "template", "macpool", chart, "--set-json", value)
			if err == nil {
				t.Fatal("helm took it")
			}
			if !strings.Contains(stderr, "schema") || !strings.Contains(stderr, want) {
				t.Errorf("helm does not say that %q is against the schema:\n%s", want, stderr)
			}
		})
	}
}

// TestKubeVersion wants the floor to hold: below it sidecars or admission policies may be missing.
func TestKubeVersion(t *testing.T) {
	if _, stderr, err := helm(t, "template", "macpool", chart, "--kube-version", "1.31.9"); err == nil || !strings.Contains(stderr, "1.32") {
		t.Errorf("for Kubernetes 1.31: %v %s; want a refusal that names 1.32", err, stderr)
	}
	mustHelm(t, "template", "macpool", chart, "--kube-version", "1.32.0-gke.100")
}

// TestVersion wants one version in all places: make manifests writes it from the file VERSION.
func TestVersion(t *testing.T) {
	version, err := os.ReadFile("../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	version = bytes.TrimSpace(version)
	for key, object := range objects(t, kustomize(t, "default")+"---\n"+kustomize(t, "cleanup")) {
		containers := append(slice(t, object, "spec", "template", "spec", "initContainers"), slice(t, object, "spec", "template", "spec", "containers")...)
		for _, container := range containers {
			if image, _ := container["image"].(string); !strings.HasSuffix(image, ":"+string(version)) {
				t.Errorf("%s has the image %s; want it of %s", key, image, version)
			}
		}
	}
}

func TestValuesAreFew(t *testing.T) {
	text, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(text, []byte("\n")); lines >= 120 {
		t.Errorf("values.yaml has %d lines; want less than 120, or nobody reads it", lines)
	}
}
