// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
)

// texts are the lines of a picture with their classes, read as XML.
func texts(t *testing.T, svg string) (all [][2]string) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if e.Name.Local != "text" {
				continue
			}
			class := ""
			for _, a := range e.Attr {
				if a.Name.Local == "class" {
					class = a.Value
				}
			}
			all = append(all, [2]string{class, ""})
		case xml.CharData:
			if n := len(all); n > 0 && all[n-1][1] == "" {
				all[n-1][1] = string(e)
			}
		}
	}
}

func TestRender(t *testing.T) {
	svg := render([]line{
		{text: "1. A chapter", at: 0},
		{text: "", at: time.Millisecond},
		{text: "$ kubectl get <mp> & more", at: time.Hour},
		{text: "   ok: it holds", at: time.Hour + time.Second},
		{text: strings.Repeat("x", columns) + "y", at: time.Hour + time.Second},
	})
	want := [][2]string{{"head", "1. A chapter"}, {"typed", "$ kubectl get <mp> & more"}, {"good", "   ok: it holds"}, {"", strings.Repeat("x", columns)}, {"", "y"}}
	if diff := cmp.Diff(want, texts(t, svg)); diff != "" {
		t.Error(diff)
	}
	// 0, 0.12, 1.62, 2.62, 2.74 s of 10.74; six rows at the end, of thirty.
	for _, frame := range []string{"0.00%{transform:translateY(522px)}", "15.08%{transform:translateY(486px)}", "25.51%{transform:translateY(432px)}", "10.7s step-end"} {
		if !strings.Contains(svg, frame) {
			t.Errorf("there is no %s in\n%s", frame, svg)
		}
	}
}

func TestRun(t *testing.T) {
	c := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	lines, err := run(t.Context(), c, []string{"sh", "-c", "echo one; echo two"})
	if err != nil || len(lines) != 2 || lines[1].text != "two" {
		t.Errorf("got %v, %v", lines, err)
	}
	if _, err := run(t.Context(), c, []string{"sh", "-c", "echo one; exit 3"}); err == nil {
		t.Error("a program that fails is recorded")
	}
}
