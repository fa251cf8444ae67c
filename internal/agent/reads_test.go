// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"testing"
	"testing/synctest"
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
			synctest.Wait()
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
