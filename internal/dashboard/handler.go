package dashboard

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// deadline is how long an answer may take, and atOnce how many there may be under way.
	deadline = 10 * time.Second
	atOnce   = 32
	// maxNamespaces is of how many namespaces it is asked whether somebody may list their pools who may not list all.
	maxNamespaces = 200
)

// How requests end, for the metric.
const (
	outcomeOK       = "OK"
	outcomeNobody   = "Unauthenticated"
	outcomeNotFound = "NotFound"
	outcomeBusy     = "Busy"
	outcomeFailed   = "Failed"
)

// errNotFound is a pool that there is not, or that is not the reader's to see. Nobody can tell the one from the other.
var errNotFound = errors.New("there is no such page, or you may not read it")

// Handler answers readers.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", s.page(s.index))
	mux.Handle("GET /namespaces/{namespace}", s.page(s.index))
	mux.Handle("GET /namespaces/{namespace}/pools/{pool}", s.page(s.pool))
	mux.Handle("/", s.page(func(*http.Request, reader) (view, error) { return nil, errNotFound }))

	turns := make(chan struct{}, atOnce)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())

		ctx, cancel := context.WithTimeout(r.Context(), deadline)
		defer cancel()

		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		default:
			s.fail(w, r, http.StatusServiceUnavailable, outcomeBusy, "Too many readers", "Many people read this page just now. Try again in a moment.")

			return
		}

		mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

// secure says what a browser may do with an answer: show it, for this reader, and load nothing else.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Authorization")
}

// A view is what is rendered.
type view interface{ template() string }

// page returns a handler that has a reader's view made and rendered.
func (s *Server) page(look func(*http.Request, reader) (view, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.access.who(r)

		var v view
		if err == nil {
			v, err = look(r, who)
		}

		switch {
		case err == nil:
			s.render(w, http.StatusOK, outcomeOK, v)
		case errors.Is(err, errNobody):
			w.Header().Set("WWW-Authenticate", `Bearer realm="AIDispatcher"`)
			s.fail(w, r, http.StatusUnauthorized, outcomeNobody, "Who are you?", "This page needs a bearer token that the cluster's API server knows.")
		case errors.Is(err, errNotFound):
			s.fail(w, r, http.StatusNotFound, outcomeNotFound, "Nothing here", "There is no such page, or you may not read it.")
		default:
			// What went wrong may name what this reader must not see.
			s.log.Info("Cannot show the page", "path", r.URL.Path, "error", err)
			s.fail(w, r, http.StatusServiceUnavailable, outcomeFailed, "It cannot be shown now", "The API server did not answer as it should. The provider's log says more.")
		}
	})
}

// index shows the pools that a reader may list, of all namespaces or of one.
func (s *Server) index(r *http.Request, who reader) (view, error) {
	namespace := r.PathValue("namespace")
	if namespace != "" {
		if len(validation.IsDNS1123Label(namespace)) > 0 {
			return nil, errNotFound
		}

		if ok, err := s.access.may(r.Context(), who, mayList(namespace)); err != nil || !ok {
			return nil, errors.Join(err, notFoundUnless(ok || err != nil))
		}
	}

	all, cut, err := s.claims.all(r.Context())
	if err != nil {
		return nil, err
	}

	var left int

	if namespace == "" {
		if all, left, err = s.visible(r.Context(), who, all); err != nil {
			return nil, err
		}
	} else {
		all = slices.DeleteFunc(slices.Clone(all), func(c claim) bool { return c.Metadata.Namespace != namespace })
	}

	return s.indexView(frameOf(r, who, s.now()), namespace, all, cut, left), nil
}

func notFoundUnless(ok bool) error {
	if ok {
		return nil
	}

	return errNotFound
}

// visible returns the pools that a reader may list, and of how many namespaces that was not asked.
func (s *Server) visible(ctx context.Context, who reader, all []claim) ([]claim, int, error) {
	if ok, err := s.access.may(ctx, who, mayList("")); err != nil || ok {
		return all, 0, err
	}

	var names []string
	for _, c := range all {
		names = append(names, c.Metadata.Namespace)
	}

	slices.Sort(names)
	names = slices.Compact(names)
	left := max(0, len(names)-maxNamespaces)
	names = names[:len(names)-left]

	rights := make([]right, len(names))
	for i, n := range names {
		rights[i] = mayList(n)
	}

	allowed, err := s.access.mayAny(ctx, who, rights)
	if err != nil {
		return nil, 0, err
	}

	may := map[string]bool{}
	for i, n := range names {
		may[n] = allowed[i]
	}

	return slices.DeleteFunc(slices.Clone(all), func(c claim) bool { return !may[c.Metadata.Namespace] }), left, nil
}

// pool shows one pool.
func (s *Server) pool(r *http.Request, who reader) (view, error) {
	ctx, key := r.Context(), types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("pool")}
	if len(validation.IsDNS1123Label(key.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(key.Name)) > 0 {
		return nil, errNotFound
	}

	// Before it is looked whether there is such a pool.
	if ok, err := s.access.may(ctx, who, mayGet(key.Namespace, key.Name)); err != nil || !ok {
		return nil, errors.Join(err, notFoundUnless(ok || err != nil))
	}

	c, err := s.claims.one(ctx, key.Namespace, key.Name)
	if kerrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, errNotFound
	}

	if err != nil {
		return nil, err
	}

	scaler, err := s.scalerOf(ctx, key)
	if err != nil {
		return nil, err
	}

	name, target := key.Name, key.Name
	if scaler != nil {
		name, target = scaler.Name, scaler.Spec.ForProvider.ScaleTargetRef.Name
	}

	v := s.poolView(frameOf(r, who, s.now()), key, c)
	v.Ledger = slot.LedgerName(target)

	may, err := s.access.mayAny(ctx, who, []right{
		mayList(key.Namespace), maySeeWorkers(key.Namespace), maySeeScaler(key.Namespace, name), maySeeSlots(key.Namespace, v.Ledger), maySeeMonitors(key.Namespace),
	})
	if err != nil {
		return nil, err
	}

	v.MayList, v.MaySeeWorkers, v.Sees = may[0], may[1], sees{Scaler: may[2], Slots: may[3], Monitors: may[4]}

	if v.Sees.Scaler && scaler != nil {
		v.decide(scaler.Status.AtProvider)
	}

	if v.MaySeeWorkers {
		v.Workers, err = s.workersOf(ctx, key, scaler, v.Sees)
	}

	return v, err
}

// scalerOf returns a pool's scaler, nil where it has none.
func (s *Server) scalerOf(ctx context.Context, pool types.NamespacedName) (*v1alpha1.AgentScaler, error) {
	l := &v1alpha1.AgentScalerList{}

	err := s.cache.List(ctx, l, client.InNamespace(pool.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: pool.Name})
	if meta.IsNoMatchError(err) || err == nil && len(l.Items) == 0 {
		return nil, nil //nolint:nilnil // A pool that just came has none.
	}

	if err != nil {
		return nil, err
	}

	return &l.Items[0], nil
}
