// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"path"
	"path/filepath"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// watcher tells of changes to what is installed: to the files, to the directories above them, which an upgrade of the
// distribution may replace, and to the links on the way. Without inotify it tells of nothing, and the timer has to do.
type watcher struct {
	installer *Installer
	inotify   *fsnotify.Watcher
	// paths are those whose changes matter, in this process's file system.
	paths map[string]bool
}

func newWatcher(i *Installer) *watcher {
	w := &watcher{installer: i}
	inotify, err := fsnotify.NewWatcher()
	if err != nil {
		i.log.Warn("Could not watch the host's directories: they are looked at by the clock", "reason", err.Error())
		return w
	}
	w.inotify = inotify
	return w
}

func (w *watcher) close() {
	if w.inotify != nil {
		_ = w.inotify.Close() //nolint:errcheck // the process ends
	}
}

func (w *watcher) events() <-chan fsnotify.Event {
	if w.inotify == nil {
		return nil
	}
	return w.inotify.Events
}

func (w *watcher) errors() <-chan error {
	if w.inotify == nil {
		return nil
	}
	return w.inotify.Errors
}

func (w *watcher) matters(event fsnotify.Event) bool { return w.paths[event.Name] }

// follow watches the directories as they are now, and tells whether one of them was not watched before.
func (w *watcher) follow() bool {
	if w.inotify == nil {
		return false
	}
	w.paths = w.installer.paths()
	var (
		before = w.inotify.WatchList()
		wanted = map[string]bool{}
		added  bool
	)
	for p := range w.paths {
		dir := filepath.Dir(p)
		if wanted[dir] {
			continue
		}
		wanted[dir] = true
		// Also if it is watched: the name may be that of another directory by now.
		if w.inotify.Add(dir) == nil && !slices.Contains(before, dir) {
			added = true
		}
	}
	for _, dir := range before {
		if !wanted[dir] {
			_ = w.inotify.Remove(dir) //nolint:errcheck // it may be gone
		}
	}
	return added
}

// paths are those whose changes matter.
func (i *Installer) paths() map[string]bool {
	paths := map[string]bool{}
	targets, _, err := i.host.targets(i.options.Platform, i.options.BinDirs)
	if err != nil {
		return paths // New has checked the settings
	}
	for _, t := range targets {
		where, err := i.host.resolve(t.Dir)
		if err != nil {
			continue
		}
		for _, name := range append([]string{PluginName}, i.options.ReferencePlugins...) {
			paths[filepath.Join(i.options.Host, where.real, name)] = true
		}
		for _, link := range where.links {
			paths[filepath.Join(i.options.Host, link)] = true
		}
		for dir := where.real; dir != "."; dir = path.Dir(dir) {
			paths[filepath.Join(i.options.Host, dir)] = true
		}
	}
	return paths
}
