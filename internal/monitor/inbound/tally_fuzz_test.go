package inbound

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"
)

// FuzzTally holds that whatever an agent answers is what its client gets, and that what was counted is there to be counted.
func FuzzTally(f *testing.F) {
	for _, s := range []string{
		`{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}`, "data: {\"statusUpdate\":{\"taskId\":\"t\",\"status\":{\"state\":\"x\"}}}\n\n",
		"data: {\ndata\n\r\n:\n", `{"tasks":[{},{"id":7}],"result":{"result":null}}`,
	} {
		f.Add([]byte(s), true, uint8(3))
		f.Add([]byte(s), false, uint8(200))
	}

	f.Fuzz(func(t *testing.T, answer []byte, stream bool, size uint8) {
		tally := &Tally{now: time.Now, tasks: map[string]*task{}, room: &room{}}
		tally.blind = time.Time{}

		l := tally.listen(kind{task: true, a2a: true})
		rsp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {plainJSON}}, Body: io.NopCloser(bytes.NewReader(answer))}

		if stream {
			rsp.Header.Set("Content-Type", events)
		}

		l.answered(rsp)

		var got []byte

		for b := make([]byte, int(size)+1); ; {
			n, err := rsp.Body.Read(b)
			got = append(got, b[:n]...)

			if err != nil {
				break
			}
		}

		l.end()

		if !bytes.Equal(got, answer) {
			t.Fatalf("%q became %q", answer, got)
		}

		if tally.unnamed != 0 || l.buf.Len() > longestAnswer {
			t.Fatalf("%d are open, %d bytes are kept", tally.unnamed, l.buf.Len())
		}
	})
}
