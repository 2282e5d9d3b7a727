package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const maxBody = 1 << 20

// handler composes all the agent serves.
func handler(w *workshop, url string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /.well-known/agent-card.json", card(url))
	mux.Handle("POST /message:send", version(send(w)))
	mux.Handle("GET /tasks", version(list(w)))
	// A wildcard is a whole segment, so a verb after the id is cut off by hand.
	mux.Handle("GET /tasks/{id}", version(get(w)))
	mux.Handle("POST /tasks/{id}", version(cancelTask(w)))
	mux.Handle("GET /healthz", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, http.StatusOK, map[string]string{"status": "ok"})
	}))
	mux.Handle("POST /drain", drainHook(w))
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics(w), promhttp.HandlerOpts{}))

	// What the card says the agent cannot do.
	for _, path := range []string{"POST /message:stream", "GET /extendedAgentCard"} {
		mux.Handle(path, version(http.HandlerFunc(unsupported)))
	}

	push := func(rw http.ResponseWriter, _ *http.Request) { refuseFor(rw, errNoPush) }
	mux.HandleFunc("/tasks/{id}/pushNotificationConfigs", push)
	mux.HandleFunc("/tasks/{id}/pushNotificationConfigs/{config}", push)

	return mux
}

// version refuses clients that speak another major version of A2A, and takes those that do not say.
func version(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if v := r.Header.Get("A2A-Version"); v != "" && v != "1" && !strings.HasPrefix(v, "1.") {
			refuseFor(rw, errVersion)

			return
		}

		next.ServeHTTP(rw, r)
	})
}

func card(url string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		at := url
		if at == "" {
			at = "http://" + r.Host
		}

		answer(rw, http.StatusOK, map[string]any{
			"name": "reference-agent", "description": "Answers through a language model and remembers conversations.", "version": "1.0.0",
			"supportedInterfaces": []map[string]string{{"url": at, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"}},
			"capabilities":        map[string]bool{"streaming": false, "pushNotifications": false},
			"defaultInputModes":   []string{"text/plain"}, "defaultOutputModes": []string{"text/plain"},
			"skills": []map[string]any{{"id": "answer", "name": "Answer", "description": "Answers a request in words.", "tags": []string{"text"}}},
		})
	})
}

// A sendRequest is what a client sends with a message.
type sendRequest struct {
	Message       message `json:"message"`
	Configuration struct {
		ReturnImmediately bool `json:"returnImmediately"`
		HistoryLength     *int `json:"historyLength"`
	} `json:"configuration"`
}

// readSend reads and checks a message. Its errors are for refuseFor.
func readSend(rw http.ResponseWriter, r *http.Request, w *workshop) (sendRequest, error) {
	var req sendRequest

	err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, maxBody)).Decode(&req)

	switch m := req.Message; {
	case errors.Is(err, errNotText):
		return req, errNotText
	case err != nil:
		return req, invalid("cannot read the request: %v", err)
	case m.MessageID == "":
		return req, invalid("message.messageId is required")
	case m.Role != roleUser:
		return req, invalid("message.role is %q and must be %s", m.Role, roleUser)
	case m.text() == "":
		return req, invalid("message.parts has no text")
	case req.Configuration.HistoryLength != nil && *req.Configuration.HistoryLength < 0:
		return req, invalid("configuration.historyLength must be a number from 0")
	case m.TaskID != "":
		// A task of this agent is one request and one answer; what goes on is the conversation.
		if _, err := w.get(m.TaskID); err != nil {
			return req, err
		}

		return req, errOneShot
	}

	return req, nil
}

// send takes a task on. It answers when the task has ended, or at once where the client asks for that.
func send(w *workshop) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		req, err := readSend(rw, r, w)
		if err != nil {
			refuseFor(rw, err)

			return
		}

		e, err := w.accept(req.Message)
		if err != nil {
			refuseFor(rw, err)

			return
		}

		if !req.Configuration.ReturnImmediately {
			w.wait(r.Context(), e)
		}

		t, err := w.get(e.task.ID)
		if err != nil {
			refuseFor(rw, err)

			return
		}

		answer(rw, http.StatusOK, map[string]any{"task": t.withHistory(req.Configuration.HistoryLength)})
	})
}

func get(w *workshop) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, verb, _ := strings.Cut(r.PathValue("id"), ":")
		if verb != "" {
			unsupported(rw, r)

			return
		}

		t, err := w.get(id)
		if err != nil {
			refuseFor(rw, err)

			return
		}

		n, err := optionalInt(r.URL.Query().Get("historyLength"))
		if err != nil {
			refuseFor(rw, invalid("historyLength must be a number from 0"))

			return
		}

		answer(rw, http.StatusOK, t.withHistory(n))
	})
}

func cancelTask(w *workshop) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, verb, _ := strings.Cut(r.PathValue("id"), ":")
		if verb != "cancel" {
			unsupported(rw, r)

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

func unsupported(rw http.ResponseWriter, r *http.Request) {
	refuseFor(rw, fmt.Errorf("%w: %s %s", errUnsupported, r.Method, r.URL.Path))
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
	gauge("agent_tasks_running", "Tasks that are being worked on.", w.running)
	gauge("agent_sessions", "Conversations that are kept.", w.store.sessions)
	reg.MustRegister(w.outcomes)

	if w.memory != nil {
		reg.MustRegister(w.memory.outcomes)
	}

	return reg
}
