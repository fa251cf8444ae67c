// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
)

// progress is how far the objects of a kind are read.
type progress struct {
	Kind string `json:"kind"`
	Read int64  `json:"read"`
	// Total is 0 as long as the API server has not said it.
	Total int64 `json:"total,omitempty"`
	Done  bool  `json:"done"`
	// Error is why it is not read now.
	Error string `json:"error,omitempty"`
}

// page is how many objects are asked for at a time.
const page = 2000

// meter measures how far a kind is read. It lists in pages, of which the API server says how many objects are left.
type meter struct {
	inner  toolscache.ListerWatcherWithContext
	kind   string
	moved  func()
	synced func() bool

	mu          sync.Mutex
	read, total int64
	err         error
}

// List is for those who have no context; nobody calls it.
func (m *meter) List(options metav1.ListOptions) (runtime.Object, error) {
	return m.ListWithContext(context.TODO(), options) //nolint:forbidigo // the interface has none
}

// Watch is for those who have no context; nobody calls it.
func (m *meter) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return m.WatchWithContext(context.TODO(), options) //nolint:forbidigo // the interface has none
}

// IsWatchListSemanticsUnSupported has the reflector list instead of having the list streamed: a stream does not say how much is left.
func (m *meter) IsWatchListSemanticsUnSupported() bool { return true }

// ListWithContext lists all, page by page. The version that the caller would be content with is the API server's cache's, which has no pages.
func (m *meter) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	options.ResourceVersion, options.ResourceVersionMatch, options.Limit = "", "", 0
	m.set(func() { m.read, m.total = 0, 0 })
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		list, err := m.inner.ListWithContext(ctx, options)
		if err != nil {
			return nil, err
		}
		left := int64(0)
		if meta, err := apimeta.ListAccessor(list); err == nil && meta.GetRemainingItemCount() != nil {
			left = *meta.GetRemainingItemCount()
		}
		m.set(func() {
			m.read += int64(apimeta.LenList(list))
			m.total = m.read + left
		})
		return list, nil
	})
	pages.PageSize = page
	list, _, err := pages.ListWithAlloc(ctx, options)
	m.set(func() { m.err = err })
	return list, err
}

// WatchWithContext watches.
func (m *meter) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	w, err := m.inner.WatchWithContext(ctx, options)
	m.set(func() { m.err = err })
	return w, err
}

func (m *meter) set(change func()) {
	m.mu.Lock()
	change()
	m.mu.Unlock()
	m.moved()
}

func (m *meter) progress() progress {
	done := m.synced != nil && m.synced()
	m.mu.Lock()
	defer m.mu.Unlock()
	return progress{Kind: m.kind, Read: m.read, Total: m.total, Done: done, Error: inWords(m.err)}
}

// inWords is what is wrong and what to do, for who looks at the page.
func inWords(err error) string {
	switch {
	case err == nil:
		return ""
	case apierrors.IsForbidden(err):
		return fmt.Sprintf("You may not read them: %v. Ask an administrator of the cluster for get, list and watch on all kinds of macpool.dev.", err)
	case apierrors.IsUnauthorized(err):
		return "The cluster does not know you any more: renew the login of your kubeconfig, and start kubectl macpool ui again."
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		return "" // the cluster has forgotten since when it was watched, and is read anew
	}
	return fmt.Sprintf("The cluster does not answer: %v. It is tried again.", err)
}
