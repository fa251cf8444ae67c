// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"context"
	"time"
)

// retryAfter is how soon Run tries again what went wrong, if nothing changes before.
const retryAfter = 10 * time.Second

// Run installs, and installs again whenever something has changed what was installed, until ctx ends. What is installed then
// stays: pods that end later need it.
func (i *Installer) Run(ctx context.Context) error {
	w := newWatcher(i)
	defer w.close()
	var (
		timer = time.NewTimer(0)
		soon  bool // the timer stands for a change
	)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			i.log.Info("Stopped, and left the plugins in place")
			return nil
		case <-w.changes:
			soon = i.hurry(timer, soon)
		case err := <-w.lost:
			i.tell(i.log.Warn, "watcher", "Lost changes of the host's directories", "reason", err.Error())
			soon = i.hurry(timer, soon)
		case <-timer.C:
			soon = false
			next := i.options.Interval
			if !i.installAndTell() {
				next = min(next, retryAfter)
			}
			// Directories that are watched from now on may have changed since they were served.
			if w.follow() {
				soon, next = true, i.options.Debounce
			}
			timer.Reset(next)
		}
	}
}

// hurry makes the timer one for a change. The first change sets the time and not the last: a directory that never rests is
// served all the same.
func (i *Installer) hurry(timer *time.Timer, soon bool) bool {
	if !soon {
		timer.Reset(i.options.Debounce)
	}
	return true
}

func (i *Installer) installAndTell() bool {
	err := i.Install()
	if err != nil {
		i.tell(i.log.Error, "state", "Could not install everything", "reason", err.Error())
		return false
	}
	i.tell(i.log.Info, "state", "Everything is in place")
	return true
}
