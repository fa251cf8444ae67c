// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

const (
	// spoolRejected begins the name of a spooled file that is no DEL. It is kept for people to look at.
	spoolRejected = ".rejected-"
	// spoolWriting is how long a file that cannot be read may still be being written.
	spoolWriting = time.Minute
)

// applySpool takes over the DELs that the plugin left because no agent answered. A file is deleted when the journal has what
// it says; a DEL that is applied twice changes nothing the second time.
func (a *Agent) applySpool() {
	for _, name := range a.spooled() {
		if err := a.applySpooled(name); err != nil {
			a.log.Error(err, "A spooled request was not applied", "file", name)
		}
	}
}

// spooled are the names of the spooled files.
func (a *Agent) spooled() []string {
	entries, err := os.ReadDir(a.spoolPath(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Error(err, "Reading the spool did not succeed")
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") && !strings.HasSuffix(e.Name(), ".tmp") {
			names = append(names, e.Name())
		}
	}
	return names
}

// spoolDepth is how many files are spooled, and since when the oldest.
func (a *Agent) spoolDepth() (depth int, oldest time.Time) {
	for _, name := range a.spooled() {
		if info, err := os.Stat(a.spoolPath(name)); err == nil { // else it was applied just now
			depth++
			oldest = earliest(oldest, info.ModTime())
		}
	}
	return depth, oldest
}

func (a *Agent) spoolPath(name string) string {
	return filepath.Join(a.options.StateDir, agentapi.SpoolDir, name)
}

func (a *Agent) applySpooled(name string) error {
	path := a.spoolPath(name)
	file, err := os.Open(path) //nolint:gosec // G304: the agent's own directory
	if err != nil {
		return fmt.Errorf("opening a spooled request: %w", err)
	}
	req := &agentapi.Request{}
	err = agentapi.Read(file, req)
	info, statErr := file.Stat()
	if err := errors.Join(statErr, file.Close()); err != nil {
		return fmt.Errorf("reading a spooled request: %w", err)
	}
	if err == nil && req.Command != agentapi.Del {
		err = fmt.Errorf("%q is no request to spool", req.Command)
	}
	if err == nil {
		// One that no journal could take would be tried for ever.
		if err = a.del(req); err != nil && !problem.BadRequest.Is(err) {
			return err
		}
	}
	if err != nil {
		if a.clock.Since(info.ModTime()) < spoolWriting {
			return nil
		}
		return errors.Join(fmt.Errorf("reading a spooled request: %w", err), os.Rename(path, a.spoolPath(spoolRejected+name)))
	}
	a.log.Info("Applied a spooled DEL", "container", req.ContainerID, "interface", req.Interface)
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing a spooled request: %w", err)
	}
	return nil
}
