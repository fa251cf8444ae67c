// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
)

// sign is the subcommand: it signs a release with a key, where there is no workflow that signs without one.
func sign(args []string, _ io.Writer) error {
	flags := newFlags("sign", "DIST")
	keyFile := flags.String("key", "", "the private key, of ECDSA, in PEM and not encrypted: openssl ecparam -genkey -name prime256v1 -noout")
	builderID := flags.String("builder", buildType, "who built it, as a URI")
	_ = flags.Parse(args) // a wrong flag has ended the program
	if flags.NArg() != 1 || *keyFile == "" {
		return errors.New("wants a key and the directory of a release")
	}
	key, err := readPrivateKey(*keyFile)
	if err != nil {
		return err
	}
	d, err := openDist(flags.Arg(0), nil)
	if err != nil {
		return fmt.Errorf("reading the release: %w", err)
	}
	text, err := d.provenance(*builderID)
	if err != nil {
		return fmt.Errorf("saying what the release was made of: %w", err)
	}
	sums, err := signFile(key, d.sums)
	if err != nil {
		return fmt.Errorf("signing the checksums: %w", err)
	}
	provenance, err := signStatement(key, text)
	if err != nil {
		return fmt.Errorf("signing the provenance: %w", err)
	}
	return errors.Join(sums.write(d.path(sumsBundle)), provenance.write(d.path(provenanceFile)))
}

// subjects is the subcommand: it prints what a statement about a release is to be about, as lines of checksums.
func subjects(args []string, stdout io.Writer) error {
	flags := newFlags("subjects", "DIST")
	_ = flags.Parse(args) // a wrong flag has ended the program
	if flags.NArg() != 1 {
		return errors.New("wants the directory of a release")
	}
	d, err := openDist(flags.Arg(0), nil)
	if err != nil {
		return fmt.Errorf("reading the release: %w", err)
	}
	if _, err := stdout.Write(d.sums); err != nil {
		return err
	}
	for name, image := range d.images() {
		if _, err := fmt.Fprintf(stdout, "%s  %s\n", image.digest, name); err != nil {
			return err
		}
	}
	return nil
}
