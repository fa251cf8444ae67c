// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestModules : every module comes behind those that it depends on, once, and what is built in is not looked for.
func TestModules(t *testing.T) {
	dir := t.TempDir()
	const deps = `kernel/net/8021q/8021q.ko: kernel/net/802/mrp.ko kernel/net/802/garp.ko kernel/net/802/stp.ko kernel/net/llc/llc.ko
kernel/net/802/garp.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko
kernel/net/ipv6/ipv6.ko: kernel/lib/crc-ccitt.ko
kernel/fs/overlayfs/overlay.ko:
`
	if err := os.WriteFile(filepath.Join(dir, "modules.dep"), []byte(deps), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := modulesIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, file := range []string{
		"fs/overlayfs/overlay.ko", "lib/crc-ccitt.ko", "net/ipv6/ipv6.ko",
		"net/llc/llc.ko", "net/802/stp.ko", "net/802/garp.ko", "net/802/mrp.ko", "net/8021q/8021q.ko",
	} {
		want = append(want, filepath.Join(dir, "kernel", file))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := modulesIn(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there is no error")
	}
}
