// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"syscall"
)

// Remove takes away what was installed and is still as it was installed, from the directories of the record and from those in
// which Install would install. Nothing else is touched, and the agent's state stays.
func (i *Installer) Remove() error {
	targets, err := i.targets()
	if err != nil {
		return err
	}
	if !i.host.isDir(stateDir) && !slices.ContainsFunc(targets, func(t Target) bool { return i.host.isDir(t.Dir) }) {
		return nil
	}
	s, err := i.host.openStore()
	if err != nil {
		return err
	}
	r, err := readRecord(s.dir)
	if errors.Is(err, errDamaged) {
		i.log.Warn("Could not tell which reference plugins were installed: they stay", "reason", err.Error())
	} else if err != nil {
		return errors.Join(err, s.close())
	}

	var problems []error
	for _, t := range targets {
		r.directory(t.Dir)
	}
	names := append(r.names(), PluginName)
	slices.Sort(names)
	names = slices.Compact(names)
	for dir := range r.Directories {
		if err := i.removeFrom(r, dir, names); err != nil {
			problems = append(problems, fmt.Errorf("removing from %s: %w", dir, err))
		}
	}
	if len(problems) == 0 {
		problems = append(problems, i.forget(s))
	}
	return errors.Join(append(problems, s.close())...)
}

func (i *Installer) removeFrom(r *record, from string, names []string) error {
	dir, err := i.host.openDir(from, false)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // a removal that is lost in a power cut is made again
	if _, err := sweep(dir); err != nil {
		return err
	}
	var problems []error
	for _, name := range names {
		now, err := inspect(dir, name)
		if err == nil && now.ours(name, r) {
			if err = remove(dir, name, now); err == nil {
				i.log.Info("Removed a plugin", "file", path.Join(from, name))
			}
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// forget removes the record, and the directory if nobody else has anything in it.
func (i *Installer) forget(s *store) error {
	for _, name := range []string{recordName, lockName} {
		if err := s.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing %s/%s: %w", stateDir, name, err)
		}
	}
	where, err := i.host.resolve(stateDir)
	if err != nil {
		return err
	}
	err = i.host.root.Remove(where.real)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EBUSY) {
		return nil // the agent's state, or a mount
	}
	return err
}
