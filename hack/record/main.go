// SPDX-License-Identifier: Apache-2.0

// Command record runs a program and draws what it prints, line by line at its own pace, as an animated SVG: no recording that somebody made by
// hand, and no service that plays it.
//
//	go run ./hack/record docs/images/demo.svg bin/demo
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"k8s.io/utils/clock"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: record FILE.svg COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	lines, err := run(context.Background(), clock.RealClock{}, os.Args[2:]) //nolint:forbidigo // a program's main has no caller
	if err == nil {
		err = os.WriteFile(os.Args[1], []byte(render(lines)), 0o644) //nolint:gosec // G306: a picture that everybody may see
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

// line is what was printed, and when, since the beginning.
type line struct {
	text string
	at   time.Duration
}

// run runs a command and notes its output, which goes on to ours.
func run(ctx context.Context, c clock.PassiveClock, command []string) ([]line, error) {
	process := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // G204: the caller's command
	process.Stderr = os.Stderr
	output, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting the program: %w", err)
	}
	var lines []line
	began := c.Now()
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		lines = append(lines, line{text: scanner.Text(), at: c.Since(began)})
		_, _ = fmt.Fprintln(os.Stdout, scanner.Text())
	}
	if err := process.Wait(); err != nil {
		return nil, fmt.Errorf("running the program: %w", err)
	}
	return lines, nil
}
