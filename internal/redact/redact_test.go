package redact_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"segsync/internal/redact"
)

const secret = `ca+na"r\y&/key é%41😀`

func marshal(s string) string {
	b, _ := json.Marshal(s)
	return string(b[1 : len(b)-1])
}

// A secret is found in every form in which a server may repeat it.
func TestForms(t *testing.T) {
	quoted := strconv.Quote(secret)
	component := strings.ReplaceAll(url.QueryEscape(secret), "+", "%20")
	for name, written := range map[string]string{
		"plain":                 secret,
		"any character escaped": `\u0063a+n\u0061\u0022r\u005Cy\u0026\u002Fkey é%41😀`,
		"HTML":                  html.EscapeString(secret),
		"JSON":                  marshal(secret),
		"JSON in JSON":          marshal(marshal(secret)),
		"JSON, slashes escaped": strings.ReplaceAll(quoted[1:len(quoted)-1], "/", `\/`),
		"Go":                    quoted[1 : len(quoted)-1],
		"query":                 url.QueryEscape(secret),
		"path":                  url.PathEscape(secret),
		"component":             component,
		"component, lower case": strings.NewReplacer("%2B", "%2b", "%5C", "%5c", "%2F", "%2f", "%C3%A9", "%c3%a9", "%F0%9F", "%f0%9f").Replace(component),
		"path, escaped twice":   url.PathEscape(url.PathEscape(secret)),
		"a query within JSON":   marshal(url.QueryEscape(secret)),
	} {
		if got := redact.New("another secret", secret).String("<" + written + ">"); got != "<"+redact.Mark+">" {
			t.Errorf("%s: %s became %s", name, written, got)
		}
	}
}

// In base64, the letters of a secret are taken out. Those around it, which depend on other
// bytes, too, may stay.
func TestBase64(t *testing.T) {
	const key = "canary/secret+key?~~~"
	r := redact.New(key)
	for name, encoding := range map[string]*base64.Encoding{"standard": base64.StdEncoding, "URL": base64.URLEncoding, "raw": base64.RawStdEncoding} {
		for _, format := range []string{"%s", "%s:", "id:%s", "1234:%s", "application-id:%s", "Basic %s:", "%s and more"} {
			encoded := encoding.EncodeToString(fmt.Appendf(nil, format, key))
			for escaping, written := range map[string]string{"not": encoded, "JSON": marshal(encoded), "URL": url.QueryEscape(encoded)} {
				got := r.String("<" + written + ">")
				around := strings.Replace(got, redact.Mark, "", 1)
				if !strings.Contains(got, redact.Mark) || len(around) > len("<>id:app") {
					t.Errorf("%s, %s, escaped: %s: %s became %s", name, format, escaping, written, got)
				}
			}
		}
	}
	basic := base64.StdEncoding.EncodeToString([]byte(key + ":"))
	if got := r.String("Authorization: Basic " + basic + " was wrong"); !strings.HasPrefix(got, "Authorization: Basic [secret]") || !strings.HasSuffix(got, " was wrong") {
		t.Error(got)
	}
}

func TestWhatIsLeftAlone(t *testing.T) {
	for _, text := range []string{
		"", "canary", "CANARY-ke", `\`, `\\`, `\u`, `\u00`, "%", "%4", "%zz", `\ud83d`, `\ud83d\u`, `CANARY\`, `a\nb`, "Q0FOQVI",
		`{"path":"C:\\dir","percent":"100%","plus":"1+1"}`,
	} {
		if got := redact.New("CANARY-key", "", "abc").String(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	var none *redact.Redactor
	if got := none.String(secret); got != secret {
		t.Errorf("nil: %q", got)
	}
}

// Nothing is left of a secret that begins like another, and each one is found.
func TestSeveralSecrets(t *testing.T) {
	for _, secrets := range [][]string{{"canary", "canary-long"}, {"canary-long", "canary"}} {
		got := redact.New(secrets...).String("canary-long, canary and canarycanary-long")
		if want := "[secret], [secret] and [secret][secret]"; got != want {
			t.Errorf("%q: %q, want %q", secrets, got, want)
		}
	}
}
