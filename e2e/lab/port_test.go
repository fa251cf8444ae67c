// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const portsOfAnother = "MACPOOL_TEST_PORTS"

// A port is given out once, in this process and in others that run beside it, and none that is taken.
func TestFreeAddress(t *testing.T) {
	const each = portCount / 20
	take := func() (taken []string) {
		for range each {
			address, err := FreeAddress(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, address)
		}
		return taken
	}
	if os.Getenv(portsOfAnother) != "" {
		if _, err := os.Stdout.WriteString("ports:" + strings.Join(take(), ",") + "\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the test has compared them
		return
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if isFree(t.Context(), listener.Addr().String()) {
		t.Errorf("%s counts as free", listener.Addr())
	}

	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFreeAddress$")
	other.Env = append(os.Environ(), portsOfAnother+"=1")
	hold, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	for !strings.HasSuffix(said.String(), "\n") {
		chunk := make([]byte, 1<<16)
		n, err := out.Read(chunk)
		if err != nil {
			t.Fatalf("the other process ended: %v", err)
		}
		said.Write(chunk[:n])
	}
	all := append(take(), strings.Split(strings.TrimSpace(strings.TrimPrefix(said.String(), "ports:")), ",")...)
	slices.Sort(all)
	if distinct := len(slices.Compact(slices.Clone(all))); len(all) != 2*each || distinct != 2*each {
		t.Errorf("of %d ports %d are distinct, want %d", len(all), distinct, 2*each)
	}
	_ = hold.Close()
	if err := other.Wait(); err != nil {
		t.Error(err)
	}
}
