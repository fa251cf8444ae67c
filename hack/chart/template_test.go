// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	crd        = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  annotations:\n    a: b\n  name: c\n"
	account    = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: s\n  namespace: macpool-system\n"
	policy     = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  name: p\nspec: '{{x}}'\n"
	deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\n"
	space      = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: macpool-system\n"
	settings   = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\n"
)

func TestTemplates(t *testing.T) {
	files, err := templates(strings.Join([]string{space, crd, account, deployment, policy, settings}, "---\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"access.yaml": header + "---\n" + strings.ReplaceAll(account, "macpool-system", "{{ .Release.Namespace }}"),
		"crds.yaml": header + "{{- if .Values.crds.enabled }}\n---\n" +
			strings.Replace(crd, "    a: b\n", keep+"    a: b\n", 1) + "{{- end }}\n",
		"policies.yaml": header + "{{- if .Values.policies.enabled }}\n---\n" +
			strings.Replace(policy, "{{x}}", `{{ "{{" }}x}}`, 1) + "{{- end }}\n",
		"other.yaml": header + "---\n" + settings,
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("templates (-want +got):\n%s\nfiles: %v", diff, slices.Sorted(maps.Keys(files)))
	}
}

func TestTemplatesRefuses(t *testing.T) {
	for name, rendered := range map[string]string{
		"nothing":                   "",
		"no YAML":                   "a: [",
		"CRD without an annotation": strings.Replace(crd, "  annotations:\n    a: b\n", "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if files, err := templates(rendered); err == nil {
				t.Errorf("got %v; want an error", files)
			}
		})
	}
}
