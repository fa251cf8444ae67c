// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"strings"
	"sync"

	toolscache "k8s.io/client-go/tools/cache"
)

// coarse are the indexes of a store. The store has them by hashes of their values, and who asks looks which of the few objects with
// the same hash it are. An index whose values are all different, such as that of claims by pod, costs a store half a kilobyte for each object
// otherwise: a set of one, under the value with its namespace, and another, under the value alone. Safe for concurrent use; make one with newCoarse.
type coarse struct {
	mu       sync.Mutex
	indexers toolscache.Indexers
	// last are the objects that were unpacked last: a store asks for the values of all indexes, one after another, of an object
	// and of the one in whose place it comes.
	last [2]unpacked
	next int
}

type unpacked struct {
	from packed
	to   any
}

func newCoarse() *coarse { return &coarse{indexers: toolscache.Indexers{}} }

// add enters indexes, and returns what the store is to have in their place.
func (c *coarse) add(indexers toolscache.Indexers) toolscache.Indexers {
	c.mu.Lock()
	defer c.mu.Unlock()
	stored := toolscache.Indexers{}
	for name, values := range indexers {
		c.indexers[name] = values
		stored[name] = func(object any) ([]string, error) {
			of, err := values(c.unpack(object))
			if err != nil {
				return nil, err
			}
			return bucketsOf(of), nil
		}
	}
	return stored
}

// all are the indexes by their true values.
func (c *coarse) all() toolscache.Indexers {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.indexers)
}

// of is one of them.
func (c *coarse) of(name string) (toolscache.IndexFunc, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	values, ok := c.indexers[name]
	if !ok {
		return nil, fmt.Errorf("there is no index %s", name)
	}
	return values, nil
}

// unpack is for indexing alone: what it returns is shared, and only read.
func (c *coarse) unpack(object any) any {
	p, ok := object.(packed)
	if !ok {
		return object
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.last {
		if c.last[i].from == p {
			return c.last[i].to
		}
	}
	to := unpack(p)
	c.last[c.next] = unpacked{p, to}
	c.next = (c.next + 1) % len(c.last)
	return to
}

// bucketCount is how many hashes there are: of a million objects some hundred have the same one.
const bucketCount = 1 << 13

var buckets = func() (names [bucketCount]string) {
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}()

// bucketOf is the hash of a value. The namespace, before the first slash, is left out: a client's index has each value with its namespace and
// again for all of them.
func bucketOf(value string) string {
	if _, rest, ok := strings.Cut(value, "/"); ok {
		value = rest
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(value)) // never fails
	return buckets[h.Sum32()%bucketCount]
}

func bucketsOf(values []string) []string {
	var all []string
	for _, value := range values {
		bucket := bucketOf(value)
		if len(all) == 0 || all[len(all)-1] != bucket { // the store's sets take care of the rest
			all = append(all, bucket)
		}
	}
	return all
}
