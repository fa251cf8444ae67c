// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// FuzzLogged : T19. What a request says is from CNI_ARGS and from the network, and the API server has seen none of it. The agent's log has one line
// of JSON of it, in which there is no escape sequence.
func FuzzLogged(f *testing.F) {
	f.Add("ADD", "c1", "net1", "iot", "db-0", "no contact")
	f.Add("\x1b[2J", "c\n{\"level\":\"ERROR\"}", "\r\n", "\u009b", "p\x00", "x\ny")
	f.Fuzz(func(t *testing.T, command, container, iface, network, pod, text string) {
		var out bytes.Buffer
		// As cmd/agent makes it.
		a := &Agent{log: logr.FromSlogHandler(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.Level(-1)}))}
		req := &agentapi.Request{
			Command: agentapi.Command(command), ContainerID: container, Interface: iface, Network: network, Pool: text,
			Pod: agentapi.Pod{Namespace: network, Name: pod, UID: text},
		}
		reports := []struct {
			lease *agentapi.Lease
			err   error
		}{
			{nil, nil}, {&agentapi.Lease{Name: text, MAC: iface}, nil}, {nil, problem.BadRequest.New(text)}, {nil, errors.New(text)}, {nil, errHungUp},
		}
		for _, r := range reports {
			a.report(req, r.lease, r.err)
		}
		if n := strings.Count(out.String(), "\n"); n != len(reports) {
			t.Fatalf("%d lines of %d reports: %q", n, len(reports), out.String())
		}
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) || strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' }) {
				t.Errorf("%q", line)
			}
		}
	})
}
