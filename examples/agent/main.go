// Command agent is a small agent to copy from: it takes tasks over HTTP (A2A v1), works on them through a model that
// speaks the OpenAI protocol, keeps its conversations and unfinished tasks on disk, and remembers what it did in a vector
// collection where it has one.
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

// shutdownTimeout bounds the time to send the last answers.
const shutdownTimeout = 5 * time.Second

// config is the agent's environment. Everything has a default but the model.
type config struct {
	listen       string
	stateDir     string
	modelURL     string
	modelKey     string
	model        string
	instructions string
	// url is where clients reach the agent; empty for wherever they asked for its card.
	url string
	// concurrency is the number of tasks worked on at once; queue the number that may wait; keep the number of finished
	// ones that can still be asked for.
	concurrency, queue, keep int
	// drain bounds how long running tasks may take once the agent is told to end; patience one answer of the model.
	drain, patience time.Duration
	memory          memoryConfig
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
		url:          get("AGENT_URL", ""),
	}

	c.memory = memoryConfig{
		store: get("VECTOR_STORE", ""), endpoint: get("VECTOR_ENDPOINT", ""), collection: get("VECTOR_COLLECTION", ""), distance: get("VECTOR_DISTANCE", "Cosine"),
		user: get("VECTOR_USER", ""), password: get("VECTOR_PASSWORD", ""), caFile: get("VECTOR_CA_FILE", ""),
		model: get("AGENT_EMBEDDING_MODEL", "text-embedding-3-small"),
	}

	if c.modelURL == "" {
		return c, errors.New("OPENAI_BASE_URL is not set: name the model server")
	}

	var errs []error

	number := func(into *int, name, def string) {
		n, err := strconv.Atoi(get(name, def))
		if err != nil || n < 1 {
			errs = append(errs, fmt.Errorf("%s is %q and must be a number from 1", name, get(name, def)))
		}

		*into = n
	}
	number(&c.concurrency, "AGENT_CONCURRENCY", "1")
	number(&c.queue, "AGENT_QUEUE", "64")
	number(&c.keep, "AGENT_KEEP", "1000")

	if c.memory.store != "" {
		number(&c.memory.dim, "VECTOR_DIM", "")
	}

	duration := func(into *time.Duration, name, def string) {
		d, err := time.ParseDuration(get(name, def))
		if err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("%s is %q and must be a duration such as %s", name, get(name, def), def))
		}

		*into = d
	}
	// Less than the pod's grace period of 5 minutes, so that what is not finished then is given up in good order.
	duration(&c.drain, "AGENT_DRAIN", "4m")
	duration(&c.patience, "AGENT_MODEL_PATIENCE", "10m")

	return c, errors.Join(errs...)
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

	mem, err := openMemory(ctx, c, log)
	if err != nil {
		return err
	}
	defer mem.close()

	w, err := newWorkshop(c, st, mem, log)
	if err != nil {
		return err
	}

	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", c.listen, err)
	}

	srv := &http.Server{Handler: handler(w, c.url), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)

	go func() { served <- srv.Serve(lis) }()

	log.Info("the agent takes tasks", "listen", lis.Addr().String(), "model", c.model, "memory", c.memory.collection, "resumed", w.unfinished())

	select {
	case err := <-served:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}

	log.Info("the agent drains", "unfinished", w.unfinished())

	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drain)
	defer cancel()

	w.drain(late)

	// Whoever waits for an answer has one now, or the task as it is; it only has to be sent.
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()

	if err := srv.Shutdown(soon); err != nil {
		_ = srv.Close()
	}

	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve: %w", err)
	}

	log.Info("the agent ends", "unfinished", w.unfinished())

	return nil
}
