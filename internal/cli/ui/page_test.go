// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"encoding/json"
	"flag"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "write the pictures of docs/images")

// TestViews looks at each view in light and in dark: it is shown, nothing goes wrong in the page, and axe finds no serious fault in it. With
// -update it writes the pictures that the documentation shows.
func TestViews(t *testing.T) {
	s := house(t)
	address := serving(t, &s.fixture)
	past := s.now.Add(-50 * time.Hour).UTC().Format(time.RFC3339)
	views := []struct {
		name, place, shows string
		do                 []chromedp.Action[chromedp.Void]
	}{
		{name: "empty", place: "pool=cameras", shows: "Nothing is leased"},
		{name: "busy", place: "pool=iot&open=192.168.50.8", shows: "home/home-assistant-0"},
		{name: "conflict", place: "pool=iot&open=192.168.50.77", shows: "d8:3a:dd:41:08:9f answered for it"},
		{name: "large", place: "pool=plant", shows: "10.20.0.0/16"},
		{name: "past", place: "pool=iot&at=" + past, shows: "Back to now"},
		{name: "table", place: "pool=iot&view=table", shows: "home-assistant-0"},
		{name: "waiting", place: "pool=iot&open=claim:lab/scanner.iot.net1", shows: "What MP207 means"},
		{name: "macs", place: "pool=dhcp", shows: "02:46:00"},
		{name: "search", place: "pool=iot", shows: "frigate-1", do: []chromedp.Action[chromedp.Void]{chromedp.SendKeys("#query", "frigate")}},
	}
	for _, scheme := range []string{"light", "dark"} {
		p := openTab(t, address, scheme)
		p.until("document.documentElement.dataset.shown")
		for _, view := range views {
			t.Run(view.name+" "+scheme, func(t *testing.T) {
				p := &tab{t, p.ctx}
				p.place(view.place)
				p.do(view.do...)
				p.until("document.body.innerText.includes(" + quoted(view.shows) + ")")
				p.accessible()
				if *update {
					p.picture(view.name + map[string]string{"light": "", "dark": "-dark"}[scheme])
				}
			})
		}
	}
}

// quoted is text as JavaScript has it.
func quoted(text string) string {
	data, _ := json.Marshal(text) //nolint:errchkjson // a string
	return string(data)
}
