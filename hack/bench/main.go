// SPDX-License-Identifier: Apache-2.0

// Bench measures macpool beside what people use or could do instead, in one run on one machine, and writes a report, pictures and all values
// that it has measured. Run it with make bench. Times depend on the machine: they are reported, compared with the targets of this project, and fail
// nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// settings are the flags, which each section's process gets, too.
type settings struct {
	only, out string
	rounds    int
	section   string
	load      float64 // before the run
	// Of another IPAM plugin.
	peer, peerConf, peerManifests string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // a program's main has no caller
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var s settings
	flag.StringVar(&s.only, "only", "", "sections to run, separated by commas, of: "+strings.Join(names(), ", ")+"; empty for all")
	flag.StringVar(&s.out, "out", "dist/bench", "the directory of the report; sections that are not run keep theirs")
	flag.IntVar(&s.rounds, "rounds", 5, "how often candidates take turns")
	flag.StringVar(&s.peer, "peer", "", "another IPAM plugin to compare with")
	flag.StringVar(&s.peerConf, "peer-conf", "", "the file with the ipam part of its configuration; see docs/benchmarks.md")
	flag.StringVar(&s.peerManifests, "peer-manifests", "", "a file or a directory that kubectl applies for it: its kinds, say")
	flag.StringVar(&s.section, "section", "", "run this section alone, in this process; bench calls itself so")
	flag.Float64Var(&s.load, "load", load(), "how busy the machine was before the run; bench tells itself so")
	flag.Parse()
	// Sections run elsewhere.
	for _, path := range []*string{&s.out, &s.peer, &s.peerConf, &s.peerManifests} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("finding %s: %w", *path, err)
		}
		*path = abs
	}
	if s.section != "" {
		return runSection(ctx, s)
	}
	if err := s.checkPeer(); err != nil {
		return err
	}
	wanted, err := s.wanted()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil { //nolint:gosec // G301: a report is for everybody
		return fmt.Errorf("making the directory of the report: %w", err)
	}
	if w := warning(s.load); w != "" {
		fmt.Fprintln(os.Stderr, "bench:", w)
	}
	var errs []error
	for _, name := range wanted {
		// In a process of its own: none finds the namespaces, the memory and the control plane of the one before.
		if err := s.start(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("section %s: %w", name, err))
		}
	}
	return errors.Join(append(errs, report(s.out, machine(ctx, os.Getenv("KUBEBUILDER_ASSETS"))))...)
}

// checkPeer finds out before all sections have run, and not after, that the peer cannot be called.
func (s *settings) checkPeer() error {
	if (s.peer == "") != (s.peerConf == "") {
		return errors.New("PEER and PEER_CONF go together: a plugin, and the file with the ipam part of its configuration")
	}
	for _, path := range []string{s.peer, s.peerConf, s.peerManifests} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("finding what belongs to PEER: %w", err)
		}
	}
	return nil
}

// wanted are the names of the sections to run.
func (s *settings) wanted() ([]string, error) {
	if s.only == "" {
		var all []string
		for _, one := range sections {
			if !one.needsPeer || s.peer != "" {
				all = append(all, one.name)
			}
		}
		return all, nil
	}
	wanted := strings.Split(s.only, ",")
	for _, name := range wanted {
		if find(name) == nil {
			return nil, fmt.Errorf("there is no section %q: there are %s", name, strings.Join(names(), ", "))
		}
	}
	return wanted, nil
}

// start runs a section in a process of its own.
func (s *settings) start(ctx context.Context, name string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program itself: %w", err)
	}
	fmt.Fprintf(os.Stderr, "bench: %s\n", name)
	child := exec.CommandContext(ctx, self, "-section="+name, "-out="+s.out, "-rounds="+strconv.Itoa(s.rounds), //nolint:gosec // the same program again
		"-peer="+s.peer, "-peer-conf="+s.peerConf, "-peer-manifests="+s.peerManifests, fmt.Sprintf("-load=%g", s.load))
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	return child.Run()
}

// runSection runs in the section's own process, and writes its result where the report looks for it.
func runSection(ctx context.Context, s settings) error {
	one := find(s.section)
	if one == nil {
		return fmt.Errorf("there is no section %q", s.section)
	}
	r, err := rig.New(lab.Isolate(ctx))
	if err != nil {
		return err
	}
	r.Rounds, r.Peer, r.PeerConf, r.PeerManifests = s.rounds, s.peer, s.peerConf, s.peerManifests
	if r.Disk, err = os.MkdirTemp(s.out, "state-"); err != nil {
		return fmt.Errorf("making a directory on the disk: %w", err)
	}
	result, err := runOn(ctx, one, r, s.load)
	err = errors.Join(err, os.RemoveAll(r.Disk))
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(s.out, one.name+".json"), result)
}

func runOn(ctx context.Context, one *section, r *rig.Rig, before float64) (*measure.Result, error) {
	syncs, err := fsyncs(r.Disk)
	if err != nil {
		return nil, err
	}
	result, err := one.run(ctx, r)
	if err != nil {
		return nil, err
	}
	result.Section, result.Conditions = one.name, conditions(before, fileSystem(r.Disk), syncs)
	result.Series = append(result.Series, syncs)
	return result, nil
}

func writeJSON(path string, result *measure.Result) error {
	text, err := json.MarshalIndent(result, "", " ")
	if err != nil {
		return fmt.Errorf("writing a result: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // G306: a report is for everybody
}
