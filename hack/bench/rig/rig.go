// SPDX-License-Identifier: Apache-2.0

// Package rig is what sections of the benchmarks stand on: the laboratory of e2e/lab with its state on a disk, and what /proc says of processes.
package rig

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/macpool/macpool/e2e/lab"
)

// Rig is what a section gets.
type Rig struct {
	// Options say where the programs are.
	Options lab.Options
	// Disk is a directory on a disk, where an fsync costs what it costs; the laboratory's own directory is in memory.
	Disk string
	// Rounds is how often candidates take turns.
	Rounds int
	// Peer and PeerConf are another IPAM plugin and the ipam part of its configuration, if the caller has named one; PeerManifests is what kubectl
	// applies for it, if that is needed.
	Peer, PeerConf, PeerManifests string

	isolation *lab.Isolation
	begun     time.Time
}

// New is for a process that lab.Isolate has made.
func New(isolation *lab.Isolation) (*Rig, error) {
	ctrl.SetLogger(logr.Discard()) // envtest's
	options, err := lab.OptionsFromEnv()
	if err != nil {
		return nil, err
	}
	return &Rig{Options: options, isolation: isolation, begun: time.Now()}, nil
}

// Lab starts a control plane and a switch, once in a process.
func (r *Rig) Lab(ctx context.Context) (*lab.Lab, error) {
	l, err := lab.Start(ctx, r.isolation, r.Options)
	if err != nil {
		return nil, fmt.Errorf("starting the laboratory: %w", err)
	}
	return l, nil
}

// Say tells who waits how far it is.
func (r *Rig) Say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(r.begun).Seconds(), fmt.Sprintf(format, args...))
}
