// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMarks proves that the mark survives a restart, and that a damaged one is none: it would accuse the API for nothing.
func TestMarks(t *testing.T) {
	dir := t.TempDir()
	open := func() (mark, bool) {
		t.Helper()
		m, err := openMarks(dir)
		if err != nil {
			t.Fatal(err)
		}
		return m.get()
	}
	if got, known := open(); known {
		t.Errorf("a new node knows %+v", got)
	}
	m, err := openMarks(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := mark{Epoch: 41, Timeline: 3, NodeUID: "uid"}
	for _, next := range []mark{{Epoch: 40, Timeline: 3}, want} {
		if err := m.keep(next); err != nil {
			t.Fatal(err)
		}
	}
	if got, known := open(); !known || got != want {
		t.Errorf("after a restart: %+v, %t, want %+v", got, known, want)
	}
	path := filepath.Join(dir, epochName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		damaged := append([]byte{}, whole...)
		damaged[i] ^= 1
		for name, content := range map[string][]byte{"cut": whole[:i], "a bit": damaged} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, known := open(); known && got != want {
				t.Errorf("%s at byte %d: %+v", name, i, got)
			}
		}
	}
}

// TestMarkOnAFullDisk proves that a mark that cannot be written leaves the one before.
func TestMarkOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	m, err := openMarks(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := mark{Epoch: 1}
	if err := m.keep(want); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.path()+".next", 0o700); err != nil { // where the new one is to be written
		t.Fatal(err)
	}
	if err := m.keep(mark{Epoch: 2}); err == nil {
		t.Error("the mark was kept")
	}
	if got, _ := m.get(); got != want {
		t.Errorf("the mark is %+v, want %+v", got, want)
	}
}
