// SPDX-License-Identifier: Apache-2.0

package main

import (
	"compress/gzip"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// verify is the subcommand: it tells whether a release is what it says. Its files are those that SHA256SUMS names; each image is what its
// digests say; each bill of materials is that of the file beside it; the provenance is about all of it, and of the commit that the programs name; what is
// installed are these images, by digest; and checksums and provenance are signed.
func verify(args []string, stdout io.Writer) error {
	flags := newFlags("verify", "DIST")
	keyFile := flags.String("key", "", "the public key that the release is signed with, in PEM")
	signed := flags.Bool("signed", false, "leave the signatures to cosign, which has to check those that were made without a key: see docs/release.md")
	_ = flags.Parse(args) // a wrong flag has ended the program
	if flags.NArg() != 1 || (*keyFile == "") != *signed {
		return errors.New("wants the directory of a release, and either -key or -signed")
	}
	var key *ecdsa.PublicKey
	if *keyFile != "" {
		var err error
		if key, err = readPublicKey(*keyFile); err != nil {
			return err
		}
	}
	d, err := openDist(flags.Arg(0), key)
	if err != nil {
		return err
	}
	commit, err := d.verify(key)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "%d files, made of commit %s\n", len(d.digests), commit); err != nil {
		return err
	}
	images := d.images()
	for _, name := range slices.Sorted(maps.Keys(images)) {
		if _, err := fmt.Fprintln(stdout, images[name].reference()); err != nil {
			return err
		}
	}
	return nil
}

// verify returns the commit of which the release was made.
func (d *dist) verify(key *ecdsa.PublicKey) (string, error) {
	b, err := readBundle(d.path(provenanceFile))
	if err != nil {
		return "", fmt.Errorf("reading the provenance: %w", err)
	}
	if key != nil {
		if err := b.verifyStatement(key); err != nil {
			return "", fmt.Errorf("%s: %w", provenanceFile, err)
		}
	}
	said, err := readStatement(b)
	if err != nil {
		return "", fmt.Errorf("%s: %w", provenanceFile, err)
	}
	commit, err := said.check(d)
	if err != nil {
		return "", fmt.Errorf("%s: %w", provenanceFile, err)
	}
	return commit, errors.Join(d.verifyBills(), d.verifyManifests(), d.verifyChart())
}

// verifyBills makes the bill of materials of each artifact again, and compares.
func (d *dist) verifyBills() error {
	var errs []error
	for _, file := range slices.Sorted(maps.Keys(d.artifacts)) {
		want, err := d.artifacts[file].bill()
		if err != nil {
			errs = append(errs, fmt.Errorf("making the bill of %s again: %w", file, err))
			continue
		}
		if got := d.digests[billFile(file)]; got != digestOf(want) {
			errs = append(errs, fmt.Errorf("%s is not the bill of %s", billFile(file), file))
		}
	}
	return errors.Join(errs...)
}

var imageLine = regexp.MustCompile(`(?m)^[ -]*image: (.*)$`)

// verifyManifests has what is installed by a manifest be the images of the release, whatever stands in a registry by their names.
func (d *dist) verifyManifests() error {
	references := map[string]bool{}
	for _, image := range d.images() {
		references[image.reference()] = true
	}
	var errs []error
	for _, file := range d.files() {
		if !strings.HasSuffix(file, ".yaml") {
			continue
		}
		text, err := os.ReadFile(d.path(file)) //nolint:gosec // G304: the directory is the caller's, the name has no slash
		if err != nil {
			return err
		}
		for _, match := range imageLine.FindAllStringSubmatch(string(text), -1) {
			if !references[match[1]] {
				errs = append(errs, fmt.Errorf("%s installs %s, which is no image of the release by its digest", file, match[1]))
			}
		}
	}
	return errors.Join(errs...)
}

// verifyChart has the chart know the digests of the images.
func (d *dist) verifyChart() error {
	for _, file := range d.files() {
		if !strings.HasSuffix(file, ".tgz") {
			continue
		}
		released, err := releasedOf(d.path(file))
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		for name, image := range d.images() {
			if want := fmt.Sprintf("%q:\"sha256:%s\"", path.Base(name), image.digest); !strings.Contains(released, want) {
				return fmt.Errorf("%s does not install %s by its digest", file, image.reference())
			}
		}
	}
	return nil
}

// releasedOf reads the template of a chart in which hack/release.sh writes down the digests of the images.
func releasedOf(file string) (string, error) {
	packed, err := os.Open(file) //nolint:gosec // G304: the directory is the caller's, the name has no slash
	if err != nil {
		return "", err
	}
	defer packed.Close() //nolint:errcheck // only read
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return "", err
	}
	released := ""
	err = eachRegular(unpacked, func(name string, content []byte) error {
		if strings.HasSuffix(name, "/templates/_released.tpl") {
			released = string(content)
		}
		return nil
	})
	return released, err
}
