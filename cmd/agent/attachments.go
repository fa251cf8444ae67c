// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/macpool/macpool/internal/agentapi"
)

// attachments prints what is attached on the node, one JSON object a line, as the agent that runs here says. It changes nothing.
func attachments() error {
	flags := flag.NewFlagSet("attachments", flag.ExitOnError)
	socket := flags.String("socket", agentapi.DefaultSocket, "the socket of the agent to ask")
	_ = flags.Parse(os.Args[2:]) // it ends the program
	out := json.NewEncoder(os.Stdout)
	req := &agentapi.Request{Command: agentapi.Attachments}
	for {
		resp, err := list(*socket, req)
		if err != nil {
			return fmt.Errorf("asking the agent on %s what is attached: %w", *socket, err)
		}
		for _, a := range resp.Attached {
			if err := out.Encode(a); err != nil {
				return err
			}
			req.After = a.Attachment
		}
		if !resp.More {
			return nil
		}
	}
}

func list(socket string, req *agentapi.Request) (*agentapi.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), agentapi.CheckTimeout)
	defer cancel()
	resp := &agentapi.Response{}
	if err := agentapi.Exchange(ctx, socket, req, resp); err != nil {
		return nil, err
	}
	if resp.Error != nil {
		return nil, fmt.Errorf("%s: %s", resp.Error.Code, resp.Error.Message)
	}
	return resp, nil
}
