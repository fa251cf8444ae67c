// SPDX-License-Identifier: Apache-2.0

// Command apidocs writes what people and their editors read of the kinds, from the definitions of config/crd/bases: docs/api.md, and a JSON schema for
// each kind in config/schemas.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: apidocs ROOT, the root of the tree")
		os.Exit(2)
	}
	files, err := generate(os.Args[1])
	for path, text := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Args[1], path), []byte(text), 0o644) //nolint:gosec // G306: documents that everybody may read
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "apidocs:", err)
		os.Exit(1)
	}
}

// generate is all that the command writes: path in the tree -> text.
func generate(root string) (map[string]string, error) {
	crds, err := definitions(root)
	if err != nil {
		return nil, err
	}
	files := map[string]string{filepath.Join("docs", "api.md"): page(crds)}
	for _, crd := range crds {
		for _, version := range crd.Spec.Versions {
			text, err := schemaOf(crd, version)
			if err != nil {
				return nil, err
			}
			files[filepath.Join("config", "schemas", strings.ToLower(crd.Spec.Names.Kind)+"_"+version.Name+".json")] = text
		}
	}
	return files, nil
}

// definitions are those of config/crd/bases, in the order in which one reads of them.
func definitions(root string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, plural := range []string{"macpools", "macclaims", "macleases", "macnodes"} {
		text, err := os.ReadFile(filepath.Join(root, "config", "crd", "bases", "macpool.dev_"+plural+".yaml")) //nolint:gosec // a file of the tree
		if err != nil {
			return nil, fmt.Errorf("reading a definition: %w", err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			return nil, fmt.Errorf("reading the definition of %s: %w", plural, err)
		}
		crds = append(crds, crd)
	}
	return crds, nil
}
