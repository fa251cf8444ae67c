// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// writeDocker writes a docker-archive, which every runtime loads, and returns the digest of the image's configuration: the
// image's id, as runtimes call it.
func writeDocker(file, ref string, r recipe) (v1.Hash, error) {
	if len(r.platforms) != 1 {
		return v1.Hash{}, fmt.Errorf("a docker-archive holds one platform, not %d", len(r.platforms))
	}
	tag, err := name.NewTag(ref, name.StrictValidation)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("reading the name of the image: %w", err)
	}
	img, err := r.build(r.platforms[0], false)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := tarball.WriteToFile(file, tag, img); err != nil {
		return v1.Hash{}, fmt.Errorf("writing %s: %w", file, err)
	}
	return img.ConfigName()
}

// writeOCI writes an OCI layout as a tar, and returns the digest of the index: what the image is pulled by.
func writeOCI(file, ref string, r recipe) (v1.Hash, error) {
	tag, err := name.NewTag(ref, name.StrictValidation)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("reading the name of the image: %w", err)
	}
	index, err := r.index()
	if err != nil {
		return v1.Hash{}, err
	}
	dir, err := os.MkdirTemp("", "macpool-layout-")
	if err != nil {
		return v1.Hash{}, fmt.Errorf("making room for a layout: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what stays is in the directory for temporary files
	// The tag for all tools, the whole name for containerd.
	outer := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{Annotations: map[string]string{
		"org.opencontainers.image.ref.name": tag.TagStr(),
		"io.containerd.image.name":          tag.Name(),
	}}})
	if _, err := layout.Write(dir, outer); err != nil {
		return v1.Hash{}, fmt.Errorf("writing the layout: %w", err)
	}
	entries := map[string]entry{}
	if err := addTree(entries, "", dir); err != nil {
		return v1.Hash{}, err
	}
	addParents(entries)
	content, err := tarOf(entries)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := os.WriteFile(file, content, 0o644); err != nil { //nolint:gosec // G306: an archive that everybody may read
		return v1.Hash{}, fmt.Errorf("writing %s: %w", file, err)
	}
	return index.Digest()
}
