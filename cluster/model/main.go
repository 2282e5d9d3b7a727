// Command model is a model server for tests and demos: it speaks the OpenAI and Anthropic protocols, answers from the
// request alone, and delays and fails on demand. It is no model, and says so in every answer.
//
// A request asks for trouble with headers:
//
//	X-Model-Delay: 2s      wait before the answer
//	X-Model-Pace: 50ms     wait between the chunks of a stream
//	X-Model-Error: 429     answer with this status (429 and 503 with Retry-After: 1)
//	X-Model-Cut: 3         end the connection in the middle of a stream, after so many chunks
//
// or, where an agent does not pass headers on, with words in its last message: "[delay 2s]", "[pace 50ms]", "[error 429]",
// "[cut 3]".
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	listen := os.Getenv("MODEL_LISTEN")
	if listen == "" {
		listen = ":8080"
	}

	delay, err := time.ParseDuration(or(os.Getenv("MODEL_DELAY"), "0s"))
	if err != nil {
		log.Error("MODEL_DELAY is not a duration such as 200ms", "error", err.Error())
		os.Exit(1) //nolint:gocritic // Nothing is open yet.
	}

	srv := &http.Server{Addr: listen, Handler: newServer(os.Getenv("MODEL_API_KEY"), delay), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()

		_ = srv.Shutdown(late)
	})
	log.Info("the model server answers", "listen", listen)

	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Error(err.Error())
		os.Exit(1)
	}
}

func or(s, def string) string {
	if s == "" {
		return def
	}

	return s
}
