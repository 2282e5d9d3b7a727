package main

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPageSize = 50
	maxPageSize     = 100
)

// A query asks for a page of tasks.
type query struct {
	contextID, status string
	changedAfter      time.Time
	size              int
	history           *int
	artifacts         bool
	// after is the last task of the page before, as far as it orders.
	after *task
}

// readQuery reads and checks a query. Its errors are for refuseFor.
func readQuery(v url.Values) (query, error) {
	q := query{contextID: v.Get("contextId"), status: v.Get("status"), size: defaultPageSize, artifacts: v.Get("includeArtifacts") == "true"}

	if q.status != "" && !slices.Contains(states, q.status) {
		return q, invalid("status is %q and must be one of %s", q.status, strings.Join(states, ", "))
	}

	n, err := optionalInt(v.Get("pageSize"))
	if err != nil || n != nil && (*n < 1 || *n > maxPageSize) {
		return q, invalid("pageSize must be 1 to %d", maxPageSize)
	}

	if n != nil {
		q.size = *n
	}

	if q.history, err = optionalInt(v.Get("historyLength")); err != nil {
		return q, invalid("historyLength must be a number from 0")
	}

	if s := v.Get("statusTimestampAfter"); s != "" {
		if q.changedAfter, err = time.Parse(time.RFC3339, s); err != nil {
			return q, invalid("statusTimestampAfter must be a time such as 2006-01-02T15:04:05Z")
		}
	}

	if s := v.Get("pageToken"); s != "" {
		if q.after, err = readToken(s); err != nil {
			return q, invalid("pageToken is not one that this agent gave")
		}
	}

	return q, nil
}

// A page token says where a page ended, so that tasks which change in between neither shift the next page nor fall out
// of it unseen.
func (t task) token() string {
	return strconv.FormatInt(t.Status.Timestamp.UnixMilli(), 36) + "." + t.ID
}

func readToken(s string) (*task, error) {
	at, id, _ := strings.Cut(s, ".")

	n, err := strconv.ParseInt(at, 36, 64)
	if err != nil || id == "" {
		return nil, errors.New("not a page token")
	}

	return &task{ID: id, Status: status{Timestamp: time.UnixMilli(n).UTC()}}, nil
}

// list answers a page of tasks, the last changed first. totalSize counts all that match, whatever the page.
func list(w *workshop) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		q, err := readQuery(r.URL.Query())
		if err != nil {
			refuseFor(rw, err)

			return
		}

		all := w.list(func(t task) bool {
			return (q.status == "" || t.Status.State == q.status) && (q.contextID == "" || t.ContextID == q.contextID) && !t.Status.Timestamp.Before(q.changedAfter)
		})

		page := all
		if q.after != nil {
			page = slices.DeleteFunc(slices.Clone(all), func(t task) bool { return compare(t, *q.after) >= 0 })
		}

		next := ""
		if len(page) > q.size {
			page = page[:q.size]
			next = page[q.size-1].token()
		}

		out := make([]task, 0, len(page))

		for _, t := range page {
			if !q.artifacts {
				t.Artifacts = nil
			}

			out = append(out, t.withHistory(q.history))
		}

		answer(rw, http.StatusOK, map[string]any{"tasks": out, "nextPageToken": next, "pageSize": q.size, "totalSize": len(all)})
	})
}

// withHistory returns a task with at most the last n messages of its history; all of them for nil.
func (t task) withHistory(n *int) task {
	if n != nil && len(t.History) > *n {
		t.History = t.History[len(t.History)-*n:]
	}

	return t
}

// optionalInt reads a number from 0; nil for an empty text.
func optionalInt(s string) (*int, error) {
	if s == "" {
		return nil, nil
	}

	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return nil, errors.New("not a number from 0")
	}

	return &n, nil
}
