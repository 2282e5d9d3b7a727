package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"golang.org/x/term"
)

// TopCmd shows what pools do.
type TopCmd struct {
	Cluster
	format

	AllNamespaces bool          `short:"A" help:"Pools of all namespaces."`
	Sort          string        `default:"name" enum:"name,queue,workers,tokens" help:"The order: name, queue, workers or tokens, the most first."`
	Watch         bool          `short:"w" help:"Look again and again, until it is interrupted."`
	Every         time.Duration `default:"2s" help:"How often, with --watch."`
}

// A claimed pool is an AIDispatcher as kubectl prints it: what is told of it here, by the names on the wire.
type claimed struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Role     string `json:"role"`
		ModelRef string `json:"modelRef"`
	} `json:"spec"`
	Status struct {
		CurrentPhase      string            `json:"currentPhase"`
		State             string            `json:"state"`
		Replicas          *int64            `json:"replicas"`
		AvailableReplicas *int64            `json:"availableReplicas"`
		ActiveWorkers     *int64            `json:"activeWorkers"`
		QueueDepth        *int64            `json:"queueDepth"`
		TokenUsage        *int64            `json:"tokenUsage"`
		TokensPerMinute   *int64            `json:"tokensPerMinute"`
		LastScale         *decision         `json:"lastScale"`
		Conditions        []scalerCondition `json:"conditions"`
	} `json:"status"`
}

// A PoolLine is what top says of a pool, and what its JSON has. What is absent is not known.
type PoolLine struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Role      string `json:"role"`
	Phase     string `json:"phase,omitempty"`
	State     string `json:"state,omitempty"`
	// Workers should be there, Available of them serve, and Active have a task in flight.
	Workers   *int64 `json:"workers,omitempty"`
	Available *int64 `json:"available,omitempty"`
	Active    *int64 `json:"active,omitempty"`
	// Queue is the number of unfinished tasks.
	Queue           *int64 `json:"queue,omitempty"`
	TokensPerMinute *int64 `json:"tokensPerMinute,omitempty"`
	Tokens          *int64 `json:"tokens,omitempty"`
	// LastChange of the size, absent where there was none.
	LastChange *decision `json:"lastChange,omitempty"`
}

// Run shows.
func (c *TopCmd) Run(ctx context.Context, out *Output) error {
	for {
		lines, err := c.look(ctx)
		if err != nil {
			return err
		}

		if c.Watch && isTerminal(out.Out) {
			fmt.Fprint(out.Out, "\x1b[H\x1b[2J")
		}

		if err := c.show(out, lines); err != nil || !c.Watch {
			return err
		}

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(c.Every, time.Second)):
		}
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })

	return ok && term.IsTerminal(int(f.Fd()))
}

func (c *TopCmd) look(ctx context.Context) ([]PoolLine, error) {
	if c.AllNamespaces && c.Namespace != "" {
		return nil, errors.New("give a namespace or --all-namespaces, and not both")
	}

	args := []string{"aidispatchers.southwest.ai", "-o", "json"}
	if c.AllNamespaces {
		args = append(args, "--all-namespaces")
	}

	var list struct {
		Items []claimed `json:"items"`
	}
	if err := c.get(ctx, &list, args, nil); err != nil {
		return nil, fmt.Errorf("cannot list the pools: %w", err)
	}

	lines := make([]PoolLine, 0, len(list.Items))
	for _, p := range list.Items {
		lines = append(lines, p.line())
	}

	c.order(lines)

	return lines, nil
}

func (p claimed) line() PoolLine {
	s := p.Status

	return PoolLine{
		Namespace: p.Metadata.Namespace, Name: p.Metadata.Name, Role: p.Spec.Role, Phase: s.CurrentPhase, State: s.State,
		Workers: s.Replicas, Available: s.AvailableReplicas, Active: s.ActiveWorkers, Queue: s.QueueDepth,
		TokensPerMinute: s.TokensPerMinute, Tokens: s.TokenUsage, LastChange: s.LastScale,
	}
}

func (c *TopCmd) order(lines []PoolLine) {
	by := map[string]func(PoolLine) *int64{
		"queue":   func(l PoolLine) *int64 { return l.Queue },
		"workers": func(l PoolLine) *int64 { return l.Workers },
		"tokens":  func(l PoolLine) *int64 { return l.TokensPerMinute },
	}[c.Sort]

	slices.SortStableFunc(lines, func(a, b PoolLine) int {
		most := 0
		if by != nil {
			most = cmp.Compare(known(by(b)), known(by(a)))
		}

		return cmp.Or(most, cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// known puts what is not known behind all that is.
func known(n *int64) int64 {
	if n == nil {
		return -1
	}

	return *n
}

func (c *TopCmd) show(out *Output, lines []PoolLine) error {
	if len(lines) == 0 && c.Output != "json" {
		fmt.Fprintln(out.Err, "There are no pools here. Those of all namespaces are shown by --all-namespaces.")

		return nil
	}

	now := out.Now()

	return c.print(out.Out, lines, func(w io.Writer) {
		head := "NAME\tROLE\tPHASE\tSTATE\tWORKERS\tACTIVE\tQUEUE\tTOKENS/MIN\tTOKENS\tLAST CHANGE"
		if c.AllNamespaces {
			head = "NAMESPACE\t" + head
		}

		fmt.Fprintln(w, head)

		for _, l := range lines {
			if c.AllNamespaces {
				fmt.Fprintf(w, "%s\t", l.Namespace)
			}

			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s/%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, dash(l.Role), dash(l.Phase), dash(l.State), figure(l.Available), figure(l.Workers),
				figure(l.Active), figure(l.Queue), figure(l.TokensPerMinute), figure(l.Tokens), l.LastChange.brief(now))
		}
	})
}

// brief tells a change of size in a few words.
func (d *decision) brief(now time.Time) string {
	if d == nil {
		return "-"
	}

	return fmt.Sprintf("%d to %d, %s, %s ago", d.From, d.To, d.Reason, ago(&d.Time, now))
}

// figure writes a number, or a dash for one that is not known.
func figure(n *int64) string {
	if n == nil {
		return "-"
	}

	return strconv.FormatInt(*n, 10)
}
