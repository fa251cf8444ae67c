// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// beat is how often a stream looks for changes, and so how many of them become one message.
const beat = 500 * time.Millisecond

// telling is the one who listens to a stream, and what it has been told: only what differs is told again.
type telling struct {
	*server
	w    http.ResponseWriter
	r    *http.Request
	told map[string][]byte
	// shown is the map that the listener has.
	shown *chart
}

// stream tells by server-sent events: sync, how far the cluster is read; pools; and if the request names a pool, its map, whole at first and
// then what changes. It ends when the listener goes.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	t := &telling{server: s, w: w, r: r, told: map[string][]byte{}}
	for {
		_, changed := s.book.changes()
		if err := t.tell(r.Context()); err != nil {
			return // the listener has gone
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-time.After(10 * beat): //nolint:forbidigo // times pass without a change, too: a claim is a minute older
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(beat): //nolint:forbidigo // what else changes meanwhile is told with it
		}
	}
}

func (t *telling) tell(ctx context.Context) error {
	if err := t.send("sync", synced{Cluster: t.name, Ready: t.book.ready(), Kinds: t.book.progress()}); err != nil || !t.book.ready() {
		return err
	}
	now, err := t.book.read(ctx)
	if err != nil {
		return t.send("refused", map[string]string{"error": err.Error()})
	}
	if err := t.send("pools", poolsOf(now)); err != nil || t.r.FormValue("pool") == "" {
		return err
	}
	a, err := t.asked(t.r)
	if err != nil {
		return t.send("refused", map[string]string{"error": err.Error()})
	}
	chart, err := chartOf(a, t.r.FormValue("prefix"))
	if err != nil {
		return t.send("refused", map[string]string{"error": err.Error()})
	}
	before := t.shown
	t.shown = chart
	if before == nil || !before.same(chart) {
		return t.send("map", chart)
	}
	if delta := before.delta(chart); delta != nil {
		return t.emit("delta", delta)
	}
	return nil
}

type synced struct {
	Cluster string     `json:"cluster"`
	Ready   bool       `json:"ready"`
	Kinds   []progress `json:"kinds"`
}

// send tells something, unless it was what was told last.
func (t *telling) send(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if bytes.Equal(data, t.told[name]) {
		return nil
	}
	t.told[name] = data
	return t.write(name, data)
}

// emit tells something that is new each time.
func (t *telling) emit(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return t.write(name, data)
}

func (t *telling) write(name string, data []byte) error {
	if _, err := fmt.Fprintf(t.w, "event: %s\ndata: %s\n\n", name, data); err != nil {
		return err
	}
	return http.NewResponseController(t.w).Flush()
}
