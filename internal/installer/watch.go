// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"
)

// watcher tells of changes to what is installed: to the files, to the directories above them, which an upgrade of the
// distribution may replace, and to the links on the way. Without inotify it tells of nothing, and the timer has to do.
type watcher struct {
	// changes has something to receive after a change that matters, once for many.
	changes chan struct{}
	// lost has why changes may have been missed.
	lost chan error

	installer *Installer
	inotify   *fsnotify.Watcher
	// paths are those whose changes matter, in this process's file system.
	paths atomic.Pointer[map[string]bool]
	done  sync.WaitGroup
}

func newWatcher(i *Installer) *watcher {
	w := &watcher{installer: i, changes: make(chan struct{}, 1), lost: make(chan error, 1)}
	w.paths.Store(&map[string]bool{})
	inotify, err := fsnotify.NewWatcher()
	if err != nil {
		i.log.Warn("Could not watch the host's directories: they are looked at by the clock", "reason", err.Error())
		return w
	}
	w.inotify = inotify
	w.done.Go(w.receive)
	return w
}

func (w *watcher) close() {
	if w.inotify == nil {
		return
	}
	if err := w.inotify.Close(); err != nil {
		w.installer.log.Warn("Could not end the watch", "reason", err.Error())
	}
	w.done.Wait()
}

// receive never waits for anybody: fsnotify can hold its lock until an error is received, and follow needs that lock.
func (w *watcher) receive() {
	for {
		select {
		case event, open := <-w.inotify.Events:
			if !open {
				return
			}
			if !(*w.paths.Load())[event.Name] {
				continue
			}
			select {
			case w.changes <- struct{}{}:
			default:
			}
		case err, open := <-w.inotify.Errors:
			if !open {
				return
			}
			select {
			case w.lost <- err:
			default:
			}
		}
	}
}

// follow watches the directories as they are now, and tells whether one of them was not watched before.
func (w *watcher) follow() bool {
	if w.inotify == nil {
		return false
	}
	paths := w.installer.paths()
	w.paths.Store(&paths)
	var (
		before = w.inotify.WatchList()
		wanted = map[string]bool{}
		added  bool
	)
	for p := range paths {
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
			_ = w.inotify.Remove(dir) // it may be gone
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
