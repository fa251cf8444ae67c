// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files of a release that are about the others.
const (
	sumsFile       = "SHA256SUMS"
	sumsBundle     = "SHA256SUMS.sigstore.json"
	provenanceFile = "provenance.sigstore.json"
)

// about are the files of a release that SHA256SUMS does not name: it is one of them itself, and the others are made of it.
var about = []string{sumsFile, sumsBundle, provenanceFile}

// A dist is a directory with the files of a release.
type dist struct {
	dir       string
	sums      []byte            // SHA256SUMS as it is
	digests   map[string]string // file -> SHA-256, as SHA256SUMS says
	artifacts map[string]*artifact
}

// openDist reads a release, and refuses one whose files are not those that SHA256SUMS names. With a key, it believes SHA256SUMS only when
// that key has signed it.
func openDist(dir string, key *ecdsa.PublicKey) (*dist, error) {
	d := &dist{dir: dir, digests: map[string]string{}, artifacts: map[string]*artifact{}}
	var err error
	if d.sums, err = os.ReadFile(d.path(sumsFile)); err != nil { //nolint:gosec // G304: the directory is the caller's
		return nil, fmt.Errorf("reading the checksums: %w", err)
	}
	if key != nil {
		b, err := readBundle(d.path(sumsBundle))
		if err != nil {
			return nil, fmt.Errorf("reading the signature of the checksums: %w", err)
		}
		if err := b.verifyFile(key, d.sums); err != nil {
			return nil, fmt.Errorf("%s: %w", sumsFile, err)
		}
	}
	for lines := bufio.NewScanner(strings.NewReader(string(d.sums))); lines.Scan(); {
		sum, file, ok := strings.Cut(lines.Text(), "  ")
		if !ok || len(sum) != 64 || file != filepath.Base(file) || slices.Contains(about, file) || d.digests[file] != "" {
			return nil, fmt.Errorf("%s: %q is not the checksum of a file of a release", sumsFile, lines.Text())
		}
		d.digests[file] = sum
	}
	if err := d.compare(); err != nil {
		return nil, err
	}
	for _, file := range d.files() {
		if strings.HasSuffix(file, imageSuffix) || strings.HasSuffix(file, programsSuffix) {
			if d.artifacts[file], err = openArtifact(d.path(file)); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

func (d *dist) path(file string) string { return filepath.Join(d.dir, file) }

// files are those that SHA256SUMS names, in order.
func (d *dist) files() []string { return slices.Sorted(maps.Keys(d.digests)) }

// compare compares the files that are there with SHA256SUMS: neither may have one that the other lacks.
func (d *dist) compare() error {
	there, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("looking for the files of the release: %w", err)
	}
	var errs []error
	for _, file := range there {
		if d.digests[file.Name()] == "" && !slices.Contains(about, file.Name()) {
			errs = append(errs, fmt.Errorf("%s is there, and %s does not name it", file.Name(), sumsFile))
		}
	}
	for _, file := range d.files() {
		content, err := os.ReadFile(d.path(file)) //nolint:gosec // G304: the directory is the caller's, the name has no slash
		switch {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("%s is missing", file))
		case err != nil:
			errs = append(errs, err)
		case digestOf(content) != d.digests[file]:
			errs = append(errs, fmt.Errorf("%s is not what %s says", file, sumsFile))
		}
	}
	return errors.Join(errs...)
}

// images are the images of the release, by what they are called without a tag.
func (d *dist) images() map[string]*artifact {
	images := map[string]*artifact{}
	for _, a := range d.artifacts {
		if a.image {
			images[a.name] = a
		}
	}
	return images
}

// commit is the commit that the programs of this repository say they were built of. All say the same, and that nothing was changed in it.
func (d *dist) commit() (string, error) {
	commit := ""
	for _, file := range slices.Sorted(maps.Keys(d.artifacts)) {
		for _, p := range d.artifacts[file].programs {
			if !isOurs(p.info.Main.Path) {
				continue
			}
			settings := map[string]string{}
			for _, s := range p.info.Settings {
				settings[s.Key] = s.Value
			}
			switch revision := settings["vcs.revision"]; {
			case revision == "":
				return "", fmt.Errorf("%s in %s does not say of what commit it was built", p.path, file)
			case settings["vcs.modified"] != "false":
				return "", fmt.Errorf("%s in %s was built of a tree with changes that are in no commit", p.path, file)
			case commit != "" && revision != commit:
				return "", fmt.Errorf("%s in %s was built of commit %s, others of %s", p.path, file, revision, commit)
			default:
				commit = revision
			}
		}
	}
	if commit == "" {
		return "", errors.New("there is no program of this repository in the release")
	}
	return commit, nil
}
