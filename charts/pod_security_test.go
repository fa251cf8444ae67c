// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// workloads are what is installed, and the manifests that say so, which differ in nothing that Pod Security looks at.
func workloads(t *testing.T) map[string]map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]map[string]*unstructured.Unstructured{} // workload -> manifests -> object
	for source, manifests := range map[string]string{
		"config":             kustomize(t, "default"),
		"config-cleanup":     kustomize(t, "cleanup"),
		"chart":              template(t),
		"chart-everything":   template(t, everything...),
		"chart-on-openshift": template(t, `platform="openshift"`),
	} {
		for _, object := range objects(t, manifests) {
			if _, ok, _ := unstructured.NestedMap(object.Object, "spec", "template", "spec"); ok {
				name := object.GetName()
				if found[name] == nil {
					found[name] = map[string]*unstructured.Unstructured{}
				}
				found[name][source] = object
			}
		}
	}
	return found
}

// podSpec is the pod that a workload makes.
func podSpec(t *testing.T, workload *unstructured.Unstructured) corev1.PodSpec {
	t.Helper()
	fields, _, err := unstructured.NestedMap(workload.Object, "spec", "template", "spec")
	if err != nil {
		t.Fatal(err)
	}
	var spec corev1.PodSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &spec); err != nil {
		t.Fatal(err)
	}
	spec.PriorityClassName = "" // there is none in a namespace of a test
	return spec
}

// exception is what Pod Security says of a pod that its level does not allow.
type exception struct{ forbidden, has string }

var (
	refusal   = regexp.MustCompile(`pods "([^"]+)" is forbidden: violates PodSecurity "[a-z]+:latest": (.*)`)
	violation = regexp.MustCompile(`(?:^|, )([^(,]+) \(((?:[^()]|\([^()]*\))*)\)`)
)

// refused asks an API server whose namespaces enforce a level each of them, and returns what it has against each pod.
func refused(t *testing.T, config, level string, pods map[string]corev1.PodSpec) map[string][]exception {
	t.Helper()
	kubectl(t, config, "create", "namespace", level)
	kubectl(t, config, "label", "namespace", level, "pod-security.kubernetes.io/enforce="+level)
	var manifests strings.Builder
	for name, spec := range pods {
		pod := corev1.Pod{Spec: spec}
		pod.APIVersion, pod.Kind, pod.Name, pod.Namespace = "v1", "Pod", name, level
		text, err := yaml.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		manifests.WriteString("---\n" + string(text))
	}
	out, err := runKubectl(t, manifests.String(), config, "create", "--dry-run=server", "-o", "name", "-f", "-")
	found := map[string][]exception{}
	if err != nil {
		for _, match := range refusal.FindAllStringSubmatch(err.Error(), -1) {
			found[match[1]] = []exception{}
			for _, v := range violation.FindAllStringSubmatch(match[2], -1) {
				found[match[1]] = append(found[match[1]], exception{v[1], v[2]})
			}
		}
	}
	if admitted := strings.Count(out, "pod/"); admitted+len(found) != len(pods) {
		t.Fatalf("the API server admits %d pods and refuses %d, of %d: %v", admitted, len(found), len(pods), err)
	}
	return found
}

// TestPodSecurity proves R-S8: by the admission of the API server itself, the manager keeps to the restricted level, and the pods of the nodes break it in
// exactly what docs/pod-security.md lists, in the manifests of config as in those of the chart.
func TestPodSecurity(t *testing.T) {
	page, err := os.ReadFile("../docs/pod-security.md")
	if err != nil {
		t.Fatal(err)
	}
	all := workloads(t)
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, []string{"macpool-agent", "macpool-cleanup", "macpool-manager"}) {
		t.Errorf("there are %v", names)
	}
	pods := map[string]corev1.PodSpec{}
	for name, sources := range all {
		for source, workload := range sources {
			pods[name+"."+source] = podSpec(t, workload)
		}
	}
	config := startServer(t)
	got := refused(t, config, "restricted", pods)
	for pod, spec := range pods {
		t.Run(pod, func(t *testing.T) {
			name, source, _ := strings.Cut(pod, ".")
			section := section(t, string(page), name)
			want := map[string]string{}
			listed := rows(section, "forbids", 2)
			if source == "chart-on-openshift" {
				listed = append(listed, rows(section, "OpenShift", 2)...)
			}
			for _, row := range listed {
				want[row[0]] = row[1]
			}
			has := map[string]string{}
			for _, e := range got[pod] {
				has[e.forbidden] = e.has
			}
			if diff := cmp.Diff(want, has); diff != "" {
				t.Errorf("docs/pod-security.md (-) does not list what the level restricted forbids and the pod has (+):\n%s", diff)
			}
			if diff := cmp.Diff(rows(section, "directory", 3), directories(spec), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("docs/pod-security.md (-) does not list the pod's directories of the node (+):\n%s", diff)
			}
			checkConfined(t, spec)
		})
	}
	for pod := range pods {
		if manager := strings.HasPrefix(pod, "macpool-manager."); manager != (got[pod] == nil) {
			t.Errorf("%s is refused for %v", pod, got[pod])
		}
	}
	// What the page says of the next level: it is not enough for the pods of the nodes.
	for pod := range refused(t, config, "baseline", pods) {
		delete(pods, pod)
	}
	for pod := range pods {
		if !strings.HasPrefix(pod, "macpool-manager.") {
			t.Errorf("%s keeps to the level baseline, and its namespace need not be privileged", pod)
		}
	}
}

// checkConfined checks what all containers keep to, and Pod Security does not ask of those that are not restricted.
func checkConfined(t *testing.T, spec corev1.PodSpec) {
	t.Helper()
	if spec.HostPID || spec.HostIPC {
		t.Error("the pod has the PIDs or the IPC of the node")
	}
	if profile := spec.SecurityContext.SeccompProfile; profile == nil || profile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod has the seccomp profile %v", profile)
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		got := c.SecurityContext.DeepCopy()
		if got == nil {
			t.Errorf("container %s is not confined", c.Name)
			continue
		}
		got.Capabilities.Add, got.SELinuxOptions, got.RunAsUser = nil, nil, nil // which Pod Security has looked at
		want := &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("container %s (-want +got):\n%s", c.Name, diff)
		}
		mounts := map[string]bool{}
		for _, m := range c.VolumeMounts {
			mounts[m.Name] = true
		}
		if mounts["host"] && mounts["token"] {
			t.Errorf("container %s has the files of the node and the token", c.Name)
		}
	}
}

// directories are those of the node that a pod has, as the page lists them.
func directories(spec corev1.PodSpec) [][]string {
	paths := map[string]string{}
	for _, v := range spec.Volumes {
		if v.HostPath != nil {
			paths[v.Name] = v.HostPath.Path
		}
	}
	var found [][]string
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, m := range c.VolumeMounts {
			if paths[m.Name] == "" {
				continue
			}
			mode := "write"
			if m.ReadOnly {
				mode = "read"
			}
			found = append(found, []string{paths[m.Name], c.Name, mode})
		}
	}
	return found
}

// section is the part of a page under the heading that names the workload.
func section(t *testing.T, page, workload string) string {
	t.Helper()
	_, text, ok := strings.Cut(page, "\n## `"+workload+"`\n")
	if !ok {
		t.Fatalf("docs/pod-security.md has no heading for %s", workload)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// rows are those of the tables whose first heading has the word: of each row its first columns, which stand in backquotes.
func rows(section, word string, columns int) [][]string {
	var found [][]string
	inside := false
	for line := range strings.Lines(section) {
		switch cells := regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(line, -1); {
		case !strings.HasPrefix(line, "|"):
			inside = false
		case len(cells) == 0:
			inside = inside || strings.Contains(strings.SplitN(line, "|", 3)[1], word)
		case inside:
			var row []string
			for _, cell := range cells[:min(columns, len(cells))] {
				row = append(row, cell[1])
			}
			found = append(found, row)
		}
	}
	return found
}
