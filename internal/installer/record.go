// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"syscall"

	"github.com/macpool/macpool/internal/problem"
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

// installed tells whether a file of this name was installed in this directory.
func (r *record) installed(dir, name string) bool {
	d := r.Directories[dir]
	return d != nil && len(d.Files[name]) > 0
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
	dir, err := h.openState(true)
	if err != nil {
		return nil, err
	}
	lock, err := openLock(dir)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	s := &store{dir: dir, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s/%s: %w", stateDir, lockName, err), s.close())
	}
	return s, nil
}

// openState opens the directory of the record.
func (h *host) openState(create bool) (*os.Root, error) {
	dir, err := h.openDir(stateDir, create)
	if errors.Is(err, errOthers) {
		return nil, problem.ForeignState.New(stateDir, "a directory that others than root can change").WithCause(err)
	}
	return dir, err
}

// openLock opens the file that is locked.
func openLock(dir *os.Root) (*os.File, error) {
	lock, err := dir.OpenFile(lockName, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		lock, err = openOwn(dir, lockName)
	}
	if err != nil && problem.As(err) == nil {
		err = fmt.Errorf("opening %s/%s: %w", stateDir, lockName, err)
	}
	return lock, err
}

// openOwn opens a file of this directory for reading. One that somebody else has put there, or could have written, is neither followed nor
// believed: by the record files are removed.
func openOwn(dir *os.Root, name string) (*os.File, error) {
	file, info, err := openRegular(dir, name)
	foreign := ""
	switch {
	case errors.Is(err, errNotRegular):
		return nil, problem.ForeignState.New(stateDir+"/"+name, "a link, a pipe or something else that is no file").WithCause(err)
	case err != nil:
		return nil, fmt.Errorf("opening %s/%s: %w", stateDir, name, err)
	case ownerOf(info) != os.Geteuid():
		foreign = fmt.Sprintf("that of uid %d", ownerOf(info))
	case info.Mode().Perm()&0o022 != 0:
		foreign = fmt.Sprintf("one that others can write: its mode is %o", info.Mode().Perm())
	}
	if foreign != "" {
		return nil, problem.ForeignState.New(stateDir+"/"+name, foreign).WithCause(file.Close())
	}
	return file, nil
}

func readOwn(dir *os.Root, name string) ([]byte, error) {
	file, err := openOwn(dir, name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // was only read
	content, err := io.ReadAll(io.LimitReader(file, maxConfigSize))
	if err != nil {
		return nil, fmt.Errorf("reading %s/%s: %w", stateDir, name, err)
	}
	return content, nil
}

// close gives up the lock.
func (s *store) close() error { return errors.Join(s.lock.Close(), s.dir.Close()) }

// errDamaged says that the record cannot be read; what it knew is then nobody's.
var errDamaged = errors.New("the record of what was installed is damaged")

// readRecord reads the record in dir; an empty one if there is none.
func readRecord(dir *os.Root) (*record, error) {
	content, err := readOwn(dir, recordName)
	if errors.Is(err, fs.ErrNotExist) {
		return &record{}, nil
	}
	if err != nil {
		return nil, err
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
	if old, err := readOwn(s.dir, recordName); err == nil && string(old) == string(content) {
		return nil
	}
	if err := writeFile(s.dir, recordName, content); err != nil {
		return fmt.Errorf("writing %s/%s: %w", stateDir, recordName, err)
	}
	return nil
}
