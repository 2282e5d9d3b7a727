package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	maxBody         = 1 << 20
	defaultPageSize = 50
	maxPageSize     = 100
)

// handler composes all the agent serves.
func handler(w *workshop) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /.well-known/agent-card.json", http.HandlerFunc(card))
	mux.Handle("POST /message:send", send(w))
	mux.Handle("GET /tasks", list(w))
	mux.Handle("GET /tasks/{id}", get(w))
	// A wildcard is a whole segment, so the verb is cut off by hand.
	mux.Handle("POST /tasks/{id}", cancelTask(w))
	mux.Handle("GET /healthz", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, http.StatusOK, map[string]string{"status": "ok"})
	}))
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics(w), promhttp.HandlerOpts{}))

	return mux
}

func card(rw http.ResponseWriter, r *http.Request) {
	answer(rw, http.StatusOK, map[string]any{
		"name": "reference-agent", "description": "Answers through a language model and remembers conversations.", "version": "1.0.0",
		"supportedInterfaces": []map[string]string{{"url": "http://" + r.Host, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"}},
		"capabilities":        map[string]bool{"streaming": false, "pushNotifications": false},
		"defaultInputModes":   []string{"text/plain"}, "defaultOutputModes": []string{"text/plain"},
		"skills": []map[string]any{{"id": "answer", "name": "Answer", "description": "Answers a request in words.", "tags": []string{"text"}}},
	})
}

// send takes a task on. It answers when the task is finished, or at once where the client asks for that.
func send(w *workshop) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var req struct {
			Message       message `json:"message"`
			Configuration struct {
				ReturnImmediately bool `json:"returnImmediately"`
			} `json:"configuration"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, maxBody)).Decode(&req); err != nil {
			refuse(rw, http.StatusBadRequest, "INVALID_ARGUMENT", "", fmt.Sprintf("cannot read the request: %v", err))

			return
		}

		if req.Message.text() == "" || req.Message.Role != roleUser {
			refuse(rw, http.StatusBadRequest, "INVALID_ARGUMENT", "", "message must have the role ROLE_USER and a part with text")

			return
		}

		if req.Message.TaskID != "" {
			refuse(rw, http.StatusBadRequest, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION", "this agent does not continue a task: send a new message with the same contextId")

			return
		}

		e, err := w.accept(req.Message)
		if err != nil {
			refuseFor(rw, err)

			return
		}

		if !req.Configuration.ReturnImmediately {
			select {
			case <-e.done:
			case <-w.ctx.Done():
			case <-r.Context().Done():
				return
			}
		}

		t, err := w.get(e.task.ID)
		if err != nil {
			refuseFor(rw, err)

			return
		}

		answer(rw, http.StatusOK, map[string]any{"task": t})
	})
}

func get(w *workshop) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		t, err := w.get(r.PathValue("id"))
		if err != nil {
			refuseFor(rw, err)

			return
		}

		answer(rw, http.StatusOK, t)
	})
}

func cancelTask(w *workshop) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, ok := strings.CutSuffix(r.PathValue("id"), ":cancel")
		if !ok {
			refuse(rw, http.StatusNotFound, "NOT_FOUND", "", "a task can only be canceled: POST /tasks/{id}:cancel")

			return
		}

		t, err := w.stop(id)
		if err != nil {
			refuseFor(rw, err)

			return
		}

		answer(rw, http.StatusOK, t)
	})
}

// list pages through the tasks, newest first. A page token is the number of tasks before it.
func list(w *workshop) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()

		size, err := number(q.Get("pageSize"), defaultPageSize)
		if err != nil || size < 1 || size > maxPageSize {
			refuse(rw, http.StatusBadRequest, "INVALID_ARGUMENT", "", fmt.Sprintf("pageSize must be 1 to %d", maxPageSize))

			return
		}

		from, err := number(q.Get("pageToken"), 0)
		if err != nil || from < 0 {
			refuse(rw, http.StatusBadRequest, "INVALID_ARGUMENT", "", "pageToken is not one that this agent gave")

			return
		}

		all := w.list(func(t task) bool {
			return (q.Get("status") == "" || t.Status.State == q.Get("status")) && (q.Get("contextId") == "" || t.ContextID == q.Get("contextId"))
		})
		from = min(from, len(all))
		to := min(from+size, len(all))
		next := ""

		if to < len(all) {
			next = strconv.Itoa(to)
		}

		answer(rw, http.StatusOK, map[string]any{"tasks": all[from:to], "nextPageToken": next, "pageSize": size, "totalSize": len(all)})
	})
}

func number(s string, def int) (int, error) {
	if s == "" {
		return def, nil
	}

	return strconv.Atoi(s)
}

// refuseFor answers an error of the workshop.
func refuseFor(rw http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errNotFound):
		refuse(rw, http.StatusNotFound, "NOT_FOUND", "TASK_NOT_FOUND", err.Error())
	case errors.Is(err, errFinished):
		refuse(rw, http.StatusBadRequest, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE", err.Error())
	case errors.Is(err, errBusy), errors.Is(err, errDraining):
		rw.Header().Set("Retry-After", "1")
		refuse(rw, http.StatusServiceUnavailable, "UNAVAILABLE", "", err.Error())
	default:
		refuse(rw, http.StatusInternalServerError, "INTERNAL", "", err.Error())
	}
}

// refuse answers an error in the form of A2A's HTTP binding: a google.rpc.Status, with A2A's own reason where it has one.
func refuse(rw http.ResponseWriter, code int, status, reason, msg string) {
	e := map[string]any{"code": code, "status": status, "message": msg}
	if reason != "" {
		e["details"] = []map[string]string{{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "a2a-protocol.org"}}
	}

	answer(rw, code, map[string]any{"error": e})
}

func answer(rw http.ResponseWriter, code int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(body) //nolint:errchkjson // A client that went away does not care.
}

// metrics are the agent's own. agent_queue_depth is what a pool is scaled on.
func metrics(w *workshop) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	gauge := func(name, help string, f func() int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(f()) }))
	}
	gauge("agent_queue_depth", "Unfinished tasks, waiting and running.", w.unfinished)
	gauge("agent_tasks_running", "Tasks that are being worked on.", func() int { return w.count(stateWorking) })
	gauge("agent_sessions", "Conversations that are kept.", w.store.sessions)
	reg.MustRegister(w.finished)

	return reg
}
