package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	// kubectlTimeout is how long kubectl may take, and maxScaler how long its answer may be, in bytes.
	kubectlTimeout = 30 * time.Second
	maxScaler      = 4 << 20
)

// WhyCmd tells why a pool has the size that it has.
type WhyCmd struct {
	Pool string `arg:"" optional:"" help:"The pool: NAME, ad/NAME or agentscaler/NAME."`

	Namespace  string `short:"n" help:"Its namespace. That of kubectl's context where it is not given."`
	Context    string `help:"The context of kubectl's configuration."`
	Kubeconfig string `type:"existingfile" help:"kubectl's configuration."`
	File       string `short:"f" help:"Read the AgentScaler from a file as JSON, - for the standard input, and ask no cluster."`
	Output     string `short:"o" default:"story" enum:"story,json" help:"How to print: story or json."`
}

// A scaler is what the story is made of: the fields of an AgentScaler by the names they have on the wire. Unknown ones are ignored, so
// any version can be told of.
type scaler struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		ForProvider struct {
			Suspend  bool              `json:"suspend"`
			Triggers []json.RawMessage `json:"triggers"`
		} `json:"forProvider"`
	} `json:"spec"`
	Status struct {
		AtProvider scalerSeen        `json:"atProvider"`
		Conditions []scalerCondition `json:"conditions"`
	} `json:"status"`
}

type scalerSeen struct {
	Replicas        *int64     `json:"replicas,omitempty"`
	DesiredReplicas *int64     `json:"desiredReplicas,omitempty"`
	ActiveWorkers   *int64     `json:"activeWorkers,omitempty"`
	QueueDepth      *int64     `json:"queueDepth,omitempty"`
	TokenUsage      *int64     `json:"tokenUsage,omitempty"`
	TokensPerMinute *int64     `json:"tokensPerMinute,omitempty"`
	Cost            *tokenCost `json:"cost,omitempty"`
	Load            *scaleLoad `json:"load,omitempty"`
	Decisions       []decision `json:"decisions,omitempty"`
}

type tokenCost struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
}

type scaleLoad struct {
	Time     time.Time     `json:"time"`
	Reason   string        `json:"reason"`
	Message  string        `json:"message"`
	Vetoes   []veto        `json:"vetoes,omitempty"`
	Triggers []triggerLoad `json:"triggers,omitempty"`
}

type veto struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

type triggerLoad struct {
	Type    string `json:"type"`
	Value   string `json:"value,omitempty"`
	Target  string `json:"target"`
	Want    *int64 `json:"want,omitempty"`
	Unknown string `json:"unknown,omitempty"`
}

type decision struct {
	Time     time.Time     `json:"time"`
	From     int64         `json:"from"`
	To       int64         `json:"to"`
	Reason   string        `json:"reason"`
	Message  string        `json:"message,omitempty"`
	Triggers []triggerLoad `json:"triggers,omitempty"`
	Removed  []removal     `json:"removed,omitempty"`
}

type removal struct {
	Time       time.Time `json:"time"`
	Name       string    `json:"name"`
	Slot       *int64    `json:"slot,omitempty"`
	Checkpoint string    `json:"checkpoint,omitempty"`
	Forced     bool      `json:"forced,omitempty"`
}

type scalerCondition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// Run tells the story.
func (c *WhyCmd) Run(ctx context.Context, out *Output) error {
	b, err := c.read(ctx)
	if err != nil {
		return err
	}

	var s scaler
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("cannot read the AgentScaler: %w", err)
	}

	if s.Kind != "AgentScaler" {
		return fmt.Errorf("this is a %q and no AgentScaler: give what `kubectl get agentscaler NAME -o json` prints", s.Kind)
	}

	if c.Output == "json" {
		return format{Output: "json"}.print(out.Out, s.Status.AtProvider, nil)
	}

	return s.story(out.Out, out.Now())
}

// read returns the AgentScaler as JSON. A cluster is asked through kubectl, which knows how people get in, by whatever plugin.
func (c *WhyCmd) read(ctx context.Context) ([]byte, error) {
	switch {
	case c.File == "-":
		return readAll(os.Stdin)
	case c.File != "":
		f, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("cannot open the AgentScaler: %w", err)
		}
		defer f.Close() // It was only read.

		return readAll(f)
	case c.Pool == "":
		return nil, errors.New("name the pool, such as ad/coder-agent-pool, or give a file with --file")
	}

	name := c.Pool
	if kind, rest, ok := strings.Cut(c.Pool, "/"); ok {
		switch strings.ToLower(kind) {
		case "ad", "aidispatcher", "aidispatchers", "agentscaler", "agentscalers":
			name = rest
		default:
			return nil, fmt.Errorf("%q is no pool: name it as ad/NAME", c.Pool)
		}
	}

	return c.kubectl(ctx, name)
}

func (c *WhyCmd) kubectl(ctx context.Context, name string) ([]byte, error) {
	args := []string{"get", "agentscalers.agent.southwest.ai", "-o", "json"}

	for flag, value := range map[string]string{"--namespace": c.Namespace, "--context": c.Context, "--kubeconfig": c.Kubeconfig} {
		if value != "" {
			args = append(args, flag+"="+value)
		}
	}

	ctx, cancel := context.WithTimeout(ctx, kubectlTimeout)
	defer cancel()

	// The name comes after a --, so that it is no flag whatever it is.
	cmd := exec.CommandContext(ctx, "kubectl", append(args, "--", name)...) // It is what people would type.

	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said

	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("there is no kubectl: install it, or give a file with --file")
	} else if err != nil {
		return nil, fmt.Errorf("cannot get the AgentScaler: kubectl says: %s", strings.TrimSpace(said.String()))
	}

	return readAll(&out)
}

func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxScaler+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the AgentScaler: %w", err)
	}

	if len(b) > maxScaler {
		return nil, fmt.Errorf("this is longer than %d bytes, and no AgentScaler", maxScaler)
	}

	return b, nil
}

// story prints what is, what is seen, and what was done, the newest first.
func (s scaler) story(w io.Writer, now time.Time) error {
	at := s.Status.AtProvider
	fmt.Fprintf(w, "%s/%s asks for %s workers and wants %s.\n", s.Metadata.Namespace, s.Metadata.Name, number(at.Replicas), number(at.DesiredReplicas))

	for _, c := range s.Status.Conditions {
		if c.Type == "ScalingActive" || c.Status != "True" {
			fmt.Fprintf(w, "%s is %s (%s): %s\n", c.Type, c.Status, c.Reason, c.Message)
		}
	}

	if at.QueueDepth != nil || at.TokenUsage != nil {
		fmt.Fprintf(w, "Busy workers: %s, unfinished tasks: %s, tokens: %s, of them in the last minute: %s.\n",
			number(at.ActiveWorkers), number(at.QueueDepth), number(at.TokenUsage), number(at.TokensPerMinute))
	}

	if at.Cost != nil {
		fmt.Fprintf(w, "The tokens cost %s %s.\n", at.Cost.Amount, at.Cost.Currency)
	}

	if l := at.Load; l != nil {
		fmt.Fprintf(w, "\nWhat it sees (%s ago): %s, %s\n", since(now, l.Time), l.Reason, l.Message)

		if err := loads(w, l.Triggers); err != nil {
			return err
		}

		for _, v := range l.Vetoes {
			fmt.Fprintf(w, "  nobody is removed (%s): %s\n", v.Name, v.Message)
		}
	}

	if len(at.Decisions) == 0 {
		fmt.Fprintln(w, "\nIts size has not been changed yet.")

		return nil
	}

	fmt.Fprintln(w, "\nWhat was done, the newest first:")

	for _, d := range at.Decisions {
		if err := d.tell(w, now); err != nil {
			return err
		}
	}

	return nil
}

func (d decision) tell(w io.Writer, now time.Time) error {
	fmt.Fprintf(w, "  %s (%s ago) from %d to %d, %s: %s\n", d.Time.UTC().Format(time.RFC3339), since(now, d.Time), d.From, d.To, d.Reason, d.Message)

	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)

	for _, r := range d.Removed {
		how := "its state is in checkpoint " + r.Checkpoint
		if r.Checkpoint == "" {
			how = "it had nothing to save"
		}

		if r.Forced {
			how += ", and it did not drain in time"
		}

		fmt.Fprintf(t, "    %s\tremoved %s\tslot %s\t%s\n", r.Time.UTC().Format(time.TimeOnly), r.Name, number(r.Slot), how)
	}

	return t.Flush()
}

func loads(w io.Writer, all []triggerLoad) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)

	for _, l := range all {
		if l.Unknown != "" {
			fmt.Fprintf(t, "  %s\tunknown\t%s\n", l.Type, l.Unknown)

			continue
		}

		fmt.Fprintf(t, "  %s\t%s at %s per worker\twants %s\n", l.Type, l.Value, l.Target, number(l.Want))
	}

	return t.Flush()
}

func number(n *int64) string {
	if n == nil {
		return "unknown"
	}

	return fmt.Sprint(*n)
}

func since(now, then time.Time) string { return max(0, now.Sub(then)).Round(time.Second).String() }
