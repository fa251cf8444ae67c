// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	name, cpu, err := parseStat([]byte("7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20"))
	if name != "a) b (c)" || cpu != 2*time.Second || err != nil {
		t.Errorf("%q, %s, %v", name, cpu, err)
	}
	for _, text := range []string{"", "7 (a", "7 (a) S 1", "7 (a) S 1 2 3 4 5 6 7 8 9 10 x 50"} {
		if _, _, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q has times", text)
		}
	}
}

func TestMemory(t *testing.T) {
	m, err := MemoryOf(os.Getpid())
	if err != nil || m.Anonymous >= m.Resident || m.Peak < m.Anonymous {
		t.Errorf("this process: %+v, %v", m, err)
	}
	for _, text := range []string{"", "VmRSS: x kB\n", "VmRSS: 1 kB\n"} {
		if m, err := parseStatus(text); err == nil {
			t.Errorf("%q is %+v", text, m)
		}
	}
}
