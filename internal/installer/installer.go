// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options are the settings.
type Options struct {
	// Host is where the node's file system is mounted.
	Host string
	// Source is the directory that has macpool, and the reference plugins in reference.
	Source string
	// Platform is one of Platforms. One that is not Auto names a row of the table and is asked for nothing else.
	Platform string
	// BinDirs are the directories to install into, if they are to be no others.
	BinDirs []string
	// ReferencePlugins are the names of the reference plugins to install where they are missing.
	ReferencePlugins []string
	// Log gets a line for each change.
	Log *slog.Logger
	// Interval is the time after which Run looks again without having seen a change; a minute if 0.
	Interval time.Duration
	// Debounce is the time that Run waits after a change, so that whoever makes more of them is done; half a second if 0.
	Debounce time.Duration
}

// Installer is an installer of a node. It is not safe for concurrent use, but others may work on the same node.
type Installer struct {
	options Options
	host    *host
	log     *slog.Logger

	// told is what was logged last, by subject: a state that stays is logged once and not each minute.
	told map[string]string
}

// New is an installer for the node at options.Host.
func New(options Options) (*Installer, error) {
	root, err := os.OpenRoot(options.Host)
	if err != nil {
		return nil, fmt.Errorf("opening the host's file system: %w", err)
	}
	if options.Interval == 0 {
		options.Interval = time.Minute
	}
	if options.Debounce == 0 {
		options.Debounce = time.Second / 2
	}
	i := &Installer{options: options, host: &host{root: root}, log: options.Log, told: map[string]string{}}
	_, _, err = i.host.targets(options.Platform, options.BinDirs)
	if err == nil {
		_, err = i.plugins()
	}
	if err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// Close gives up the host's file system.
func (i *Installer) Close() error { return i.host.root.Close() }

// plugins are the binaries to install, our own first.
func (i *Installer) plugins() ([]binary, error) {
	own, err := readBinary(PluginName, filepath.Join(i.options.Source, PluginName))
	if err != nil {
		return nil, err
	}
	plugins := []binary{own}
	for _, name := range i.options.ReferencePlugins {
		if name == PluginName || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("reading the settings: %q is no reference plugin", name)
		}
		reference, err := readBinary(name, filepath.Join(i.options.Source, "reference", name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the settings: the image has no reference plugin %q", name)
		}
		if err != nil {
			return nil, err
		}
		plugins = append(plugins, reference)
	}
	return plugins, nil
}

// targets are the directories, and a line of log when they change.
func (i *Installer) targets() ([]Target, error) {
	targets, warnings, err := i.host.targets(i.options.Platform, i.options.BinDirs)
	if err != nil {
		return nil, err
	}
	for _, warning := range warnings {
		i.tell(i.log.Warn, "warning "+warning, "Skipped a part of the host's configuration", "reason", warning)
	}
	var found []string
	for _, t := range targets {
		found = append(found, t.Dir+" ("+t.Source+")")
	}
	slices.Sort(found)
	i.tell(i.log.Info, "targets", "Found the directories of plugins", "directories", found)
	return targets, nil
}

// tell logs what is new about a subject.
func (i *Installer) tell(log func(string, ...any), subject, message string, args ...any) {
	if now := fmt.Sprint(append([]any{message}, args...)...); i.told[subject] != now {
		i.told[subject] = now
		log(message, args...)
	}
}
