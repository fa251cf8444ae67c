// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"k8s.io/utils/clock"
)

// browserName is Debian's Chromium without a window, of the package of the same name.
const browserName = "chromium-headless-shell"

// browser is the one that all tests share; each has pages of its own, in a context without the cookies of others.
var browser = sync.OnceValues(func() (context.Context, error) {
	path, err := exec.LookPath(browserName)
	if err != nil {
		return nil, fmt.Errorf("there is no %s, in which the page is tested: apt-get install %s fonts-dejavu-core", browserName, browserName)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"))
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endBrowser := chromedp.NewContext(ctx)
	endings = append(endings, endBrowser, end)
	return ctx, chromedp.Do(ctx)
})

// endings end what tests share.
var endings []func()

// serving serves a cluster to the test, and returns the address to open.
func serving(t *testing.T, c cluster) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{book: &book{cluster: c, clock: clock.RealClock{}}, name: "home", live: &fixture{}}
	guard := newGuard(listener.Addr(), s.handler())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, guard) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return guard.address()
}

// tab is a page of the browser. What goes wrong in it fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func openTab(t *testing.T, address, scheme string) *tab {
	t.Helper()
	shared, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := chromedp.NewContext(shared, chromedp.WithNewBrowserContext(), chromedp.WithListener(func(event any) { judge(t, event) }))
	t.Cleanup(end)
	p := &tab{t, ctx}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	p.do(call(cdplog.Enable, cdp.Empty{}), call(emulation.SetEmulatedMedia, media), chromedp.EmulateViewport(1280, 800), chromedp.Navigate(address))
	return p
}

// judge fails the test for what goes wrong in the page.
func judge(t *testing.T, event any) {
	t.Helper()
	switch event := event.(type) {
	case *cdpruntime.EventExceptionThrown:
		said := event.ExceptionDetails.Text
		if e := event.ExceptionDetails.Exception; e != nil {
			said += " " + e.Description
		}
		t.Errorf("in the page: %s", said)
	case *cdplog.EventEntryAdded:
		if event.Entry.Level == cdplog.EntryLevelError && !strings.Contains(event.Entry.Text, "net::ERR_") {
			t.Errorf("in the page's console: %s (%s)", event.Entry.Text, event.Entry.URL)
		}
	}
}

// call is a command of the protocol as a step.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

// limit is how long one step may take.
const limit = time.Minute

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx); err != nil { // the first starts the tab, whose life is then that of this context
		p.t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(p.ctx, limit)
	defer stop()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// value is what an expression is in the page; promises are waited for.
func value[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, limit)
	defer stop()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return got
}

// until waits until an expression is true in the page.
func (p *tab) until(expression string) {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, limit)
	defer stop()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingInterval(25*time.Millisecond))); err != nil {
		text := value[string](p, "document.body.innerText")
		p.t.Fatalf("waiting for %s: %v; the page says:\n%s", expression, err, text)
	}
}

// place goes to a place of the page, and waits until its map is shown.
func (p *tab) place(hash string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("if (location.hash !== %[1]q) { document.documentElement.dataset.shown = ''; location.hash = %[1]q }", "#"+hash)))
	p.until("document.documentElement.dataset.shown")
	p.settle()
}

// settle waits until what was drawn is on the screen.
func (p *tab) settle() {
	p.t.Helper()
	value[bool](p, "new Promise((r) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => r(true))), 250))")
}

// violation is what axe finds.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML           string
		FailureSummary string
	}
}

// axe is what axe-core finds wrong with the page that is shown: https://github.com/dequelabs/axe-core.
func (p *tab) axe() []violation {
	p.t.Helper()
	directory := os.Getenv("MACPOOL_AXE")
	if directory == "" {
		p.t.Fatal("MACPOOL_AXE is not set: run make test, or export MACPOOL_AXE=$(hack/axe.sh)")
	}
	script, err := os.ReadFile(filepath.Join(directory, "axe.min.js"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.do(chromedp.Evaluate[chromedp.Void]("typeof axe === 'undefined' && (() => {" + string(script) + "\n})()"))
	report := value[string](p, "axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(r.violations))")
	var all []violation
	if err := json.Unmarshal([]byte(report), &all); err != nil {
		p.t.Fatal(err)
	}
	return all
}

// accessible fails the test for each serious fault that axe finds.
func (p *tab) accessible() {
	p.t.Helper()
	for _, v := range p.axe() {
		for _, node := range v.Nodes {
			report := p.t.Logf
			if v.Impact == "serious" || v.Impact == "critical" {
				report = p.t.Errorf
			}
			report("axe: %s (%s): %s\n%s\n%s", v.ID, v.Impact, v.Help, node.HTML, node.FailureSummary)
		}
	}
}
