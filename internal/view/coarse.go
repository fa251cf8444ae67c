// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	toolscache "k8s.io/client-go/tools/cache"
)

// coarse are the indexes of a store. The store has them by few hashes of their values. An index whose values are all different, such as that of
// claims by pod, costs a store half a kilobyte for each object otherwise: a set of one, under the value with its namespace, and another, under the
// value alone. Who asks for a value looks through the objects of a bucket by their marks, and unpacks only what has the value: a bucket grows
// with the cluster, and an object that was asked for once for each of the others would make the work of a start grow with the square.
// Safe for concurrent use; make one with newCoarse.
type coarse struct {
	mu      sync.RWMutex
	all     []toolscache.IndexFunc // by their numbers, in the order of which objects have their marks
	numbers map[string]int
	byName  toolscache.Indexers // of the true values; it is not changed, but made anew
}

func newCoarse() *coarse { return &coarse{numbers: map[string]int{}} }

// add enters indexes, and returns what the store is to have in their place.
func (c *coarse) add(indexers toolscache.Indexers) toolscache.Indexers {
	c.mu.Lock()
	defer c.mu.Unlock()
	stored, byName := toolscache.Indexers{}, toolscache.Indexers{}
	maps.Copy(byName, c.byName)
	maps.Copy(byName, indexers)
	c.byName = byName
	for _, name := range slices.Sorted(maps.Keys(indexers)) {
		values, number := indexers[name], len(c.all)
		c.all = append(c.all, values)
		c.numbers[name] = number
		stored[name] = func(object any) ([]string, error) {
			if p, ok := object.(packed); ok {
				if of, known := p.marks().of(number); known {
					return of.buckets(), nil
				}
			}
			of, err := values(unpack(object))
			if err != nil {
				return nil, err
			}
			return hashesOf(of).buckets(), nil
		}
	}
	return stored
}

// indexers are all of them by their true values.
func (c *coarse) indexers() toolscache.Indexers {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byName
}

// of is one of them, and its number.
func (c *coarse) of(name string) (toolscache.IndexFunc, int, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	number, ok := c.numbers[name]
	if !ok {
		return nil, 0, fmt.Errorf("there is no index %s", name)
	}
	return c.all[number], number, nil
}

// pack is the object packed, with its marks.
func (c *coarse) pack(object any) (any, error) {
	if of, _ := codecOf(object); of == nil {
		return object, nil
	}
	c.mu.RLock()
	all := c.all
	c.mu.RUnlock()
	var m marks
	for _, values := range all {
		of, err := values(object)
		if err != nil {
			return nil, fmt.Errorf("indexing an object: %w", err)
		}
		m = m.with(hashesOf(of))
	}
	return pack(object, m), nil
}

// bucketCount is how many buckets an index has: of a million objects some hundred are in each.
const bucketCount = 1 << 13

var buckets = func() (names [bucketCount]string) {
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}()

// bucketOf is where the store has what has this hash.
func bucketOf(hash uint32) string { return buckets[hash%bucketCount] }
