// SPDX-License-Identifier: Apache-2.0

package agentapi

import (
	"context"
	"net"
)

// Exchange puts one question to the agent that listens on the socket and waits for the answer, as long as ctx lets it. The connection stays
// open in both directions meanwhile: by its end the agent knows that nobody waits any more. Whoever else may listen there is asked nothing.
// resp is a *Response, or has the part of its fields that is wanted.
func Exchange(ctx context.Context, socket string, req *Request, resp any) error {
	if err := checkPath(socket); err != nil {
		return err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := checkListener(conn, socket); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := Write(conn, req); err != nil {
		return err
	}
	return Read(conn, resp)
}
