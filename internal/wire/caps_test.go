// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/netnstest"
	"github.com/macpool/macpool/internal/privtest"
)

func TestMain(m *testing.M) {
	privtest.Main(m, map[string]privtest.Role{"ask": {Keep: unix.CAP_NET_RAW, Do: askOnce}})
}

func askOnce([]string) error {
	q := query(ip4, ip6)
	q.Rounds = 50
	by, err := Ask(context.Background(), parent, q)
	if err != nil {
		return err
	}
	if by != leasedMAC {
		return fmt.Errorf("answered by %q", by)
	}
	return nil
}

// R-S8: to ask needs CAP_NET_RAW and nothing else.
func TestLeastPrivilege(t *testing.T) {
	l := newLAN(t)
	asker := l.newHost(t)
	l.newHost(t).hold(t, leasedMAC, ip6+"/64")
	cmd, err := privtest.Command(t.Context(), "ask")
	if err != nil {
		t.Fatal(err)
	}
	var output []byte
	netnstest.Do(t, asker.ns, func() error { // a process is born into the namespace of the thread that makes it
		output, err = cmd.CombinedOutput()
		return nil
	})
	if err != nil {
		t.Errorf("%v: %s", err, output)
	}
}
