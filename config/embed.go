// SPDX-License-Identifier: Apache-2.0

// Package config is what of macpool's manifests a program needs: kubectl macpool doctor compares a cluster with them, and the manager the
// admission policies.
package config

import (
	"embed"
	"fmt"
	"io/fs"
	"sync"

	"sigs.k8s.io/yaml"
)

// Kinds are the CustomResourceDefinitions.
//
//go:embed crd/bases/*.yaml
var Kinds embed.FS

// Policies are the admission policies and their bindings.
//
//go:embed policy/*_policy.yaml policy/*_binding.yaml
var Policies embed.FS

// Objects are the objects of files that were built into this program, read when they are first asked for. They are not to be changed.
func Objects[T any](files fs.FS, pattern string) func() []T {
	return sync.OnceValue(func() []T {
		names, _ := fs.Glob(files, pattern) // the pattern is ours
		objects := make([]T, len(names))
		for i, name := range names {
			content, err := fs.ReadFile(files, name)
			if err == nil {
				err = yaml.Unmarshal(content, &objects[i])
			}
			if err != nil {
				panic(fmt.Sprintf("reading %s, which was built in: %v", name, err)) // tests of who uses them read them all
			}
		}
		return objects
	})
}
