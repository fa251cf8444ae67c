// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/macpool/macpool/e2e/lab"
)

// exhaust fills a pool of two addresses, shows what the third pod is told, and that it gets its turn.
func (d *demo) exhaust(ctx context.Context) error {
	if _, err := d.apply(ctx, "tiny.yaml"); err != nil {
		return err
	}
	if err := d.awaitPool(ctx, "tiny"); err != nil {
		return err
	}
	for _, name := range []string{"sensor-a", "sensor-b"} {
		pod := lab.NewPod("default", name, "tiny")
		if err := d.lab.CreatePod(ctx, pod, d.nodeA); err != nil {
			return err
		}
		if _, err := d.attach(ctx, pod, d.nodeA); err != nil {
			return err
		}
	}
	third := lab.NewPod("default", "sensor-c", "tiny")
	if err := d.lab.CreatePod(ctx, third, d.nodeB); err != nil {
		return err
	}
	start := d.clock.Now()
	_, refused := d.lab.RunPod(ctx, third, d.nodeB)
	took := d.clock.Since(start)
	if refused == nil {
		return errors.New("a third pod was attached to a pool of two addresses")
	}
	d.say("\nThe third pod's ADD ends after %d ms. Its event in kubectl describe pod reads:\n\n   %s\n", took.Milliseconds(), refused)
	if err := errors.Join(
		d.check(strings.Contains(refused.Error(), "MP301"), "the error is the catalogue's MP301, PoolExhausted"),
		d.check(took < 2*time.Second, "it came within 2 s"),
	); err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "get", "macpool", "tiny"); err != nil {
		return err
	}
	return d.makeRoom(ctx, third.Name)
}

// makeRoom deletes one of the pods, and the third one gets its address.
func (d *demo) makeRoom(ctx context.Context, third string) error {
	gone := d.pods["sensor-a"]
	d.say("sensor-a is deleted. This pool has no cooldown, so sensor-c gets the address at one of its next tries:\n")
	freed := mustIP(gone)
	if err := d.lab.StopPod(ctx, gone); err != nil {
		return err
	}
	delete(d.pods, gone.Pod.Name)
	s, err := d.retry(ctx, third)
	if err != nil {
		return err
	}
	return d.check(mustIP(s) == freed, "sensor-c has %s now", freed)
}

func (d *demo) retry(ctx context.Context, name string) (*lab.Sandbox, error) {
	pod, err := d.lab.Pod(ctx, "default", name)
	if err != nil {
		return nil, err
	}
	var s *lab.Sandbox
	err = d.until(ctx, name+" is attached", func(ctx context.Context) (bool, error) {
		var err error
		if s, err = d.attach(ctx, pod, d.nodeB); err != nil && !strings.Contains(err.Error(), "MP301") {
			return false, fmt.Errorf("trying again: %w", err)
		}
		return err == nil, nil
	})
	return s, err
}
