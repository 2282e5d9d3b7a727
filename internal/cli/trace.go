package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// tracedWorkers is how many workers are asked what they do, and tracers how many at once.
	tracedWorkers = 20
	tracers       = 4
)

// ErrWrong is what trace ends with where something is wrong: the command worked, and the pool does not.
var ErrWrong = errors.New("something is wrong with this pool")

// TraceCmd shows what a pool is made of, and what of it is wrong.
type TraceCmd struct {
	Cluster

	Pool   string `arg:"" help:"The pool: NAME or ad/NAME."`
	Output string `short:"o" default:"tree" enum:"tree,json" help:"How to print: tree or json."`
}

// A Node is an object of a pool, and what it consists of.
type Node struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Says is what it does, in a few words.
	Says string `json:"says,omitempty"`
	// Wrong is what is the matter with it, in sentences.
	Wrong []string `json:"wrong,omitempty"`
	// Parts are what it is made of.
	Parts []Node `json:"parts,omitempty"`
}

// An object is what all objects have, by the names on the wire. Unknown fields are ignored, so any version can be told of.
type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name              string            `json:"name"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp *time.Time        `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Replicas        *int64            `json:"replicas"`
		SchedulingGates []json.RawMessage `json:"schedulingGates"`
	} `json:"spec"`
	Status objectStatus `json:"status"`
}

type objectStatus struct {
	Conditions []scalerCondition `json:"conditions"`
	// Of a managed resource.
	AtProvider struct {
		Replicas        *int64     `json:"replicas"`
		DesiredReplicas *int64     `json:"desiredReplicas"`
		Load            *scaleLoad `json:"load"`
		Slots           *int64     `json:"slots"`
		Hibernated      *int64     `json:"hibernated"`
		Corrupt         *int64     `json:"corrupt"`
		NewestTime      *time.Time `json:"newestTime"`
		Collection      string     `json:"collection"`
		Problems        []struct {
			Slot    string `json:"slot"`
			Problem string `json:"problem"`
		} `json:"problems"`
	} `json:"atProvider"`
	// Of a Deployment.
	Replicas          int64 `json:"replicas"`
	UpdatedReplicas   int64 `json:"updatedReplicas"`
	AvailableReplicas int64 `json:"availableReplicas"`
	// Of a pod.
	Phase                 string            `json:"phase"`
	InitContainerStatuses []containerStatus `json:"initContainerStatuses"`
	ContainerStatuses     []containerStatus `json:"containerStatuses"`
}

type containerStatus struct {
	Name         string         `json:"name"`
	Ready        bool           `json:"ready"`
	RestartCount int64          `json:"restartCount"`
	State        containerState `json:"state"`
	LastState    containerState `json:"lastState"`
}

type containerState struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Terminated *struct {
		Reason   string `json:"reason"`
		Message  string `json:"message"`
		ExitCode int64  `json:"exitCode"`
	} `json:"terminated"`
}

// What is composed for a pool, by the right that it takes to read it. Services and ServiceAccounts have no state to tell of.
var composed = []string{
	"agentscalers.agent.southwest.ai", "checkpoints.agent.southwest.ai", "vectorcollections.agent.southwest.ai", "deployments.apps", "pods",
}

// Run shows.
func (c *TraceCmd) Run(ctx context.Context, out *Output) error {
	name, err := poolName(c.Pool)
	if err != nil {
		return err
	}

	var p claimed
	if err := c.get(ctx, &p, []string{"aidispatchers.southwest.ai", "-o", "json"}, []string{name}); err != nil {
		return fmt.Errorf("cannot get the pool: %w", err)
	}

	c.Namespace = p.Metadata.Namespace
	objects, refused := c.objects(ctx, p.Metadata.Name)
	said := c.ask(ctx, objects["pods"])
	root := assemble(p, objects, refused, said, out.Now())

	if c.Output == "json" {
		err = format{Output: "json"}.print(out.Out, root, nil)
	} else {
		root.draw(out.Out, "", "")
		tellWrong(out.Out, root)
	}

	if err == nil && root.anyWrong() {
		return ErrWrong
	}

	return err
}

// objects returns a pool's objects by their kind, and why those of a kind could not be read.
func (c *TraceCmd) objects(ctx context.Context, pool string) (found map[string][]object, refused map[string]error) {
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)

	found, refused = map[string][]object{}, map[string]error{}

	for _, kind := range composed {
		wg.Go(func() {
			var list struct {
				Items []object `json:"items"`
			}

			err := c.get(ctx, &list, []string{kind, "-o", "json", "--selector=" + monitorapi.LabelDispatcher + "=" + pool}, nil)

			mu.Lock()
			defer mu.Unlock()

			if err != nil {
				refused[kind] = err
			}

			found[kind] = list.Items
		})
	}

	wg.Wait()

	return found, refused
}

// ask asks the workers what they do, through the API server, the first of them. Who does not answer, or may not be asked, is left out.
func (c *TraceCmd) ask(ctx context.Context, pods []object) map[string]monitorapi.Status {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		turns = make(chan struct{}, tracers)
		out   = map[string]monitorapi.Status{}
		flags = Cluster{Context: c.Context, Kubeconfig: c.Kubeconfig}.flags()
	)

	for _, p := range pods[:min(len(pods), tracedWorkers)] {
		if p.Status.Phase != "Running" {
			continue
		}

		turns <- struct{}{}

		wg.Go(func() {
			defer func() { <-turns }()

			path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy%s", c.Namespace, p.Metadata.Name, monitorapi.Port, monitorapi.PathStatus)

			b, err := kubectl(ctx, append([]string{"get", "--raw", path, "--request-timeout=5s"}, flags...)...)
			if err != nil {
				return
			}

			var s monitorapi.Status
			if json.Unmarshal(b, &s) == nil {
				mu.Lock()
				defer mu.Unlock()

				out[p.Metadata.Name] = s
			}
		})
	}

	wg.Wait()

	return out
}

// draw prints a tree.
func (n Node) draw(w io.Writer, first, rest string) {
	mark := "ok"
	if len(n.Wrong) > 0 {
		mark = "WRONG"
	}

	fmt.Fprintf(w, "%s%s %s  %s", first, n.Kind, n.Name, mark)

	if n.Says != "" {
		fmt.Fprintf(w, "  %s", n.Says)
	}

	fmt.Fprintln(w)

	for i, p := range n.Parts {
		if i == len(n.Parts)-1 {
			p.draw(w, rest+"└─ ", rest+"   ")
		} else {
			p.draw(w, rest+"├─ ", rest+"│  ")
		}
	}
}

func (n Node) anyWrong() bool {
	if len(n.Wrong) > 0 {
		return true
	}

	for _, p := range n.Parts {
		if p.anyWrong() {
			return true
		}
	}

	return false
}

// tellWrong prints what is wrong in words, what is deepest in the tree first: it is usually why the rest is.
func tellWrong(w io.Writer, root Node) {
	if !root.anyWrong() {
		fmt.Fprintln(w, "\nNothing is wrong.")

		return
	}

	fmt.Fprintln(w, "\nWhat is wrong, the cause before what follows from it:")

	var tell func(Node)

	tell = func(n Node) {
		for _, p := range n.Parts {
			tell(p)
		}

		for _, why := range n.Wrong {
			fmt.Fprintf(w, "  %s %s: %s\n", n.Kind, n.Name, why)
		}
	}

	tell(root)
}
