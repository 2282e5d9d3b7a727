package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// A stream sends events as they come about.
type stream struct {
	rw   http.ResponseWriter
	r    *http.Request
	t    trouble
	sent int
	gone bool
}

func newStream(rw http.ResponseWriter, r *http.Request, t trouble) *stream {
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.WriteHeader(http.StatusOK)

	return &stream{rw: rw, r: r, t: t}
}

// event sends an event that is named and carries its name.
func (s *stream) event(name string, body map[string]any) {
	body["type"] = name
	s.send(name, body)
}

func (s *stream) send(name string, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // What is sent is made of maps and words.
	}

	if name != "" {
		name = "event: " + name + "\n"
	}

	s.raw(name + "data: " + string(b) + "\n\n")
}

func (s *stream) raw(text string) {
	if s.gone || (s.sent > 0 && !pause(s.r, s.t.pace)) {
		s.gone = true

		return
	}

	if s.t.cut > 0 && s.sent == s.t.cut {
		// The server's own way to end a connection in the middle.
		panic(http.ErrAbortHandler)
	}

	s.sent++

	if s.t.lines == "crlf" {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}

	if _, err := fmt.Fprint(s.rw, text); err != nil {
		s.gone = true
	}

	if err := http.NewResponseController(s.rw).Flush(); err != nil {
		s.gone = true
	}
}

// bill bills a stream that has come to its end, for all that is known here.
func (s *stream) bill(r *request, u usage) {
	if !s.gone && s.r.Context().Err() == nil {
		r.bills.add(r.Model, u)
	}
}

// zipped compresses an answer, whether or not the client said that it takes that.
type zipped struct {
	http.ResponseWriter

	gz *gzip.Writer
}

func newZipped(rw http.ResponseWriter) *zipped {
	rw.Header().Set("Content-Encoding", "gzip")

	return &zipped{rw, gzip.NewWriter(rw)}
}

// Write implements io.Writer.
func (z *zipped) Write(p []byte) (int, error) { return z.gz.Write(p) }

// FlushError flushes what was written, for http.ResponseController.
func (z *zipped) FlushError() error {
	if err := z.gz.Flush(); err != nil {
		return err
	}

	return http.NewResponseController(z.ResponseWriter).Flush()
}

func (z *zipped) close() { _ = z.gz.Close() }
