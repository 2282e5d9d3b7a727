package dashboard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authnclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authzclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

const (
	// maxToken bounds a bearer token, in bytes: longer than any that is one.
	maxToken = 16 << 10
	// tokenFor and rightFor are how long the API server's answers are used: so long a withdrawn right may still serve.
	tokenFor = 30 * time.Second
	rightFor = 10 * time.Second
	// maxTokens and maxRights bound how many answers are kept.
	maxTokens = 512
	maxRights = 8192
	// asking is how many questions of access are open at the API server at a time, all readers together.
	asking = 16
	// allowedQPS and allowedBurst are how many of them are asked in a second.
	allowedQPS, allowedBurst = 100, 200
)

// errNobody is a request that does not say, or not truly, who makes it.
var errNobody = errors.New("the request has no bearer token that the API server knows")

// A reader is who asks for a page.
type reader struct {
	authnv1.UserInfo
	// id is the same for the same rights.
	id string
}

// A right is to do something with objects of a kind, or with a subresource of them. The zero namespace means all of them, and the zero name all
// objects.
type right struct{ verb, group, resource, subresource, namespace, name string }

// What the parts of a page show, by the right that is needed.
func mayList(namespace string) right {
	return right{verb: "list", group: claimKind.Group, resource: "aidispatchers", namespace: namespace}
}

func mayGet(namespace, name string) right {
	return right{verb: "get", group: claimKind.Group, resource: "aidispatchers", namespace: namespace, name: name}
}

func maySeeScaler(namespace, name string) right {
	return right{verb: "get", group: "agent.southwest.ai", resource: "agentscalers", namespace: namespace, name: name}
}

func maySeeWorkers(namespace string) right {
	return right{verb: "list", resource: "pods", namespace: namespace}
}

func maySeeSlots(namespace, ledger string) right {
	return right{verb: "get", resource: "configmaps", namespace: namespace, name: ledger}
}

// maySeeMonitors is what it takes to ask a worker's monitor through the API server.
func maySeeMonitors(namespace string) right {
	return right{verb: "get", resource: "pods", subresource: "proxy", namespace: namespace}
}

// Access asks the API server who a reader is and what they may read. It keeps what it was told for a few seconds.
type Access struct {
	tokens  authnclient.TokenReviewInterface
	reviews authzclient.SubjectAccessReviewInterface
	turns   chan struct{}

	// known are readers by the hash of their token, and rights what they may.
	known, rights *cache.LRUExpireCache
}

// NewAccess returns what asks the API server of a configuration.
func NewAccess(c *rest.Config) (*Access, error) {
	c = rest.CopyConfig(c)
	c.QPS, c.Burst, c.RateLimiter = allowedQPS, allowedBurst, nil

	tokens, err := authnclient.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client for token reviews: %w", err)
	}

	reviews, err := authzclient.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client for access reviews: %w", err)
	}

	return &Access{
		tokens: tokens.TokenReviews(), reviews: reviews.SubjectAccessReviews(), turns: make(chan struct{}, asking),
		known: cache.NewLRUExpireCache(maxTokens), rights: cache.NewLRUExpireCache(maxRights),
	}, nil
}

// turn waits until there may be one more question.
func (a *Access) turn(ctx context.Context) (leave func(), err error) {
	select {
	case a.turns <- struct{}{}:
		return func() { <-a.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// who returns who makes a request, or errNobody.
func (a *Access) who(r *http.Request) (reader, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)

	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
		return reader{}, errNobody
	}

	// The token itself is not kept.
	hash := sha256.Sum256([]byte(token))

	if v, ok := a.known.Get(hash); ok {
		if known, ok := v.(reader); ok && known.id != "" {
			return known, nil
		}

		return reader{}, errNobody
	}

	leave, err := a.turn(r.Context())
	if err != nil {
		return reader{}, err
	}
	defer leave()

	review, err := a.tokens.Create(r.Context(), &authnv1.TokenReview{Spec: authnv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return reader{}, fmt.Errorf("cannot have a token reviewed: %w", err)
	}

	if !review.Status.Authenticated {
		// Who tries the same again and again asks the API server once in a while.
		a.known.Add(hash, reader{}, rightFor)

		return reader{}, errNobody
	}

	out := reader{UserInfo: review.Status.User, id: identify(review.Status.User)}
	a.known.Add(hash, out, tokenFor)

	return out, nil
}

// identify returns a name for all that rights depend on.
func identify(u authnv1.UserInfo) string {
	groups := slices.Sorted(slices.Values(u.Groups))
	extra := make([]string, 0, len(u.Extra))

	for k, v := range u.Extra {
		extra = append(extra, fmt.Sprintf("%q=%q", k, v))
	}

	slices.Sort(extra)
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", u.Username, u.UID, groups, extra))

	return string(sum[:])
}

type answered struct {
	reader string
	right  right
}

// may says whether a reader has a right.
func (a *Access) may(ctx context.Context, u reader, what right) (bool, error) {
	key := answered{u.id, what}

	if v, ok := a.rights.Get(key); ok {
		allowed, ok := v.(bool)

		return ok && allowed, nil
	}

	leave, err := a.turn(ctx)
	if err != nil {
		return false, err
	}
	defer leave()

	extra := make(map[string]authzv1.ExtraValue, len(u.Extra))
	for k, v := range u.Extra {
		extra[k] = authzv1.ExtraValue(v)
	}

	review, err := a.reviews.Create(ctx, &authzv1.SubjectAccessReview{Spec: authzv1.SubjectAccessReviewSpec{
		User: u.Username, UID: u.UID, Groups: u.Groups, Extra: extra,
		ResourceAttributes: &authzv1.ResourceAttributes{
			Verb: what.verb, Group: what.group, Version: "*", Resource: what.resource, Subresource: what.subresource,
			Namespace: what.namespace, Name: what.name,
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("cannot have access reviewed: %w", err)
	}

	allowed := review.Status.Allowed && !review.Status.Denied
	a.rights.Add(key, allowed, rightFor)

	return allowed, nil
}

// mayAny returns which of several rights a reader has, in their order.
func (a *Access) mayAny(ctx context.Context, u reader, all []right) ([]bool, error) {
	var (
		wg   sync.WaitGroup
		out  = make([]bool, len(all))
		errs = make([]error, len(all))
	)

	for i, r := range all {
		wg.Go(func() { out[i], errs[i] = a.may(ctx, u, r) })
	}

	wg.Wait()

	return out, errors.Join(errs...)
}
