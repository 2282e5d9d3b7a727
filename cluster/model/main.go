// Command model is a model server for tests and demos: it speaks the OpenAI and Anthropic protocols, answers from the
// request alone, and delays and fails on demand. It is no model, and says so in every answer.
//
// A request asks for trouble with headers:
//
//	X-Model-Delay: 2s      wait before the answer
//	X-Model-Pace: 50ms     wait between the chunks of a stream
//	X-Model-Error: 429     answer with this status (429 and 503 with Retry-After: 1)
//	X-Model-Cut: 3         end the connection in the middle of a stream, after so many chunks
//	X-Model-Cached: 3      tell that so many tokens of the input were cached
//	X-Model-Reasoning: 5   tell of so many tokens of reasoning, on top of the answer's
//	X-Model-Usage: refused refuse a request with stream_options (400); or "none", never tell a usage
//	X-Model-Lines: crlf    end the lines of a stream with CR LF
//	X-Model-Encoding: gzip compress the answer, asked or not
//	X-Model-Tool: weather  have this tool called, where the request offers it
//
// or, where an agent does not pass headers on, with words in its last message: "[delay 2s]", "[pace 50ms]", "[error 429]",
// "[cut 3]", "[usage refused]" and so on. A request to a model whose name is such a trouble, like "error-429" or "delay-2s",
// asks for it too.
//
// GET /billing tells what was billed of each model: the answers that came to their end.
//
// The environment says the rest: MODEL_LISTEN (":8080"), MODEL_DELAY (before each answer), MODEL_API_KEY (refuse requests
// without it).
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

	if err := run(ctx, listen, newServer(os.Getenv("MODEL_API_KEY"), delay), log); err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

// run serves until the context is done, and then lets open answers end for a while.
func run(ctx context.Context, listen string, h http.Handler, log *slog.Logger) error {
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", listen, err)
	}

	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)

	go func() { served <- srv.Serve(lis) }()

	log.Info("the model server answers", "listen", lis.Addr().String())

	select {
	case err := <-served:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}

	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()

	if srv.Shutdown(late) != nil {
		_ = srv.Close()
	}

	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve: %w", err)
	}

	return nil
}

func or(s, def string) string {
	if s == "" {
		return def
	}

	return s
}
