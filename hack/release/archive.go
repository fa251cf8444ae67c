// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// wholeName is the annotation by which containerd knows what to call an image of an archive.
const wholeName = "io.containerd.image.name"

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
		wholeName:                           tag.Name(),
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

// An archive is one image that writeOCI has written.
type archive struct {
	dir    string // its layout, unpacked
	name   string
	digest v1.Hash // of the index
	index  v1.ImageIndex
}

// openArchive unpacks an OCI archive; close removes what it unpacked.
func openArchive(file string) (*archive, error) {
	dir, err := os.MkdirTemp("", "macpool-layout-")
	if err != nil {
		return nil, fmt.Errorf("making room for a layout: %w", err)
	}
	opened := &archive{dir: dir}
	if err := opened.read(file); err != nil {
		opened.close()
		return nil, fmt.Errorf("reading the image in %s: %w", file, err)
	}
	return opened, nil
}

func (a *archive) close() { _ = os.RemoveAll(a.dir) } // what stays is in the directory for temporary files

func (a *archive) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	err = eachEntry(file, func(header *tar.Header, content []byte) error {
		if header.Typeflag != tar.TypeReg {
			return nil
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("%q is not below the archive's root", header.Name)
		}
		to := filepath.Join(a.dir, header.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o644) //nolint:gosec // G306: an image that everybody may read
	})
	if err != nil {
		return err
	}
	outer, err := layout.ImageIndexFromPath(a.dir)
	if err != nil {
		return err
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		return err
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Annotations[wholeName] == "" {
		return fmt.Errorf("it holds %d images, not one that has a name", len(manifest.Manifests))
	}
	a.digest, a.name = manifest.Manifests[0].Digest, manifest.Manifests[0].Annotations[wholeName]
	a.index, err = outer.ImageIndex(a.digest)
	return err
}

// eachEntry calls visit with each entry of a tar.
func eachEntry(content io.Reader, visit func(header *tar.Header, file []byte) error) error {
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		file, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := visit(header, file); err != nil {
			return err
		}
	}
}
