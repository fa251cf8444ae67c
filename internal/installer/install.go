// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/macpool/macpool/internal/problem"
)

// outcome is how it went in a directory.
type outcome struct {
	target Target
	// unusable says why nothing can be installed there; another directory may do.
	unusable error
	// err is what else went wrong.
	err error
}

// Install installs what is missing or old, once. It serves every directory that it can before it returns what is wrong with
// others.
func (i *Installer) Install() error {
	plugins, err := i.plugins()
	if err != nil {
		return err
	}
	targets, err := i.targets()
	if err != nil {
		return err
	}
	s, err := i.host.openStore()
	if err != nil {
		return err
	}
	outcomes, err := i.installAll(s, targets, plugins)
	if outcomes != nil { // else it has not come to any of them
		err = errors.Join(verdict(outcomes), err)
	}
	return errors.Join(err, s.close())
}

func (i *Installer) installAll(s *store, targets []Target, plugins []binary) ([]outcome, error) {
	r, err := readRecord(s.dir)
	if errors.Is(err, errDamaged) {
		i.log.Warn("Began a new record: reference plugins that the old one knew stay as they are", "reason", err.Error())
	} else if err != nil {
		return nil, err
	}
	if _, err := sweep(s.dir); err != nil {
		return nil, fmt.Errorf("sweeping %s: %w", stateDir, err)
	}
	outcomes := make([]outcome, 0, len(targets)) // none is an answer too
	for _, t := range targets {
		err := i.installInto(s, r, t, plugins)
		o := outcome{target: t, err: err}
		d := r.directory(t.Dir)
		d.Unusable = ""
		if err != nil && isUnusable(err) {
			o = outcome{target: t, unusable: err}
			d.Unusable = err.Error()
			i.tell(i.log.Warn, t.Dir, "Left out a directory of plugins", "directory", t.Dir, "reason", err.Error())
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, s.write(r)
}

// isUnusable tells whether nobody can install into the directory as the host is: it is read-only, not ours to write, or no
// directory. A full disk is not of this kind.
func isUnusable(err error) bool {
	return problem.As(err) == nil && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) ||
		errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) || errors.Is(err, errOthers))
}

// verdict is what is wrong in all. An unusable directory is not, as long as the plugin is found: in one of those in which the
// runtime is told to look, or, if it is told nothing, in any.
func verdict(outcomes []outcome) error {
	var (
		wrong        []error
		unusable     []string
		told, served bool
	)
	for _, o := range outcomes {
		told = told || o.target.runtime
	}
	for _, o := range outcomes {
		switch {
		case o.err != nil:
			wrong = append(wrong, o.err)
		case o.unusable != nil:
			unusable = append(unusable, o.unusable.Error())
		case o.target.runtime || !told:
			served = true
		}
	}
	if !served && len(wrong) == 0 {
		wrong = append(wrong, problem.NowhereToInstall.New(strings.Join(unusable, "; ")))
	}
	return errors.Join(wrong...)
}

func (i *Installer) installInto(s *store, r *record, t Target, plugins []binary) error {
	dir, err := i.host.openDir(t.Dir, true)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // nothing was written through it
	swept, err := sweep(dir)
	if err != nil {
		return fmt.Errorf("sweeping %s: %w", t.Dir, err)
	}
	for _, name := range swept {
		i.log.Info("Swept an unfinished file", "file", path.Join(t.Dir, name))
	}
	var problems []error
	for _, b := range plugins {
		if err := i.put(s, r, t, dir, b); err != nil {
			if problem.As(err) == nil {
				err = fmt.Errorf("installing %s: %w", path.Join(t.Dir, b.name), err)
			}
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// asideOf is the name that a file gets which has taken the place of a plugin that was installed there (T21). Nothing runs it by that name, and
// it is kept for who wants to know where it came from; the same file comes to be there once.
func asideOf(p present) string {
	if p.sum == "" {
		return ".macpool-foreign-" + rand.Text()
	}
	return ".macpool-foreign-" + p.sum[:16]
}

// put puts one plugin into one directory, if it belongs there.
func (i *Installer) put(s *store, r *record, t Target, dir *os.Root, b binary) error {
	now, err := inspect(dir, b.name)
	if err != nil {
		return err
	}
	file, d := path.Join(t.Dir, b.name), r.directory(t.Dir)
	aside := ""
	switch isOurs := now.ours(b.name, r); {
	case !now.exists:
	case now.sum == b.sum && (isOurs || b.name == PluginName):
		d.Files[b.name] = []string{b.sum}
		if now.is(b) {
			return nil
		}
	case !isOurs && b.name == PluginName && r.installed(t.Dir, b.name):
		aside = asideOf(now)
	case !isOurs && b.name == PluginName:
		return problem.ForeignPlugin.New(file)
	case !isOurs: // the distribution's own, which does as well
		return nil
	}

	// The record first: a kill after the rename must not leave a file that nobody knows to be ours.
	d.Files[b.name] = []string{b.sum}
	if now.sum != "" && now.sum != b.sum && aside == "" {
		d.Files[b.name] = []string{now.sum, b.sum}
	}
	if err := s.write(r); err != nil {
		return err
	}
	if err := install(dir, b, now, aside); err != nil {
		if !now.exists { // nothing of ours is there; if somebody was quicker, the next round sees whose it is
			delete(d.Files, b.name)
		}
		return err
	}
	d.Files[b.name] = []string{b.sum}
	if aside != "" {
		i.log.Error("Another file had taken the plugin's place: the plugin was put back, and the file set aside", "file", file, "sha256", b.sum,
			"aside", path.Join(t.Dir, aside), "asideSHA256", now.sum)
		return nil
	}
	message := "Installed a plugin"
	if now.exists {
		message = "Replaced a plugin"
	}
	i.log.Info(message, "file", file, "sha256", b.sum)
	return nil
}
