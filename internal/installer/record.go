// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"syscall"
)

const (
	stateDir   = "/var/lib/macpool" // on the host, also the agent's
	recordName = "installed.json"
	lockName   = "installer.lock"
)

// record is what this package has put on the node. It is the only proof that a reference plugin is ours.
type record struct {
	// Directories are by their path on the host, as the configuration or the table calls it: a link on the way may lead
	// elsewhere after an upgrade of the distribution.
	Directories map[string]*directoryRecord `json:"directories"`
}

type directoryRecord struct {
	// Files are the checksums of each file. Two while one is being replaced by the other: either may be there after a kill.
	Files map[string][]string `json:"files"`
	// Unusable says why nothing can be installed here, for Check, which does not try.
	Unusable string `json:"unusable,omitempty"`
}

func (r *record) directory(dir string) *directoryRecord {
	if r.Directories == nil {
		r.Directories = map[string]*directoryRecord{}
	}
	d := r.Directories[dir]
	if d == nil {
		d = &directoryRecord{}
		r.Directories[dir] = d
	}
	if d.Files == nil {
		d.Files = map[string][]string{}
	}
	return d
}

// knows tells whether a file of this name with this checksum was installed, in whichever directory: distributions copy
// directories, as snaps do when they are refreshed.
func (r *record) knows(name, sum string) bool {
	for _, d := range r.Directories {
		if d != nil && slices.Contains(d.Files[name], sum) {
			return true
		}
	}
	return false
}

// names are those of all files that were installed anywhere, in order.
func (r *record) names() []string {
	names := map[string]bool{}
	for _, d := range r.Directories {
		if d != nil {
			for name := range d.Files {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// store is the directory of the record, locked: two installers on a node, as during an update, go one after the other.
type store struct {
	dir  *os.Root
	lock *os.File
}

// openStore makes the directory if there is none.
func (h *host) openStore() (*store, error) {
	dir, err := h.openDir(stateDir, true)
	if err != nil {
		return nil, err
	}
	lock, err := dir.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s/%s: %w", stateDir, lockName, err), dir.Close())
	}
	s := &store{dir: dir, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s/%s: %w", stateDir, lockName, err), s.close())
	}
	return s, nil
}

// close gives up the lock.
func (s *store) close() error { return errors.Join(s.lock.Close(), s.dir.Close()) }

// errDamaged says that the record cannot be read; what it knew is then nobody's.
var errDamaged = errors.New("the record of what was installed is damaged")

// readRecord reads the record in dir; an empty one if there is none.
func readRecord(dir *os.Root) (*record, error) {
	content, err := dir.ReadFile(recordName)
	if errors.Is(err, fs.ErrNotExist) {
		return &record{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s/%s: %w", stateDir, recordName, err)
	}
	r := &record{}
	if err := json.Unmarshal(content, r); err != nil {
		return &record{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return r, nil
}

// write replaces the record, whole or not at all.
func (s *store) write(r *record) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s/%s: %w", stateDir, recordName, err)
	}
	if old, err := s.dir.ReadFile(recordName); err == nil && string(old) == string(content) {
		return nil
	}
	if err := writeFile(s.dir, recordName, content); err != nil {
		return fmt.Errorf("writing %s/%s: %w", stateDir, recordName, err)
	}
	return nil
}
