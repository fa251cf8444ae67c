// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A recipe is what an image is made of.
type recipe struct {
	platforms []v1.Platform
	config    v1.Config
	entries   []string // see parseEntries
}

// image is the subcommand: it writes an image to an archive.
func image(args []string, stdout io.Writer) error {
	flags := newFlags("image", "PATH=FILE|PATH=->TARGET|PATH=text:TEXT|PATH=dir:MODE ...")
	out := flags.String("o", "image.tar", "the archive to write")
	format := flags.String("format", "docker", "docker: a docker-archive of one platform; oci: an OCI layout in a tar, with an index of all platforms")
	ref := flags.String("ref", "", "what the image is called, such as example.com/name:v1")
	platforms := flags.String("platform", "linux/"+runtime.GOARCH, "comma-separated, such as linux/amd64,linux/arm64")
	user := flags.String("user", "", "who it runs as, such as 65532:65532; root where empty")
	entrypoint := flags.String("entrypoint", "", "comma-separated")
	command := flags.String("cmd", "", "comma-separated")
	path := flags.String("path", "", "$PATH in the image; none where empty")
	labels := map[string]string{}
	flags.Func("label", "KEY=VALUE; may be repeated", func(s string) error {
		key, value, ok := strings.Cut(s, "=")
		if labels[key] = value; !ok {
			return errors.New("is not KEY=VALUE")
		}
		return nil
	})
	_ = flags.Parse(args) // a wrong flag has ended the program

	r := recipe{config: v1.Config{User: *user, Entrypoint: split(*entrypoint), Cmd: split(*command)}, entries: flags.Args()}
	if *path != "" {
		r.config.Env = []string{"PATH=" + *path}
	}
	if len(labels) > 0 {
		r.config.Labels = labels
	}
	for _, s := range split(*platforms) {
		p, err := v1.ParsePlatform(s)
		if err != nil {
			return fmt.Errorf("reading the platform %q: %w", s, err)
		}
		r.platforms = append(r.platforms, *p)
	}

	var digest v1.Hash
	var err error
	switch *format {
	case "docker":
		digest, err = writeDocker(*out, *ref, r)
	case "oci":
		digest, err = writeOCI(*out, *ref, r)
	default:
		err = fmt.Errorf("there is no format %q", *format)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s %s %s\n", *out, *ref, digest)
	return err
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// build makes the image of one platform, of a single layer: nothing in it is worth sharing.
func (r recipe) build(platform v1.Platform, forRegistry bool) (v1.Image, error) {
	entries, err := parseEntries(r.entries, platform.Architecture)
	if err != nil {
		return nil, err
	}
	content, err := tarOf(entries)
	if err != nil {
		return nil, err
	}
	layer, err := layerOf(content, forRegistry)
	if err != nil {
		return nil, fmt.Errorf("making the layer: %w", err)
	}
	base := empty.Image
	if forRegistry {
		base = mutate.ConfigMediaType(mutate.MediaType(base, types.OCIManifestSchema1), types.OCIConfigJSON)
	}
	base, err = mutate.ConfigFile(base, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
		Created: v1.Time{Time: epoch}, Config: r.config, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("configuring the image: %w", err)
	}
	img, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "hack/release"}})
	if err != nil {
		return nil, fmt.Errorf("adding the layer: %w", err)
	}
	return img, nil
}

// index makes the index of all platforms.
func (r recipe) index() (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range r.platforms {
		img, err := r.build(platform, true)
		if err != nil {
			return nil, fmt.Errorf("building for %s: %w", platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	return index, nil
}
