// SPDX-License-Identifier: Apache-2.0

package installer

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

const (
	// PluginName is the file name of our plugin, its type in configurations of CNI.
	PluginName = "macpool"

	mainPackage = "github.com/macpool/macpool/cmd/macpool"
	binaryMode  = 0o755

	// The names of files that are not finished. No runtime looks for such a plugin.
	tempPrefix, tempSuffix = ".macpool-installer-", ".tmp"
)

// binary is a plugin of the image.
type binary struct {
	name string
	path string
	sum  string
}

// readBinary reads the checksum of a plugin.
func readBinary(name, path string) (binary, error) {
	file, err := os.Open(path) //nolint:gosec // G304: of the image
	if err != nil {
		return binary{}, fmt.Errorf("reading plugin %s: %w", name, err)
	}
	defer file.Close() //nolint:errcheck // was only read
	sum, err := checksum(file)
	if err != nil {
		return binary{}, fmt.Errorf("reading plugin %s: %w", name, err)
	}
	return binary{name: name, path: path, sum: sum}, nil
}

func checksum(r io.Reader) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// present is what stands at a name in a directory.
type present struct {
	exists bool
	// sum is the checksum; empty if it is not a regular file.
	sum string
	// mode has the bits that a chmod sets, owner is the uid.
	mode  fs.FileMode
	owner int
	// main is the package of its main function, by the build information; empty if there is none.
	main string
	// version is that of its main module, by the same information.
	version string
}

// inspect looks at what stands at name in dir, without following a link.
func inspect(dir *os.Root, name string) (present, error) {
	file, info, err := openRegular(dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return present{}, nil
	case errors.Is(err, errNotRegular):
		return present{exists: true}, nil
	case err != nil:
		return present{}, err
	}
	defer file.Close() //nolint:errcheck // was only read
	p := present{exists: true, mode: info.Mode() &^ fs.ModeType, owner: ownerOf(info)}
	if p.sum, err = checksum(file); err != nil {
		return present{}, err
	}
	if build, err := buildinfo.Read(file); err == nil {
		p.main, p.version = build.Path, build.Main.Version
	}
	return p, nil
}

// ours tells whether what stands at name was put there by an installer of any release.
func (p present) ours(name string, r *record) bool {
	return p.sum != "" && (r.knows(name, p.sum) || name == PluginName && p.main == mainPackage)
}

// is tells whether p is the plugin as it is installed: also who may change it is a part of that.
func (p present) is(b binary) bool {
	return p.sum == b.sum && p.mode == binaryMode && p.owner == os.Geteuid()
}

// install puts the plugin b into dir: at once, whole and synced, in the place of what was seen there. It fails with errChanged, or
// fs.ErrExist, if that is not what stands there any more, even when it is exchanged at the last moment. What was there is removed, or gets
// the name aside if that is not empty.
func install(dir *os.Root, b binary, seen present, aside string) error {
	source, err := os.Open(b.path)
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // was only read
	hash := sha256.New()
	temp, err := stage(dir, io.TeeReader(source, hash), binaryMode)
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != b.sum {
		return errors.Join(fmt.Errorf("%s has the checksum %s and not %s any more", b.path, sum, b.sum), dir.Remove(temp))
	}
	if !seen.exists {
		err := dir.Link(temp, b.name)
		switch {
		case err == nil:
			return errors.Join(dir.Remove(temp), syncDir(dir))
		case errors.Is(err, fs.ErrExist):
			return errors.Join(err, dir.Remove(temp))
		}
		// A file system without hard links.
		if _, err := dir.Lstat(b.name); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fs.ErrExist, dir.Remove(temp))
		}
		return moveInto(dir, temp, b.name)
	}
	return exchange(dir, temp, b.name, seen, aside)
}

// writeFile replaces a file of ours, whole or not at all.
func writeFile(dir *os.Root, name string, content []byte) error {
	temp, err := stage(dir, bytes.NewReader(content), 0o600)
	if err != nil {
		return err
	}
	return moveInto(dir, temp, name)
}

// stage writes a file under a name of its own, which it returns.
func stage(dir *os.Root, content io.Reader, mode fs.FileMode) (string, error) {
	name := tempPrefix + rand.Text() + tempSuffix
	file, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(file, content)
	if err == nil {
		err = file.Chmod(mode) // past the umask
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, dir.Remove(name))
	}
	return name, nil
}

func moveInto(dir *os.Root, temp, name string) error {
	if err := dir.Rename(temp, name); err != nil {
		return errors.Join(err, dir.Remove(temp))
	}
	return syncDir(dir)
}

func syncDir(dir *os.Root) error {
	self, err := dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(self.Sync(), self.Close())
}

// sweep removes what a kill left half-written, and returns the names.
func sweep(dir *os.Root) ([]string, error) {
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return nil, err
	}
	var swept []string
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, tempPrefix) || !strings.HasSuffix(name, tempSuffix) || !entry.Type().IsRegular() {
			continue
		}
		if err := dir.Remove(name); err != nil {
			return swept, err
		}
		swept = append(swept, name)
	}
	return swept, nil
}
