package meter

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAskUsage(t *testing.T) {
	cases := map[string]struct {
		reason, body string
		api          API
		want         string
	}{
		"Absent":    {"The option is added, and nothing else changes.", "{ \"model\":\"m\",\n\"stream\" : true } ", Chat, "{\"stream_options\":{\"include_usage\":true}, \"model\":\"m\",\n\"stream\" : true } "},
		"Null":      {"An option that is null is none.", `{"stream":true,"stream_options": null }`, Chat, `{"stream":true,"stream_options":{"include_usage":true}}`},
		"Empty":     {"The option joins no others.", `{"stream":true,"stream_options":{ }}`, Chat, `{"stream":true,"stream_options":{"include_usage":true }}`},
		"Others":    {"The option joins others.", `{"stream_options":{"x":[1]},"stream":true}`, Chat, `{"stream_options":{"include_usage":true,"x":[1]},"stream":true}`},
		"False":     {"What was declined is asked for.", `{"stream":true,"stream_options":{"include_usage":false,"y":1}}`, Completions, `{"stream":true,"stream_options":{"include_usage":true,"y":1}}`},
		"Twice":     {"The last of two is the one that counts.", `{"stream":false,"stream_options":{"include_usage":true},"stream":true,"stream_options":{"include_usage":false}}`, Chat, `{"stream":false,"stream_options":{"include_usage":true},"stream":true,"stream_options":{"include_usage":true}}`},
		"True":      {"What was asked for need not be.", `{"stream":true,"stream_options":{"include_usage":true}}`, Chat, ""},
		"NoStream":  {"A whole answer has its usage.", `{"stream":false}`, Chat, ""},
		"NotSet":    {"An answer is whole unless it is asked for in events.", `{"messages":[{"stream":true}]}`, Chat, ""},
		"Word":      {"What is wrong is for the server to say.", `{"stream":true,"stream_options":{"include_usage":"x"}}`, Chat, ""},
		"Number":    {"What is wrong is for the server to say.", `{"stream":true,"stream_options":7}`, Chat, ""},
		"NoJSON":    {"What is no JSON passes.", `{"stream":true,`, Chat, ""},
		"Trailing":  {"What has more behind it passes.", `{"stream":true} {}`, Chat, ""},
		"Nothing":   {"Nothing is nothing.", ``, Chat, ""},
		"List":      {"A list is no request.", `[{"stream":true}]`, Chat, ""},
		"Responses": {"Other streams have their usage anyhow.", `{"stream":true}`, Responses, ""},
		"Messages":  {"Other streams have their usage anyhow.", `{"stream":true}`, Messages, ""},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := ReadRequest(tc.api, []byte(tc.body)).AskUsage([]byte(tc.body))
			if diff := cmp.Diff(tc.want, string(got)); diff != "" || ok != (tc.want != "") {
				t.Errorf("%s\nasked %t, -want, +got:\n%s", tc.reason, ok, diff)
			}
		})
	}
}

func TestReadRequest(t *testing.T) {
	cases := map[string]struct {
		reason, body, model string
		stream              bool
	}{
		"Usual":   {"The name and the way are read.", `{"model":"gpt-4o","stream":true}`, "gpt-4o", true},
		"Inner":   {"Only the request's own members count.", `{"metadata":{"model":"x","stream":true},"model":"m"}`, "m", false},
		"Escaped": {"A name may be escaped.", `{"model":"a\/b"}`, "a/b", false},
		"Long":    {"Nobody's name is that long.", `{"model":"` + strings.Repeat("x", 300) + `"}`, "", false},
		"Number":  {"A number is no name.", `{"model":4}`, "", false},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if r := ReadRequest(Chat, []byte(tc.body)); r.Model != tc.model || r.Stream != tc.stream {
				t.Errorf("%s\ngot %q, stream %t", tc.reason, r.Model, r.Stream)
			}
		})
	}
}

func TestDetect(t *testing.T) {
	cases := map[string]API{
		"POST /v1/chat/completions": Chat, "POST /chat/completions/": Chat, "POST /openai/deployments/d/chat/completions": Chat,
		"POST /v1/completions": Completions, "POST /v1/responses": Responses, "POST /v1/embeddings": Embeddings,
		"POST /v1/messages": Messages, "POST /messages": Messages, "POST /v1/messages/count_tokens": Uncounted,
		"POST /v1/threads/t/messages": Uncounted, "GET /v1/chat/completions": Uncounted, "GET /v1/responses/r": Uncounted, "POST /": Uncounted,
	}

	for in, want := range cases {
		method, path, _ := strings.Cut(in, " ")
		if got := Detect(method, path); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

// FuzzRequest holds that asking for usage changes that one option and nothing else.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"model":"m","stream":true,"stream_options":{"include_usage":false,"x":1},"messages":[{"content":"\"}"}]}`))
	f.Add([]byte(`{"stream":true}`))
	f.Add([]byte(`{"str\u0065am":true,"stream_options":null}`))

	f.Fuzz(func(t *testing.T, body []byte) {
		before := string(body)
		r := ReadRequest(Chat, body)
		asked, ok := r.AskUsage(body)

		if string(body) != before {
			t.Fatal("the body was changed in place")
		}

		if !ok {
			return
		}

		var want, got map[string]any
		if json.Unmarshal(body, &want) != nil || json.Unmarshal(asked, &got) != nil {
			t.Fatalf("%q became %q, which is no object", body, asked)
		}

		options, _ := got["stream_options"].(map[string]any)
		if options["include_usage"] != true {
			t.Fatalf("%q became %q, which does not ask for usage", body, asked)
		}

		// Without the option both are the same.
		old, _ := want["stream_options"].(map[string]any)
		delete(old, "include_usage")
		delete(options, "include_usage")

		if len(old) == 0 {
			delete(want, "stream_options")
		}

		if len(options) == 0 {
			delete(got, "stream_options")
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q became %q: -want, +got:\n%s", body, asked, diff)
		}
	})
}
