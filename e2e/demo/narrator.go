// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/e2e/lab"
)

// patience is how long the demo waits for one thing to come true: much longer than a loaded machine needs.
const patience = 60 * time.Second

// demo is a telling of the story.
type demo struct {
	out   io.Writer
	iso   *lab.Isolation
	opts  lab.Options
	clock clock.PassiveClock
	begin time.Time

	lab     *lab.Lab
	nodeA   *lab.Node
	nodeB   *lab.Node
	wireA   *lab.Capture
	wireB   *lab.Capture
	pods    map[string]*lab.Sandbox // pod name -> its sandbox
	leased  map[string]bool         // the MACs that were leased so far
	chapter int
	checked int // how many statements were checked
}

func newDemo(out io.Writer, iso *lab.Isolation, o lab.Options) *demo {
	c := clock.RealClock{}
	return &demo{
		out: &tidyWriter{out: out}, iso: iso, opts: o, clock: c, begin: c.Now(),
		pods: map[string]*lab.Sandbox{}, leased: map[string]bool{},
	}
}

// say prints a paragraph.
func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...)
}

// heading begins a chapter.
func (d *demo) heading(title string) {
	d.chapter++
	d.say("\n%d. %s\n", d.chapter, title)
}

// step runs something that takes a while, and says how long it took.
func (d *demo) step(what string, f func() error) error {
	_, _ = fmt.Fprintf(d.out, "   %s ... ", what)
	start := d.clock.Now()
	if err := f(); err != nil {
		_, _ = fmt.Fprintln(d.out, "failed")
		return err
	}
	_, _ = fmt.Fprintf(d.out, "%s\n", d.clock.Since(start).Round(10*time.Millisecond))
	return nil
}

// check is a statement of the demo: it is made only if it is true.
func (d *demo) check(ok bool, format string, args ...any) error {
	statement := fmt.Sprintf(format, args...)
	if !ok {
		return errors.New("this is not so: " + statement)
	}
	d.checked++
	d.say("   ok: %s", statement)
	return nil
}

// kubectl runs the real kubectl and shows the command and what it prints. What kubectl refuses is no error of the demo: the
// caller looks at the output.
func (d *demo) kubectl(ctx context.Context, args ...string) (string, error) {
	d.say("\n$ kubectl %s", quoted(args))
	out, err := d.lab.API.Kubectl(ctx, args...)
	d.say("%s\n", strings.TrimRight(out, "\n"))
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	return out, err
}

// apply shows a manifest and applies it.
func (d *demo) apply(ctx context.Context, file string) (string, error) {
	d.show(file)
	return d.kubectl(ctx, "apply", "-f", file)
}

// show prints a manifest.
func (d *demo) show(file string) {
	d.say("\n$ cat %s", file)
	d.say("%s", manifest(file))
}

// until polls for something that other processes bring about.
func (d *demo) until(ctx context.Context, what string, f func(context.Context) (bool, error)) error {
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, f)
	if err != nil {
		return fmt.Errorf("waiting until %s: %w", what, err)
	}
	return nil
}

// showLogs prints the ends of the processes' logs, when something went wrong.
func (d *demo) showLogs() {
	if d.lab == nil {
		return
	}
	for _, p := range d.lab.Processes() {
		state := "running"
		if !p.Running() {
			state = "ended"
		}
		d.say("\n--- end of the log of the %s (%s)\n%s", p.Name, state, p.Tail(20))
	}
}

// tidyWriter leaves out a blank line after a blank line. Each part of the narration may so ask for its distance.
type tidyWriter struct {
	out      io.Writer
	newlines int // how many end what was written
}

// Write implements io.Writer.
func (w *tidyWriter) Write(p []byte) (int, error) {
	kept := make([]byte, 0, len(p))
	for _, b := range p {
		if b != '\n' {
			w.newlines = 0
		} else if w.newlines++; w.newlines > 2 {
			continue
		}
		kept = append(kept, b)
	}
	_, err := w.out.Write(kept)
	return len(p), err
}

// quoted joins the words of a command as a person would type them.
func quoted(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if strings.ContainsAny(a, " {}\\'*") {
			a = "'" + a + "'"
		}
		words[i] = a
	}
	return strings.Join(words, " ")
}

// indent puts text under a line of the narration.
func indent(text string) string { return "   " + strings.ReplaceAll(text, "\n", "\n   ") }
