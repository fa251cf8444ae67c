// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

const epochName = "epoch"

// mark is what a node remembers of the last report that the API has taken. An API that knows less has gone back in time.
type mark struct {
	Epoch    int64 `json:"epoch"`
	Timeline int64 `json:"timeline"`
	// NodeUID is that of the Node then. With the Node its MacNode may have been deleted.
	NodeUID types.UID `json:"nodeUID,omitempty"`
}

// marks keeps the mark in a file of its own. The file is replaced as a whole: after a crash there is the old one or the new
// one. It is written after the API has taken the report, so it is never ahead of an API that has not gone back. Safe for
// concurrent use; make one with openMarks.
type marks struct {
	dir string

	mu    sync.Mutex
	mark  mark
	known bool
}

// markRecord is the file's content.
type markRecord struct {
	mark

	// Sum is the checksum of the rest as JSON. A mark that a bad sector has raised would accuse the API for nothing.
	Sum uint32 `json:"sum"`
}

func (m *mark) sum() (uint32, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return 0, fmt.Errorf("encoding the mark: %w", err)
	}
	return crc32.Checksum(text, castagnoli), nil
}

// openMarks reads the mark of a state directory. Without one, or with one that is damaged, nothing is known: the node then
// waits for the word of the others, as one that is new does.
func openMarks(dir string) (*marks, error) {
	m := &marks{dir: dir}
	text, err := os.ReadFile(m.path())
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the epoch: %w", err)
	}
	var record markRecord
	if json.Unmarshal(text, &record) != nil {
		return m, nil //nolint:nilerr // a damaged file says nothing
	}
	if sum, err := record.sum(); err != nil || sum != record.Sum {
		return m, err
	}
	m.mark, m.known = record.mark, true
	return m, nil
}

func (m *marks) path() string { return filepath.Join(m.dir, epochName) }

// get returns the mark, and whether there is one.
func (m *marks) get() (mark, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mark, m.known
}

// keep makes the mark durable. If the disk refuses it the old one stays, which is true as well, only less.
func (m *marks) keep(next mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum, err := next.sum()
	if err != nil {
		return err
	}
	text, err := json.Marshal(markRecord{mark: next, Sum: sum})
	if err != nil {
		return fmt.Errorf("encoding the epoch: %w", err)
	}
	if err := replaceFile(m.path(), append(text, '\n')); err != nil {
		return fmt.Errorf("keeping the epoch: %w", err)
	}
	m.mark, m.known = next, true
	return nil
}

// replaceFile puts a file with this content in the place of another, durably.
func replaceFile(path string, content []byte) error {
	next := path + ".next"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_CLOEXEC, 0o600) //nolint:gosec // G304: the agent's own directory
	if err != nil {
		return fmt.Errorf("making %s: %w", next, err)
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, os.Remove(next)))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("opening the directory of %s: %w", path, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("syncing the directory of %s: %w", path, err)
	}
	return nil
}
