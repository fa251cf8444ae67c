// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"

	"github.com/macpool/macpool/internal/agentapi"
)

// spool leaves req for the agent, so that it survives a power cut: the file is complete under its name or not there at all.
// One attachment has one name, so that a runtime that repeats its DEL does not fill the disk. Names that begin with a dot
// are files that were not finished.
func spool(dir string, req *agentapi.Request) error {
	if err := makeSpool(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".*.tmp")
	if err != nil {
		return err
	}
	err = json.NewEncoder(f).Encode(req)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, spoolName(req)))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncDir(dir)
}

// makeSpool makes the directory, root's alone. A symbolic link in its place is refused: what is written there is applied.
func makeSpool(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // whoever sets the plugin's environment is root
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// spoolName is a file name for the attachment, whatever its container id and interface are called.
func spoolName(req *agentapi.Request) string {
	const longest = 200 // of the 255 octets that file systems have
	id := escape(req.ContainerID)
	if len(id) > longest {
		h := fnv.New128a()
		_, _ = h.Write([]byte(id))
		id = fmt.Sprintf("%s~%x", id[:longest-40], h.Sum(nil))
	}
	return id + "@" + escape(req.Interface) + ".json"
}

// escape keeps letters, digits and hyphens, and dots within.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}
