// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// The endings of the files of a release that have programs in them, by which what they are is told.
const (
	imageSuffix    = ".oci.tar"
	programsSuffix = ".tar.gz"
)

// An artifact is a file of a release that has programs in it: an image, or an archive of programs. What is in it is all that is
// known of it, so that whoever has it can see that what is said of it is true.
type artifact struct {
	image    bool
	name     string // of the image without its tag, or of the file
	version  string // the image's tag
	digest   string // by which the image is pulled, or of the file: SHA-256 in hexadecimal digits
	programs []program
	texts    map[string][][]byte // a module's path, or go -> its licence texts
}

// A program is one file of an artifact that is a program of Go.
type program struct {
	path   string // in the artifact; in an image with the platform before it
	digest string
	info   *debug.BuildInfo
}

// openArtifact reads what is in a file of a release. Of an image, every part is compared with the digest that names it.
func openArtifact(file string) (*artifact, error) {
	a := &artifact{texts: map[string][][]byte{}}
	var err error
	switch {
	case strings.HasSuffix(file, imageSuffix):
		err = a.readImage(file)
	case strings.HasSuffix(file, programsSuffix):
		err = a.readPrograms(file)
	default:
		err = fmt.Errorf("its name ends in neither %s nor %s", imageSuffix, programsSuffix)
	}
	if err == nil && len(a.programs) == 0 {
		err = errors.New("there is no program of Go in it")
	}
	if err != nil {
		return nil, fmt.Errorf("looking at what is in %s: %w", filepath.Base(file), err)
	}
	slices.SortFunc(a.programs, func(p, q program) int { return cmp.Compare(p.path, q.path) })
	return a, nil
}

func (a *artifact) readImage(file string) error {
	opened, err := openArchive(file)
	if err != nil {
		return err
	}
	defer opened.close()
	if err := validate.Index(opened.index); err != nil {
		return fmt.Errorf("comparing its parts with their digests: %w", err)
	}
	a.image, a.digest = true, opened.digest.Hex
	a.name, a.version, _ = cutLast(opened.name, ":")
	manifest, err := opened.index.IndexManifest()
	if err != nil {
		return err
	}
	for _, descriptor := range manifest.Manifests {
		img, err := opened.index.Image(descriptor.Digest)
		if err != nil {
			return err
		}
		if err := eachFile(img, func(name string, content []byte) error { return a.add(descriptor.Platform.String(), name, content) }); err != nil {
			return err
		}
	}
	return nil
}

func (a *artifact) readPrograms(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	a.name, a.digest = filepath.Base(file), digestOf(content)
	unpacked, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return err
	}
	return eachRegular(unpacked, func(name string, content []byte) error { return a.add("", name, content) })
}

// add keeps what counts of a file of the artifact: the licence texts, which are below licenses/MODULE, and the programs.
func (a *artifact) add(platform, name string, content []byte) error {
	if below, ok := strings.CutPrefix(name, "licenses/"); ok {
		if module := path.Dir(below); !slices.ContainsFunc(a.texts[module], func(text []byte) bool { return bytes.Equal(text, content) }) {
			a.texts[module] = append(a.texts[module], content)
		}
		return nil
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return nil //nolint:nilerr // a text, not a program of Go
	}
	a.programs = append(a.programs, program{path: path.Join(platform, name), digest: digestOf(content), info: info})
	return nil
}

// reference is what to pull an image by, so that it is this one and no other.
func (a *artifact) reference() string { return a.name + ":" + a.version + "@sha256:" + a.digest }

// licences tells what licence each module of which there are texts has.
func (a *artifact) licences() (map[string]licence, error) {
	found := map[string]licence{}
	for _, module := range slices.Sorted(maps.Keys(a.texts)) {
		var err error
		if found[module], err = recognize(a.texts[module]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// eachFile calls visit with each regular file of the image.
func eachFile(img v1.Image, visit func(file string, content []byte) error) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			return err
		}
		err = eachRegular(content, visit)
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	return nil
}

// eachRegular calls visit with each regular file of a tar.
func eachRegular(content io.Reader, visit func(file string, content []byte) error) error {
	return eachEntry(content, func(header *tar.Header, file []byte) error {
		if header.Typeflag != tar.TypeReg {
			return nil
		}
		return visit(header.Name, file)
	})
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
