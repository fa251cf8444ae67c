// SPDX-License-Identifier: Apache-2.0

package growths

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// memory is what a process has of it, in octets: in all, without its program's text, and at most so far.
type memory struct{ resident, anonymous, peak float64 }

func memoryOf(pid int) (m memory, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m, fmt.Errorf("reading what a process takes: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		to := map[string]*float64{"VmRSS:": &m.resident, "RssAnon:": &m.anonymous, "VmHWM:": &m.peak}[fields[0]]
		if to == nil {
			continue
		}
		kilo, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return m, fmt.Errorf("reading what a process takes: %w", err)
		}
		*to = kilo * 1024
	}
	return m, nil
}

// metricsOf are what a process serves at /metrics: sums over the labels of each.
func metricsOf(ctx context.Context, address string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking for metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	return sumsOf(response.Body)
}

func sumsOf(text io.Reader) (map[string]float64, error) {
	sums := map[string]float64{}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if at := strings.LastIndexByte(lines.Text(), '}'); at >= 0 {
			value = strings.TrimSpace(lines.Text()[at+1:])
		}
		if number, err := strconv.ParseFloat(value, 64); err == nil {
			name, _, _ = strings.Cut(name, "{")
			sums[name] += number
		}
	}
	return sums, lines.Err()
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
