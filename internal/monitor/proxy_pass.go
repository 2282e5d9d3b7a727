package monitor

import (
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strings"
	"sync"
)

// hops are the headers that are for the next hop alone: RFC 9110, section 7.6.1, and what came before it.
var hops = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authenticate", "Proxy-Authorization",
}

// claims are what an agent says of who it asks for. A model server need not know who is behind the monitor.
var claims = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// pass sends a call whose body is held, and passes the answer. It does for such a one what the standard library's reverse
// proxy does, which is made for all there is and copies each request twice.
func (p *Proxy) pass(rw http.ResponseWriter, r *http.Request, c *call) {
	first := &interim{rw: rw}
	out := p.outgoing(r, first)

	rsp, err := p.sendCall(out, c)

	first.end()

	if err == nil && rsp.StatusCode == http.StatusSwitchingProtocols {
		_ = rsp.Body.Close()
		err = errors.New("it changes to a protocol that nobody asked for")
	}

	if err != nil {
		p.failed(rw, out, err)

		return
	}
	defer rsp.Body.Close()

	dropHops(rsp.Header)
	maps.Copy(rw.Header(), rsp.Header)

	announced := len(rsp.Trailer)
	for name := range rsp.Trailer {
		rw.Header().Add("Trailer", name)
	}

	rw.WriteHeader(rsp.StatusCode)

	if err := p.passBody(rw, rsp); err != nil {
		// What broke off must not look whole to the agent. This tells the server.
		panic(http.ErrAbortHandler)
	}

	passTrailers(rw, rsp.Trailer, announced)
}

// outgoing returns the request as the model server gets it, without a body. Its header is its own.
func (p *Proxy) outgoing(r *http.Request, first *interim) *http.Request {
	out := r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: first.pass}))

	// What the server read it from is no part of it.
	out.RequestURI, out.TransferEncoding, out.Trailer, out.Close, out.Body = "", nil, nil, false, nil

	// The values stay as they are: only whole headers are replaced.
	out.Header = maps.Clone(r.Header)
	dropHops(out.Header)

	for _, name := range claims {
		delete(out.Header, name)
	}

	if trailers(r.Header["Te"]) {
		out.Header["Te"] = []string{"trailers"}
	}

	if _, ok := out.Header["User-Agent"]; !ok {
		// Else the standard library names itself.
		out.Header["User-Agent"] = []string{""}
	}

	where := *r.URL
	out.URL = &where
	(&httputil.ProxyRequest{In: r, Out: out}).SetURL(p.target)
	out.Host = p.target.Host

	return out
}

// passBody passes an answer's body. A stream, or what has no length, is passed as it arrives.
func (p *Proxy) passBody(rw http.ResponseWriter, rsp *http.Response) error {
	media, _, _ := mime.ParseMediaType(rsp.Header.Get("Content-Type"))
	flush := func() error { return nil }

	if rsp.ContentLength < 0 || media == "text/event-stream" {
		flush = http.NewResponseController(rw).Flush

		// The words may come much later.
		if err := flush(); err != nil {
			return err
		}
	}

	buf := p.buffers.Get()
	defer p.buffers.Put(buf)

	for {
		n, err := rsp.Body.Read(buf)
		if n > 0 {
			if _, err := rw.Write(buf[:n]); err != nil {
				return err
			}

			if err := flush(); err != nil {
				return err
			}
		}

		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// passTrailers passes what came behind the body: as trailers that were announced, where all were, or else as those that were not.
func passTrailers(rw http.ResponseWriter, told http.Header, announced int) {
	if len(told) == 0 {
		return
	}

	// A body in chunks has trailers, one with a length has none. Of a writer that cannot flush there are none to expect.
	_ = http.NewResponseController(rw).Flush()

	prefix := ""
	if len(told) != announced {
		prefix = http.TrailerPrefix
	}

	for name, values := range told {
		rw.Header()[prefix+name] = values
	}
}

// dropHops drops the headers that are not for who is behind the next hop.
func dropHops(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}

	for _, name := range hops {
		delete(h, name)
	}
}

// trailers says whether who asks understands trailers, as the next hop may want to know.
func trailers(te []string) bool {
	return slices.ContainsFunc(te, func(list string) bool {
		return slices.ContainsFunc(strings.Split(list, ","), func(name string) bool { return strings.EqualFold(strings.TrimSpace(name), "trailers") })
	})
}

// An interim passes the answers that come before the answer. The standard library tells them from a goroutine of its own, and
// it may be late.
type interim struct {
	mu sync.Mutex
	rw http.ResponseWriter
}

func (i *interim) pass(code int, h textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()

	if i.rw == nil {
		return nil
	}

	maps.Copy(i.rw.Header(), http.Header(h))
	i.rw.WriteHeader(code)
	clear(i.rw.Header())

	return nil
}

// end says that the answer is there, whose headers follow.
func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()

	i.rw = nil
}
