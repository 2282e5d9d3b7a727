package vectorcollection

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

func TestParseCredentials(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     string
		want   vector.Access
		err    string
	}{
		"Key":          {reason: "A key is all there is.", in: "sk-hush\n", want: vector.Access{APIKey: "sk-hush"}},
		"User":         {reason: "The password is all that follows the first colon.", in: "me:hu:sh", want: vector.Access{User: "me", Password: "hu:sh"}},
		"URL":          {reason: "A URL may be pasted whole.", in: "postgres://me:hu%40sh@db:5432/x", want: vector.Access{User: "me", Password: "hu@sh"}},
		"JSON":         {reason: "JSON names its parts.", in: `{"user":"me","password":"hush"}`, want: vector.Access{User: "me", Password: "hush"}},
		"JSONKey":      {reason: "A key may have a colon in it.", in: `{"apiKey":"hu:sh"}`, want: vector.Access{APIKey: "hu:sh"}},
		"Empty":        {reason: "Nothing is no credentials.", in: " \n", err: "they are empty"},
		"Lines":        {reason: "A certificate pasted by mistake is no key.", in: "hush\nhush", err: "they have more than one line"},
		"NoPassword":   {reason: "Half of it is none.", in: "hush:", err: "user:password lacks one of them"},
		"URLNoUser":    {reason: "A URL without credentials holds none.", in: "http://hush", err: "they are a URL without user and password"},
		"URLBroken":    {reason: "The parser's own message would tell the password.", in: "http://me:hush%zz@x", err: "they look like a URL and are none: escape special characters, or use JSON"},
		"JSONOther":    {reason: "A misspelled field is no field.", in: `{"user":"me","pasword":"hush"}`, err: "they are no JSON object with only the fields user, password and apiKey"},
		"JSONTwice":    {reason: "What follows would be lost.", in: `{"user":"me"} hush`, err: "something follows the JSON object"},
		"JSONNothing":  {reason: "An empty object holds none.", in: `{}`, err: "the JSON object has none of the fields user, password and apiKey"},
		"JSONBroken":   {reason: "The decoder's own message could tell the password.", in: `{"user": hush}`, err: "they are no JSON object with only the fields user, password and apiKey"},
		"FileMistaken": {reason: "A large file is no key.", in: strings.Repeat("hush", storeconfig.MaxCredentials), err: "they are too long to be credentials"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseCredentials([]byte(tc.in))

			text := ""
			if err != nil {
				text = err.Error()
			}

			if diff := cmp.Diff(tc.err, text); diff != "" {
				t.Errorf("%s\nerror: -want, +got:\n%s", tc.reason, diff)
			}

			if strings.Contains(text, "hush") {
				t.Errorf("%s\nthe error tells the secret: %s", tc.reason, text)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// Whatever is in a Secret, reading it neither panics nor tells of it.
func FuzzParseCredentials(f *testing.F) {
	for _, seed := range []string{"key", "user:password", "http://u:p@h", `{"user":"u"}`, "{", "://", "\x00"} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, in string) {
		const secret = "S3CR3T"

		if _, err := parseCredentials([]byte(in + secret)); err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells the secret: %v", err)
		}
	})
}
