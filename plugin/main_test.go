// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden results anew")

// pluginBinary is the plugin as it is released, built once.
var pluginBinary string

func TestMain(m *testing.M) {
	if isDouble() {
		return
	}
	flag.Parse()
	dir, err := os.MkdirTemp("", "macpool-plugin-")
	if err == nil {
		pluginBinary = filepath.Join(dir, Type)
		build := exec.CommandContext(context.Background(), "go", "install", "-trimpath", "-ldflags", "-s -w", "github.com/macpool/macpool/cmd/macpool")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+dir)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the plugin:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// reference is a directory with the reference CNI plugins.
func reference(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("MACPOOL_CNI_BIN")
	if dir == "" {
		t.Fatal("MACPOOL_CNI_BIN names no directory with the reference CNI plugins: run make test")
	}
	return dir
}
