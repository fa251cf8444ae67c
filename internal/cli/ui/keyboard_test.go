// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestKeyboard goes over the map without a mouse, and listens to what a screen reader would be told.
func TestKeyboard(t *testing.T) {
	s := house(t)
	const markup = `<img src="x" onerror="document.title='broken into'">`
	for i := range s.Leases {
		if l := &s.Leases[i]; l.Name == "vlan-50.192.168.50.77" {
			l.Spec.History[0].Evidence = markup
		}
	}
	p := openTab(t, serving(t, &s.fixture), "light")
	p.until("document.documentElement.dataset.shown")
	p.place("pool=iot")
	p.do(chromedp.Focus(`[role="gridcell"][tabindex="0"]`))
	focused := func() string {
		return value[string](p, "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText")
	}
	for _, step := range []struct{ key, want string }{
		{kb.ArrowRight, "192.168.50.1, excluded"},
		{kb.ArrowDown, "192.168.50.17, free for claims that ask for it"},
		{kb.ArrowDown, "192.168.50.33, free"},
		{kb.Home, "192.168.50.32, leased"},
		{kb.End, "192.168.50.47, leased"},
		{kb.ArrowRight, "192.168.50.48, leased"},
		{kb.PageDown, "192.168.50."},
		{kb.PageDown, "192.168.50.255, excluded"},
		{kb.ArrowRight, "192.168.50.255, excluded"},
	} {
		p.do(chromedp.KeyEvent(step.key))
		if got := focused(); !strings.HasPrefix(got, step.want) {
			t.Errorf("%q says %q, want %q", step.key, got, step.want)
		}
	}
	p.do(chromedp.KeyEvent(kb.Home, chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	for range 8 {
		p.do(chromedp.KeyEvent(kb.ArrowRight))
	}
	p.until("document.getElementById('readout').textContent.includes('home/home-assistant-0')")
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until("document.activeElement.innerText === '192.168.50.8'")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.until("document.activeElement.getAttribute('aria-label') === '192.168.50.8, leased'")
	grid := `document.querySelector('[role=grid]')`
	if got := value[string](p, grid+".getAttribute('aria-rowcount') + ' ' + "+grid+".getAttribute('aria-colcount') + ' ' + document.activeElement.parentElement.getAttribute('aria-rowindex') + ' ' + document.activeElement.getAttribute('aria-colindex')"); got != "16 16 1 9" {
		t.Errorf("the grid's rows and columns, and the cell's: %s", got)
	}

	// The search is a key away, and its results too.
	p.do(chromedp.KeyEvent("/"), chromedp.KeyEvent("frigate-1"))
	p.until("document.querySelectorAll('.results a').length > 0")
	p.do(chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.Enter))
	p.until("document.getElementById('detail').innerText.includes('frigate-1')")

	// What a tenant wrote is text.
	p.place("pool=iot&open=192.168.50.77")
	p.until("document.getElementById('detail').innerText.includes(" + quoted(markup) + ")")
	if value[int](p, "document.querySelectorAll('#detail img').length") != 0 || value[string](p, "document.title") != "iot · macpool" {
		t.Error("markup in a lease was read as markup")
	}
}

// TestZoom goes into a pool that is too large to be shown address by address, and out of it.
func TestZoom(t *testing.T) {
	s := newSeed(t)
	wide := *s.pool("wide", 30, "10.0.0.0/8", []string{"10.0.1.0", "10.255.0.0"}, nil)
	s.lease(&wide, 5<<16+9, "a", "b", 3600e9, nil)
	p := openTab(t, serving(t, &s.fixture), "light")
	p.until("document.documentElement.dataset.shown === 'wide 10.0.0.0/8 '")
	p.do(chromedp.Evaluate[chromedp.Void]("document.querySelector('[role=gridcell][tabindex=\"0\"]').focus()"))
	for range 80 {
		p.do(chromedp.KeyEvent(kb.ArrowRight))
	}
	if got := value[string](p, "document.activeElement.getAttribute('aria-label')"); got != "10.5.0.0/20, 1 % leased" {
		t.Errorf("the prefix says %q", got)
	}
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until("document.documentElement.dataset.shown === 'wide 10.5.0.0/20 '")
	p.until("document.querySelector('[data-key=\"state-L\"]').innerText.includes('1')")
	p.do(chromedp.Click("#path a"))
	p.until("document.documentElement.dataset.shown === 'wide 10.0.0.0/8 '")
	p.accessible()
}
