// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"unicode/utf8"

	"github.com/containernetworking/cni/pkg/skel"
	cnitypes "github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// About is printed when a person runs the binary.
const About = "macpool, a CNI plugin: one lease is one MAC and its IPs, unique on the VLAN"

// Main serves the call that this process was started for, and returns the error to print. It reads the environment and the
// standard input of the process.
func Main(ctx context.Context, p *Plugin) *cnitypes.Error {
	command := p.Getenv("CNI_COMMAND")
	var e *cnitypes.Error
	if err := boundStdin(command); err != nil {
		e = cniError(err)
	} else {
		e = p.dispatch(ctx)
	}
	if command == "DEL" {
		return forDel(e)
	}
	return e
}

// dispatch lets skel check environment, configuration and version, and call the verb. Its errors get the words of the
// catalogue; those of the verbs have them.
func (p *Plugin) dispatch(ctx context.Context) *cnitypes.Error {
	var own *cnitypes.Error
	verb := func(serve func(context.Context, *skel.CmdArgs) error) func(*skel.CmdArgs) error {
		return func(args *skel.CmdArgs) error {
			if own = cniError(p.guard(ctx, args, serve)); own != nil {
				return own
			}
			// After ADD and DEL skel refuses the plugin's own namespace. ADD has done so before it made anything, and a
			// second JSON document behind the result would be read by nobody.
			args.NetnsOverride = "true"
			return nil
		}
	}
	e := skel.PluginMainFuncsWithError(skel.CNIFuncs{
		Add:    verb(p.Add),
		Check:  verb(p.Check),
		Del:    verb(p.Del),
		GC:     verb(p.GC),
		Status: verb(p.Status),
	}, Versions, About)
	if e == nil || e == own {
		return e
	}
	return cniError(catalogued(e))
}

// guard makes a panic an error like others: no exit that looks like success, no half of a result.
func (p *Plugin) guard(ctx context.Context, args *skel.CmdArgs, serve func(context.Context, *skel.CmdArgs) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			_, _ = fmt.Fprintf(p.Stderr, "%v\n%s", r, debug.Stack())
			err = problem.Internal.New(fmt.Sprint(r))
		}
	}()
	return serve(ctx, args)
}

// catalogued finds the entry for an error of skel's.
func catalogued(e *cnitypes.Error) error {
	text := e.Msg
	if e.Details != "" {
		text += ": " + e.Details
	}
	switch e.Code {
	case cnitypes.ErrIncompatibleCNIVersion:
		return problem.UnsupportedVersion.New(text)
	case cnitypes.ErrInvalidEnvironmentVariables, cnitypes.ErrUnknownContainer:
		return problem.BadEnvironment.New(text)
	case cnitypes.ErrDecodingFailure, cnitypes.ErrInvalidNetworkConfig, cnitypes.ErrIOFailure:
		return problem.BadConfig.New(text)
	default:
		return problem.Internal.New(text)
	}
}

// boundStdin puts a copy of the standard input in its place, which is known to be short and to be text: skel reads without
// a limit, and JSON decoders replace what is no UTF-8 in silence. The verbs that have no configuration are left alone.
func boundStdin(command string) error {
	if command == "" || command == "VERSION" {
		return nil
	}
	data, err := readInput(os.Stdin)
	if err != nil {
		return err
	}
	// Not os.Pipe: what that makes, Go's poller watches, by a thread.
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return problem.Internal.New(err).WithCause(err)
	}
	w := os.NewFile(uintptr(ends[1]), "stdin")
	feed := func() {
		_, _ = w.Write(data)
		_ = w.Close()
	}
	if len(data) <= anyPipe {
		feed()
	} else {
		go feed()
	}
	os.Stdin = os.NewFile(uintptr(ends[0]), "stdin")
	return nil
}

// anyPipe is what every pipe holds before somebody reads: PIPE_BUF, which is also the least that a kernel gives to a pipe.
const anyPipe = 4096

// endless is how much of an input is read that is too long already.
const endless = 64 << 20

// readInput reads a configuration. One that is too long is read to its end, so that the sentence can say how long it is
// and the runtime does not get a broken pipe instead of it; unless it has no end.
func readInput(r io.Reader) ([]byte, error) {
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, agentapi.MaxMessage+1))
	if err == nil && n > agentapi.MaxMessage {
		var rest int64
		rest, err = io.Copy(io.Discard, io.LimitReader(r, endless))
		if err == nil {
			return nil, problem.InputTooLarge.New(n+rest, agentapi.MaxMessage)
		}
	}
	if err != nil {
		return nil, problem.BadConfig.New("reading it: " + err.Error()).WithCause(err)
	}
	if !utf8.Valid(buf.Bytes()) {
		return nil, problem.BadConfig.New("it is not UTF-8")
	}
	return buf.Bytes(), nil
}
