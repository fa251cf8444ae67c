// SPDX-License-Identifier: Apache-2.0

// Package charts_test tests the Helm chart: what it renders against what kustomize renders, what its schema refuses, and how it
// installs, from a registry, on a real API server.
package charts_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	chart     = "macpool"
	namespace = "macpool-system"
)

func TestMain(m *testing.M) {
	for variable, file := range map[string]string{"KUBEBUILDER_ASSETS": "kubectl", "MACPOOL_HELM_BIN": "helm"} {
		if _, err := os.Stat(filepath.Join(os.Getenv(variable), file)); err != nil {
			fmt.Fprintf(os.Stderr, "%s does not name a directory with %s: run make test\n", variable, file)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// helm runs helm with a configuration of its own and returns its output and what it says on stderr.
func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("MACPOOL_HELM_BIN"), "helm"), args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err = cmd.Run()
	return out.String(), complaint.String(), err
}

func mustHelm(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, err := helm(t, args...)
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}

// template renders the chart with values as helm --set takes them.
func template(t *testing.T, values ...string) string {
	t.Helper()
	args := []string{"template", "macpool", chart, "--namespace", namespace}
	for _, value := range values {
		args = append(args, "--set-json", value)
	}
	return mustHelm(t, args...)
}

// kustomize renders a directory of config.
func kustomize(t *testing.T, dir string) string {
	t.Helper()
	return kubectl(t, "kustomize", filepath.Join("..", "config", dir))
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := runKubectl(t, "", args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func runKubectl(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, complaint.String())
	}
	return out.String(), nil
}

// objects parses manifests into objects by kind and name; two of one name are an error.
func objects(t *testing.T, manifests string) map[string]*unstructured.Unstructured {
	t.Helper()
	all := map[string]*unstructured.Unstructured{}
	for document := range strings.SplitSeq("\n"+manifests, "\n---\n") {
		var object unstructured.Unstructured
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatalf("parsing a manifest: %v\n%s", err, document)
		}
		if len(object.Object) == 0 {
			continue
		}
		key := object.GetKind() + " " + object.GetName()
		if object.GetNamespace() != "" {
			key += " of " + object.GetNamespace()
		}
		if all[key] != nil {
			t.Fatalf("there are two of %s", key)
		}
		all[key] = &object
	}
	return all
}
