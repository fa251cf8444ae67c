// SPDX-License-Identifier: Apache-2.0

// Package config is what of macpool's manifests a program needs: kubectl macpool doctor compares a cluster with them.
package config

import "embed"

// Kinds are the CustomResourceDefinitions.
//
//go:embed crd/bases/*.yaml
var Kinds embed.FS

// Policies are the admission policies and their bindings.
//
//go:embed policy/*_policy.yaml policy/*_binding.yaml
var Policies embed.FS
