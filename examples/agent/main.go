// Command agent is a small agent to copy from: it takes tasks over HTTP (A2A v1), works on them through a model that
// speaks the OpenAI protocol, and keeps its conversations and unfinished tasks on disk.
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
	"strconv"
	"syscall"
	"time"
)

// config is the agent's environment. Everything has a default but the model.
type config struct {
	listen       string
	stateDir     string
	modelURL     string
	modelKey     string
	model        string
	instructions string
	// concurrency is the number of tasks worked on at once; queue the number that may wait.
	concurrency, queue int
	// drain bounds how long running tasks may take once the agent is told to end.
	drain time.Duration
}

func fromEnv(getenv func(string) string) (config, error) {
	get := func(name, def string) string {
		if v := getenv(name); v != "" {
			return v
		}

		return def
	}
	c := config{
		listen:       get("AGENT_LISTEN", ":8080"),
		stateDir:     get("STATE_DIR", os.TempDir()),
		modelURL:     get("OPENAI_BASE_URL", ""),
		modelKey:     get("OPENAI_API_KEY", ""),
		model:        get("OPENAI_MODEL", "gpt-4"),
		instructions: get("AGENT_INSTRUCTIONS", "You are a helpful agent."),
	}

	if c.modelURL == "" {
		return c, errors.New("OPENAI_BASE_URL is not set: name the model server")
	}

	var err error
	if c.concurrency, err = positive("AGENT_CONCURRENCY", get("AGENT_CONCURRENCY", "1")); err != nil {
		return c, err
	}

	if c.queue, err = positive("AGENT_QUEUE", get("AGENT_QUEUE", "64")); err != nil {
		return c, err
	}

	if c.drain, err = time.ParseDuration(get("AGENT_DRAIN", "4m")); err != nil {
		return c, fmt.Errorf("AGENT_DRAIN is not a duration such as 4m: %w", err)
	}

	return c, nil
}

func positive(name, s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s is %q and must be a number from 1", name, s)
	}

	return n, nil
}

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	c, err := fromEnv(os.Getenv)
	if err == nil {
		err = run(ctx, c, log)
	}

	if err != nil {
		log.Error(err.Error())
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called.
	}
}

// run serves until ctx is done, then takes no more tasks, lets those that run end, and keeps the others for next time.
func run(ctx context.Context, c config, log *slog.Logger) error {
	st, err := openStore(c.stateDir)
	if err != nil {
		return err
	}

	w, err := newWorkshop(c, st, log)
	if err != nil {
		return err
	}

	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", c.listen, err)
	}

	srv := &http.Server{Handler: handler(w), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)

	go func() { served <- srv.Serve(lis) }()

	log.Info("the agent takes tasks", "listen", lis.Addr().String(), "model", c.model, "resumed", w.unfinished())

	select {
	case err := <-served:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}

	log.Info("the agent drains", "unfinished", w.unfinished())

	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drain)
	defer cancel()

	w.drain(late)
	// Whoever waits for an answer has it by now, or is told that the agent went away.
	if err := srv.Shutdown(late); err != nil {
		_ = srv.Close()
	}

	<-served
	log.Info("the agent ends", "unfinished", w.unfinished())

	return nil
}
