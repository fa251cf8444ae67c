// SPDX-License-Identifier: Apache-2.0

package growths

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// etcd is the store behind an API server, by its gateway that speaks JSON.
type etcd struct{ url string }

// entry is what is stored under a key; both are base64 on the way, as encoding/json writes octets.
type entry struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
	// Version is how often it was written, when it is read.
	Version string `json:"version,omitempty"`
}

// maxEntries is how many operations etcd takes in a transaction; maxOctets stays below what it takes in a request.
const (
	maxEntries = 128
	maxOctets  = 900 << 10
)

// put stores entries, many in a transaction.
func (e etcd) put(ctx context.Context, entries []entry) error {
	for len(entries) > 0 {
		type operation struct {
			RequestPut entry `json:"requestPut"`
		}
		var batch []operation
		octets := 0
		for len(entries) > 0 && len(batch) < maxEntries && octets < maxOctets {
			batch = append(batch, operation{entries[0]})
			octets += len(entries[0].Key) + len(entries[0].Value)
			entries = entries[1:]
		}
		if err := e.post(ctx, "/v3/kv/txn", map[string]any{"success": batch}, nil); err != nil {
			return fmt.Errorf("storing objects: %w", err)
		}
	}
	return nil
}

// get is what is stored under a key.
func (e etcd) get(ctx context.Context, key string) (*entry, error) {
	var answer struct {
		Entries []entry `json:"kvs"`
	}
	if err := e.post(ctx, "/v3/kv/range", map[string]any{"key": []byte(key)}, &answer); err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	if len(answer.Entries) != 1 {
		return nil, fmt.Errorf("reading %s: %d entries", key, len(answer.Entries))
	}
	return &answer.Entries[0], nil
}

// version is how often a key was written.
func (e etcd) version(ctx context.Context, key string) (float64, error) {
	found, err := e.get(ctx, key)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(found.Version, 64)
}

// size is how many octets of its file are in use.
func (e etcd) size(ctx context.Context) (int64, error) {
	var answer struct {
		InUse string `json:"dbSizeInUse"`
	}
	if err := e.post(ctx, "/v3/maintenance/status", struct{}{}, &answer); err != nil {
		return 0, fmt.Errorf("asking etcd for its size: %w", err)
	}
	return strconv.ParseInt(answer.InUse, 10, 64)
}

func (e etcd) post(ctx context.Context, path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd answers %s: %.200s", response.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}
