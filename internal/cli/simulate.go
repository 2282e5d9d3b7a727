package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/southwest-ai/agent-operator/internal/scale"
)

const (
	// listed is how many changes are printed as text; JSON has all.
	listed = 30
	// narrowest and widest are a drawing's bounds on a terminal, in columns; the widest is what there is where it is none.
	narrowest, widest = 60, 100
)

// SimulateCmd replays a load against a policy.
type SimulateCmd struct {
	Cluster
	recorded

	Policy  string        `required:"" placeholder:"FILE|ad/NAME" help:"Whose scaling to follow: a file with an AIDispatcher or AgentScaler, or a pool of the cluster."`
	Trace   string        `placeholder:"FILE" help:"Replay the load of a CSV file: time,QueueDepth,... See docs/scaling.md."`
	Size    int32         `help:"The size at the beginning. Where it is not given, the manifest's replicas."`
	Startup time.Duration `default:"30s" help:"How long a worker takes until it serves."`
	SVG     string        `name:"svg" placeholder:"FILE" help:"Draw it to a file, too."`
	Output  string        `short:"o" default:"text" enum:"text,json" help:"How to print: text, with a drawing, or json."`
}

// A simulation is what a replay came to, and what its JSON has. Times are in seconds.
type simulation struct {
	Policy        string    `json:"policy"`
	From          time.Time `json:"from"`
	To            time.Time `json:"to"`
	WorkerMinutes float64   `json:"workerMinutes"`
	SpareMinutes  float64   `json:"spareWorkerMinutes"`
	Short         float64   `json:"underProvisionedSeconds"`
	ShortMinutes  float64   `json:"missingWorkerMinutes"`
	Unknown       float64   `json:"unknownSeconds"`
	Vetoed        float64   `json:"vetoedSeconds"`
	Stabilizing   float64   `json:"stabilizingSeconds"`
	Least         int32     `json:"least"`
	Most          int32     `json:"most"`
	Out           int       `json:"out"`
	In            int       `json:"in"`
	Changes       []resized `json:"changes"`
}

type resized struct {
	Time    time.Time `json:"time"`
	From    int32     `json:"from"`
	To      int32     `json:"to"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
}

// Run replays, prints and draws.
func (c *SimulateCmd) Run(ctx context.Context, out *Output) error {
	r, err := c.ruleOf(ctx, c.Policy)
	if err != nil {
		return err
	}

	points, err := c.load(ctx, out.Now(), r)
	if err != nil {
		return err
	}

	if c.Size < 0 || c.Startup < 0 {
		return errors.New("--size and --startup must not be negative")
	}

	if c.Size > 0 {
		r.size = c.Size
	}

	course := scale.Replay{Policy: r.policy, Size: r.size, Interval: r.interval, Startup: c.Startup}.Run(points)
	d := newDrawing(c.Policy, r.policy, points, course)

	if c.SVG != "" {
		if err := writeSVG(c.SVG, d); err != nil {
			return err
		}
	}

	s := summarize(c.Policy, course)
	if c.Output == "json" {
		return format{Output: "json"}.print(out.Out, s, nil)
	}

	if err := d.text(out.Out, columns(out.Out)); err != nil {
		return err
	}

	return s.text(out.Out, d)
}

// load returns what is replayed.
func (c *SimulateCmd) load(ctx context.Context, now time.Time, r rule) ([]scale.Point, error) {
	switch {
	case (c.Trace == "") == (c.Prometheus == ""):
		return nil, errors.New("give a load: --trace FILE, or --prometheus URL")
	case c.Prometheus != "":
		return c.points(ctx, now, r)
	default:
		loads := make([]string, 0, len(r.policy.Metrics))
		for _, m := range r.policy.Metrics {
			loads = append(loads, m.Name)
		}

		return readTrace(c.Trace, loads)
	}
}

// columns returns how wide a drawing may be.
func columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return widest
	}

	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return widest
	}

	return min(max(n, narrowest), 2*widest)
}

func writeSVG(path string, d drawing) error {
	var b bytes.Buffer
	if err := d.svg(&b); err != nil {
		return fmt.Errorf("cannot draw: %w", err)
	}

	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil { //nolint:gosec // A picture is for everybody.
		return fmt.Errorf("cannot write the drawing: %w", err)
	}

	return nil
}

func summarize(policy string, c scale.Course) simulation {
	t := c.Totals
	s := simulation{
		Policy: policy, From: c.From, To: c.To, WorkerMinutes: t.Worker.Minutes(), SpareMinutes: t.Spare.Minutes(), Short: t.Short.Seconds(), ShortMinutes: t.Missing.Minutes(),
		Unknown: t.Unknown.Seconds(), Vetoed: t.Vetoed.Seconds(), Stabilizing: t.Stabilizing.Seconds(), Least: t.Least, Most: t.Most, Changes: []resized{},
	}

	for _, x := range c.Changes {
		if s.Changes = append(s.Changes, toResized(x)); x.To > x.From {
			s.Out++
		} else {
			s.In++
		}
	}

	return s
}

func toResized(x scale.Change) resized {
	return resized{Time: x.At, From: x.From, To: x.To, Reason: x.Reason, Message: x.Message}
}

// text prints the sums, and the changes.
func (s simulation) text(w io.Writer, d drawing) error {
	span := s.To.Sub(s.From)
	seconds := func(n float64) string { return (time.Duration(n) * time.Second).String() }
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)

	fmt.Fprintf(t, "\n%s over\t%s\n", s.Policy, span)
	fmt.Fprintf(t, "workers\t%d to %d\t%.3g on average\n", s.Least, s.Most, s.WorkerMinutes/span.Minutes())
	fmt.Fprintf(t, "worker-minutes\t%.0f\tof which the load did not want %.0f\n", s.WorkerMinutes, s.SpareMinutes)
	fmt.Fprintf(t, "under-provisioned\t%s\t%.0f worker-minutes were missing\n", seconds(s.Short), s.ShortMinutes)
	fmt.Fprintf(t, "size changes\t%d\t%d out, %d in\n", s.Out+s.In, s.Out, s.In)
	fmt.Fprintf(t, "kept by the window\t%s\n", seconds(s.Stabilizing))
	fmt.Fprintf(t, "kept by a veto\t%s\n", seconds(s.Vetoed))
	fmt.Fprintf(t, "load unknown\t%s\n", seconds(s.Unknown))

	if err := t.Flush(); err != nil || len(s.Changes) == 0 {
		return err
	}

	fmt.Fprintln(w)

	for _, x := range s.Changes[:min(len(s.Changes), listed)] {
		fmt.Fprintf(t, "%s\t%d → %d\t%s\t%s\n", d.stamp(x.Time), x.From, x.To, x.Reason, x.Message)
	}

	if err := t.Flush(); err != nil || len(s.Changes) <= listed {
		return err
	}

	_, err := fmt.Fprintf(w, "and %d more: -o json has all of them\n", len(s.Changes)-listed)

	return err
}
