package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"

	"github.com/mevdschee/tqserver/sdk"
)

// messageMost bounds one message of a WebSocket, in bytes.
const messageMost = 64 << 10

// socket sends every message back. The request's context ends when the server
// stops, too: then there is still time to say goodbye.
func socket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(messageMost)
	defer context.AfterFunc(r.Context(), func() { _ = c.Close(websocket.StatusGoingAway, "the server stops") })()
	sdk.Log(r.Context()).Debug("socket opened")
	for {
		// Not r.Context(), whose end would cut the goodbye off.
		kind, message, err := c.Read(context.WithoutCancel(r.Context()))
		if err != nil {
			return
		}
		if c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}
