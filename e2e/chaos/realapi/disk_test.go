// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/internal/agentapi"
)

// fullSpool is F37: a DEL that can neither be told nor kept fails.
func fullSpool(w *world, rng *rand.Rand) {
	n := w.someNode(rng)
	spool := filepath.Join(n.stateDir(), agentapi.SpoolDir)
	hold := w.between(rng, time.Second, 3*time.Second)
	if !w.kill(n.agent, hold, nil) {
		return
	}
	_ = os.Rename(spool, spool+".away")
	if os.WriteFile(spool, nil, 0o600) == nil {
		w.inject("F37", "spool not writable", "m7")
	}
	w.pause(hold / 2)
	_ = os.Remove(spool)
	_ = os.Rename(spool+".away", spool)
	w.pause(hold / 2)
}

// fullDisk is F37: the journal cannot be written.
func fullDisk(w *world, rng *rand.Rand) {
	n := w.nodes[min(1, len(w.nodes)-1)]
	filler := filepath.Join(n.stateDir(), ".filler")
	f, err := os.Create(filler)
	if err != nil {
		return
	}
	block := make([]byte, 64<<10)
	written := 0
	for written < 64<<20 {
		m, err := f.Write(block)
		written += m
		if err != nil {
			break
		}
	}
	_ = f.Close()
	if written < 64<<20 {
		end := w.plan.during("F37", "disk full", func(r *faultproxy.Request) bool { return r.Client == n.name || fromManager(r) })
		defer end()
	}
	w.pause(w.between(rng, 2*time.Second, 4*time.Second))
	_ = os.Remove(filler)
}

// garbageSpool is F37: files that are no DELs keep nobody.
func garbageSpool(w *world, rng *rand.Rand) {
	n := w.someNode(rng)
	spool := filepath.Join(n.stateDir(), agentapi.SpoolDir)
	if os.MkdirAll(spool, 0o700) != nil {
		return
	}
	for i, text := range []string{"", `{"command": "DEL", "contain`, "\x00\xff", `{"command": "ADD"}`} {
		_ = os.WriteFile(filepath.Join(spool, fmt.Sprintf("garbage%d-%d@net1.json", rng.IntN(1000), i)), []byte(text), 0o600)
		w.inject("F37", "spool corrupt", "m7")
	}
	w.pause(time.Second)
}

// tearAtWrite kills the agent when it writes its journal the next time, and tears what it wrote at any byte: the power went before
// it was on the disk. What was answered for is left alone, since it was.
func (n *node) tearAtWrite(rng *rand.Rand, limit time.Duration) bool {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return false
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	defer func() { _ = watch.Close() }()
	if _, err := unix.InotifyAddWatch(fd, filepath.Join(n.stateDir(), "journal"), unix.IN_MODIFY); err != nil {
		return false
	}
	_ = watch.SetReadDeadline(time.Now().Add(limit))
	if _, err := watch.Read(make([]byte, 4096)); err != nil {
		return false
	}
	return n.w.kill(n.agent, n.w.between(rng, 0, time.Second), func() {
		n.w.pause(20 * time.Millisecond) // for answers that are in sockets
		if cut, whole := n.tear(rng); whole > 0 {
			n.w.logf("%s: power went while the journal was written: %d of %d octets of its last record are left", n.name, cut, whole)
			n.w.inject("F4", "power loss while the journal is written", "m3-m4")
		}
	})
}

// tear leaves a part of the journal's last line, if nobody was answered by it.
func (n *node) tear(rng *rand.Rand) (left, whole int) {
	path := filepath.Join(n.stateDir(), "journal")
	content, err := os.ReadFile(path)
	if err != nil || len(content) == 0 {
		return 0, 0
	}
	start := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
	var record struct {
		Container string `json:"container"`
	}
	line := content[start:]
	if len(line) > 9 {
		_ = json.Unmarshal(line[9:], &record)
	}
	n.mu.Lock()
	acked := n.acked[record.Container]
	n.mu.Unlock()
	if acked || record.Container == "" {
		return 0, 0
	}
	left = rng.IntN(len(line))
	_ = os.Truncate(path, int64(start+left))
	return left, len(line)
}
