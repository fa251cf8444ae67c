// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/macpool/macpool/internal/installer"
)

// installAgainAndAgain installs now from one image, now from the other, until it is killed.
func installAgainAndAgain(args []string) error {
	host, sources := args[0], args[1:]
	for i := 0; ; i++ {
		in, err := installer.New(installer.Options{
			Host: host, Source: sources[i%len(sources)], Platform: installer.Auto, ReferencePlugins: []string{"macvlan"}, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		if err := in.Install(); err != nil {
			return err
		}
		if err := in.Close(); err != nil {
			return err
		}
		if i == 1 {
			fmt.Println("begun")
		}
	}
}

// awaitUnfinished returns when a copy has begun and is not done, as well as one can see that from outside.
func awaitUnfinished(t *testing.T, dir string, size int64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		files, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Size() < size/2 {
				return
			}
		}
	}
	t.Fatal("saw no copy that is not done")
}

// TestKill kills installers in the middle of their work. Whatever is there under the name of a plugin is whole, what is
// half-written is swept, and what is there is known to be ours.
func TestKill(t *testing.T) {
	const (
		kills = 41      // the last one is not followed by a removal
		size  = 4 << 20 // about that of the plugin
	)
	n := newNode(t, nil)
	sources := []string{t.TempDir(), t.TempDir()}
	whole := map[[sha256.Size]byte]bool{}
	for i, source := range sources {
		for j, name := range []string{"macpool", "reference/macvlan"} {
			large := bytes.Repeat([]byte{byte(1 + 2*i + j)}, size)
			writeFile(t, filepath.Join(source, name), string(large))
			whole[sha256.Sum256(large)] = true
		}
	}

	var halfWritten, unfinished int
	for kill := range kills {
		cmd := exec.CommandContext(t.Context(), self, append([]string{n.host}, sources...)...)
		cmd.Env = append(os.Environ(), roleVariable+"=install-again-and-again")
		cmd.Stderr = t.Output()
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "begun\n" {
			t.Fatalf("the installer says %q, %v", line, err)
		}
		if kill%4 < 2 {
			awaitUnfinished(t, filepath.Join(n.host, bin), size)
		} else {
			time.Sleep(rand.N(60 * time.Millisecond)) // when it dies is the point
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // signal: killed

		for _, name := range entries(t, n, bin) {
			content, err := os.ReadFile(filepath.Join(n.host, bin, name))
			switch {
			case err != nil:
				t.Fatal(err)
			case strings.HasSuffix(name, ".tmp"):
				unfinished++
				if len(content) < size {
					halfWritten++
				}
			case !whole[sha256.Sum256(content)]:
				t.Fatalf("after kill %d %s is no plugin, but %d bytes", kill, name, len(content))
			}
		}
		if kill%2 == 0 {
			continue
		}
		n.remove() // by the record as the kill left it
		if left := entries(t, n, bin); len(left) > 0 {
			t.Fatalf("after kill %d Remove did not know %v", kill, left)
		}
	}
	t.Logf("%d kills left %d unfinished files, %d of them half-written, and no half plugin", kills, unfinished, halfWritten)
	if halfWritten == 0 {
		t.Error("no kill hit the middle of a copy")
	}

	n.options.Source = sources[0]
	n.options.ReferencePlugins = []string{"macvlan"}
	n.install()
	if got := strings.Join(entries(t, n, bin), " "); got != "macpool macvlan" {
		t.Errorf("after another Install the directory has %s", got)
	}
}
