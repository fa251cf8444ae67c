// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestReadsAreShared proves that who asks while a read is under way gets the next one, which begins after the question, and shares it with the others;
// and that who gives up keeps nobody from the answer.
func TestReadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, goOn := 0, make(chan struct{})
		r := newReads(func(context.Context, string) (int, error) {
			begun++
			number := begun
			<-goOn
			return number, nil
		})
		got := make(chan int, 10)
		ask := func(ctx context.Context) {
			go func() {
				if n, err := r.get(ctx, "key"); err == nil {
					got <- n
				}
			}()
			settle()
		}
		ask(t.Context())
		impatient, giveUp := context.WithCancel(t.Context())
		ask(impatient)
		ask(t.Context())
		ask(t.Context())
		giveUp()
		synctest.Wait()
		goOn <- struct{}{}
		if n := <-got; n != 1 {
			t.Errorf("who asked first got read %d", n)
		}
		goOn <- struct{}{}
		for range 2 {
			if n := <-got; n != 2 {
				t.Errorf("who asked while read 1 was under way got read %d", n)
			}
		}
		synctest.Wait()
		if len(r.keys) != 0 || begun != 2 {
			t.Errorf("%d reads were begun, and %d keys are kept", begun, len(r.keys))
		}
	})
}

// TestReadThatNobodyWaitsForEnds proves that a read that hangs keeps nobody but those who asked for it: when the last of them has given up, the next begins.
func TestReadThatNobodyWaitsForEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := 0
		r := newReads(func(ctx context.Context, _ string) (int, error) {
			if begun++; begun == 1 {
				<-ctx.Done()
				return 0, context.Cause(ctx)
			}
			return begun, nil
		})
		var asking sync.WaitGroup
		impatient, giveUp := context.WithCancel(t.Context())
		asking.Go(func() {
			if _, err := r.get(impatient, "key"); !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up got %v", err)
			}
		})
		settle()
		start := time.Now()
		asking.Go(func() {
			if n, err := r.get(t.Context(), "key"); n != 2 || err != nil {
				t.Errorf("who waited got read %d: %v", n, err)
			}
		})
		synctest.Wait()
		giveUp()
		asking.Wait()
		if took := time.Since(start); took > 0 {
			t.Errorf("the read that nobody waited for was waited for: %s", took)
		}

		_, _ = r.get(impatient, "key") // who has given up before may get an answer, or not
		settle()
		if len(r.keys) != 0 {
			t.Errorf("%d keys are kept", len(r.keys))
		}
	})
}

// TestReadsWaitForCompany proves that those who ask at about the same time share one read, the first of them too.
func TestReadsWaitForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := 0
		r := newReads(func(context.Context, string) (int, error) { begun++; return begun, nil })
		var asking sync.WaitGroup
		for range 5 {
			asking.Go(func() {
				if n, err := r.get(t.Context(), "key"); n != 1 || err != nil {
					t.Errorf("got read %d: %v", n, err)
				}
			})
			time.Sleep(company / 10)
		}
		asking.Wait()
	})
}

// settle waits until what was asked for is being read.
func settle() {
	synctest.Wait()
	time.Sleep(company)
	synctest.Wait()
}
