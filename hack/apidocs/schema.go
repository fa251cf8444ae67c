// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// schemaOf is a kind's JSON schema as editors want it: plain draft 7 without what only an API server understands, and strict, so that a field with a
// mistake in its name is underlined. The rules in CEL are the API server's alone.
func schemaOf(crd *apiextensionsv1.CustomResourceDefinition, version apiextensionsv1.CustomResourceDefinitionVersion) (string, error) {
	raw, err := json.Marshal(version.Schema.OpenAPIV3Schema)
	if err != nil {
		return "", fmt.Errorf("writing the schema of %s: %w", crd.Name, err)
	}
	schema := map[string]any{}
	if err := json.Unmarshal(raw, &schema); err != nil {
		return "", fmt.Errorf("reading the schema of %s: %w", crd.Name, err)
	}
	strict(schema)
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("the schema of %s has no properties", crd.Name)
	}
	properties["apiVersion"] = map[string]any{"type": "string", "enum": []string{crd.Spec.Group + "/" + version.Name}}
	properties["kind"] = map[string]any{"type": "string", "enum": []string{crd.Spec.Names.Kind}}
	required, _ := schema["required"].([]any) // a kind may require nothing of its own
	schema["required"] = append([]any{"apiVersion", "kind", "metadata"}, required...)
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing the schema of %s: %w", crd.Name, err)
	}
	return string(text) + "\n", nil
}

// strict changes a schema, and all beneath it.
func strict(schema map[string]any) {
	if schema["x-kubernetes-int-or-string"] == true {
		schema["anyOf"] = []any{map[string]any{"type": "integer"}, map[string]any{"type": "string"}}
	}
	for key := range schema {
		if strings.HasPrefix(key, "x-kubernetes-") {
			delete(schema, key)
		}
	}
	if properties, ok := schema["properties"].(map[string]any); ok {
		schema["additionalProperties"] = false
		for _, p := range properties {
			if inner, ok := p.(map[string]any); ok {
				strict(inner)
			}
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner, ok := schema[key].(map[string]any); ok {
			strict(inner)
		}
	}
}
