package main

import (
	"encoding/json"
	"net"
	"net/http"
)

// drainHook is told by the worker's monitor to begin nothing new, and, when the drain is withdrawn, to go on. It is the same
// how often it is told.
func drainHook(w *workshop) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !fromMonitor(r) {
			http.Error(rw, "only the worker's own monitor drains it", http.StatusForbidden)

			return
		}

		// Its id and deadline are told, too; this agent has no use for them.
		var call struct {
			Drain *bool `json:"drain"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, maxBody)).Decode(&call); err != nil || call.Drain == nil {
			http.Error(rw, `want {"drain": true} or {"drain": false}`, http.StatusBadRequest)

			return
		}

		w.hold(*call.Drain)
		rw.WriteHeader(http.StatusNoContent)
	})
}

// fromMonitor says whether a request comes from the worker's own pod, and not through it: the monitor's inbound proxy is on
// loopback, too, but says for whom it asks.
func fromMonitor(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}

	ip := net.ParseIP(host)

	return ip != nil && ip.IsLoopback() && len(r.Header.Values("X-Forwarded-For")) == 0
}
