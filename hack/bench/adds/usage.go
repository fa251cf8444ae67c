// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/macpool/macpool/hack/bench/rig"
)

// usage is what was used up so far.
type usage struct {
	plugins, agent time.Duration // CPU of the plugins, their own children included, and of the agent
	answers        time.Duration // that the agent took to answer, all requests together
	records, syncs float64       // of the agent's journal
}

func (u usage) since(before usage) usage {
	return usage{u.plugins - before.plugins, u.agent - before.agent, u.answers - before.answers, u.records - before.records, u.syncs - before.syncs}
}

func (w *world) usage(ctx context.Context) (u usage, err error) {
	var ended syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ended); err != nil {
		return u, fmt.Errorf("asking what the plugins have used: %w", err)
	}
	u.plugins = time.Duration(ended.Utime.Nano() + ended.Stime.Nano())
	if u.agent, err = rig.CPUOf(w.node.Agent.PID()); err != nil {
		return u, err
	}
	values, err := w.scrape(ctx)
	for _, command := range []string{"ADD", "LOOKUP", "DEL"} {
		u.answers += time.Duration(values[fmt.Sprintf("macpool_cni_duration_seconds_sum{command=%q}", command)] * float64(time.Second))
	}
	u.records, u.syncs = values["macpool_agent_journal_records_total"], values["macpool_agent_journal_syncs_total"]
	return u, err
}

// scrape reads the agent's metrics; what differs in labels alone is told apart by them, as written.
func (w *world) scrape(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.metrics+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reading the agent's metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	values := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if number, err := strconv.ParseFloat(value, 64); ok && err == nil {
			values[name] = number
		}
	}
	return values, lines.Err()
}

const (
	probesSilent  = `macpool_agent_address_probes_total{result="silent"}`
	pendingClears = "macpool_agent_pending_clears"
)

// settled waits until the agent has cleared all holders.
func (w *world) settled(ctx context.Context) error {
	return await(ctx, "the agent to have done what DELs left to do", func(ctx context.Context) error {
		values, err := w.scrape(ctx)
		if n := values[pendingClears]; err == nil && n > 0 {
			err = fmt.Errorf("%.0f clears are pending", n)
		}
		return err
	})
}
