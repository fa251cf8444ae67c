// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of everything: when a thing was built says nothing that its content does not.
var epoch = time.Unix(0, 0).UTC()

// tarOf writes the entries as a layer: root's, of one time, parents before what is in them.
func tarOf(entries map[string]entry) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.path, Linkname: e.link, Size: int64(len(e.text)), ModTime: epoch}
		header.Mode = int64(e.mode.Perm())
		if e.mode&fs.ModeSticky != 0 {
			header.Mode |= 0o1000
		}
		switch e.mode.Type() {
		case fs.ModeDir:
			header.Typeflag, header.Name = tar.TypeDir, e.path+"/"
		case fs.ModeSymlink:
			header.Typeflag = tar.TypeSymlink
		default: // a regular file
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("writing %s into a layer: %w", e.path, err)
		}
		if _, err := w.Write(e.text); err != nil {
			return nil, fmt.Errorf("writing %s into a layer: %w", e.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("ending a layer: %w", err)
	}
	return buffer.Bytes(), nil
}

// layerOf makes a layer of a tar: as it is for an archive that one machine loads, compressed for a registry.
func layerOf(content []byte, compressed bool) (v1.Layer, error) {
	if !compressed {
		return static.NewLayer(content, types.DockerUncompressedLayer), nil
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
