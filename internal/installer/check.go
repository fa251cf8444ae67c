// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/macpool/macpool/internal/problem"
)

// errPending says that Install has something to do.
var errPending = errors.New("not installed yet")

// Check tells whether everything is in place that Install can put there. It changes nothing.
func (i *Installer) Check() error {
	plugins, err := i.plugins()
	if err != nil {
		return err
	}
	targets, err := i.targets()
	if err != nil {
		return err
	}
	r, err := i.readRecord()
	if err != nil {
		return err
	}
	var outcomes []outcome
	for _, t := range targets {
		o := outcome{target: t, err: i.checkTarget(r, t, plugins)}
		// Whether it can be put there only Install knows, who has tried.
		if d := r.Directories[t.Dir]; d != nil && d.Unusable != "" && errors.Is(o.err, errPending) {
			o = outcome{target: t, unusable: errors.New(d.Unusable)}
		}
		outcomes = append(outcomes, o)
	}
	return verdict(outcomes)
}

func (i *Installer) checkTarget(r *record, t Target, plugins []binary) error {
	dir, err := i.host.openDir(t.Dir, false)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", t.Dir, errPending, err)
	}
	defer dir.Close() //nolint:errcheck // was only read
	var problems []error
	for _, b := range plugins {
		now, err := inspect(dir, b.name)
		file := path.Join(t.Dir, b.name)
		switch ours := now.ours(b.name, r); {
		case err != nil:
			problems = append(problems, err)
		case !now.exists, (ours || now.sum == b.sum && b.name == PluginName) && !now.is(b):
			problems = append(problems, fmt.Errorf("%s: %w", file, errPending))
		case !ours && b.name == PluginName && now.sum != b.sum && r.installed(t.Dir, b.name):
			problems = append(problems, fmt.Errorf("%s: %w: another file has taken its place", file, errPending))
		case !ours && b.name == PluginName && now.sum != b.sum:
			problems = append(problems, problem.ForeignPlugin.New(file))
		}
	}
	return errors.Join(problems...)
}

// readRecord reads the record without waiting for whoever writes it; an empty one if there is none.
func (i *Installer) readRecord() (*record, error) {
	dir, err := i.host.openState(false)
	if errors.Is(err, fs.ErrNotExist) {
		return &record{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // was only read
	r, err := readRecord(dir)
	if errors.Is(err, errDamaged) {
		return r, nil
	}
	return r, err
}
