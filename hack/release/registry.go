// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// serveRegistry is the subcommand registry: it serves an empty registry, which forgets all when it ends, and first prints where.
func serveRegistry(args []string, stdout io.Writer) error {
	flags := newFlags("registry", "")
	address := flags.String("address", "127.0.0.1:0", "where to listen")
	_ = flags.Parse(args) // a wrong flag has ended the program

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		return err
	}
	server := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: 5 * time.Second}
	return server.Serve(listener)
}

// push is the subcommand: it sends the image of an OCI archive to a registry, with the credentials that docker login or a tool
// like it has left.
func push(args []string, stdout io.Writer) error {
	flags := newFlags("push", "ARCHIVE REFERENCE")
	_ = flags.Parse(args) // a wrong flag has ended the program
	if flags.NArg() != 2 {
		return errors.New("wants an archive and a reference")
	}
	ref, err := name.ParseReference(flags.Arg(1), name.StrictValidation)
	if err != nil {
		return fmt.Errorf("reading where to push to: %w", err)
	}
	opened, err := openArchive(flags.Arg(0))
	if err != nil {
		return err
	}
	defer opened.close()
	if err := remote.WriteIndex(ref, opened.index, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("pushing: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "%s@%s\n", ref.Context(), opened.digest)
	return err
}
