// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	journalName = "journal"
	lockName    = "lock"
)

// errJournalLocked says that another agent has the state directory, as during a rolling update.
var errJournalLocked = errors.New("another agent uses the state directory")

// journalFile is an append-only file of lines that is replaced as a whole now and then. Not safe for concurrent use.
type journalFile struct {
	dir  string
	lock *os.File // held for the process's life: two writers would lose each other's records
	file *os.File
	size int64
	// suspect: a write or an fsync failed, so nobody knows what the file holds. Only a new file makes it good again: after a
	// failed fsync the kernel may call the lost pages clean.
	suspect bool
	// midLine: the file does not end with a newline. The next write begins with one, which ends the damaged line.
	midLine bool

	// sync is fsync; a test may have it wait, or fail.
	sync func(*os.File) error
	// syncs counts its calls. Safe for concurrent use.
	syncs atomic.Int64
}

// flush waits until the file is on the disk.
func (f *journalFile) flush(file *os.File) error {
	f.syncs.Add(1)
	return f.sync(file)
}

// openJournalFile takes the state directory for this process and returns the lines that its journal holds.
func openJournalFile(dir string) (*journalFile, [][]byte, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("making the state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600) //nolint:gosec // G304: the agent's own directory
	if err != nil {
		return nil, nil, fmt.Errorf("opening the lock of the state directory: %w", err)
	}
	f := &journalFile{dir: dir, lock: lock, sync: (*os.File).Sync}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err = errors.Join(err, lock.Close())
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil, errJournalLocked
		}
		return nil, nil, fmt.Errorf("locking the state directory: %w", err)
	}
	lines, err := f.open()
	if err != nil {
		return nil, nil, errors.Join(err, f.close())
	}
	return f, lines, nil
}

func (f *journalFile) open() ([][]byte, error) {
	var err error
	f.file, err = os.OpenFile(f.path(), os.O_RDWR|os.O_APPEND|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	// The name must be as durable as what is written under it.
	if err := f.syncDir(); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(f.file)
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	f.size = int64(len(content))
	f.midLine = len(content) > 0 && content[len(content)-1] != '\n'
	var lines [][]byte
	for line := range bytes.SplitSeq(content, []byte{'\n'}) {
		if len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func (f *journalFile) path() string { return filepath.Join(f.dir, journalName) }

// append adds lines and waits until they are on the disk.
func (f *journalFile) append(lines []byte) error {
	if f.midLine {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := f.file.Write(lines)
	f.size += int64(n)
	if err == nil {
		err = f.flush(f.file)
	}
	if err != nil {
		f.suspect, f.midLine = true, true
		return fmt.Errorf("appending to the journal: %w", err)
	}
	f.midLine = false
	return nil
}

// replace puts a file with these lines in the journal's place: after a crash there is the old one or the new one.
func (f *journalFile) replace(lines []byte) error {
	next := f.path() + ".next"
	file, err := os.OpenFile(next, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_TRUNC|unix.O_CLOEXEC, 0o600) //nolint:gosec // G304: the agent's own directory
	if err != nil {
		return fmt.Errorf("making a new journal: %w", err)
	}
	_, err = file.Write(lines)
	if err == nil {
		err = f.flush(file)
	}
	if err == nil {
		err = os.Rename(next, f.path())
	}
	if err != nil {
		return fmt.Errorf("making a new journal: %w", errors.Join(err, file.Close(), os.Remove(next)))
	}
	// From here on the new file is the journal, even if the directory's fsync fails: it is suspect then.
	old := f.file
	f.file, f.size, f.midLine = file, int64(len(lines)), false
	f.suspect = true
	if err := errors.Join(f.syncDir(), ignoreClosed(old.Close())); err != nil {
		return err
	}
	f.suspect = false
	return nil
}

func (f *journalFile) syncDir() error {
	dir, err := os.Open(f.dir)
	if err != nil {
		return fmt.Errorf("opening the state directory: %w", err)
	}
	if err := errors.Join(f.flush(dir), dir.Close()); err != nil {
		return fmt.Errorf("syncing the state directory: %w", err)
	}
	return nil
}

// close also gives the state directory free for the next agent.
func (f *journalFile) close() error {
	var err error
	if f.file != nil {
		err = f.file.Close()
	}
	return errors.Join(err, f.lock.Close())
}

func ignoreClosed(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}
