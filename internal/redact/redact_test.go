package redact_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"segsync/internal/redact"
)

const secret = `ca+na"r\y&/key é%41😀`

func escapeAll(s, format string) string {
	var all strings.Builder
	for _, b := range []byte(s) {
		fmt.Fprintf(&all, format, b)
	}
	return all.String()
}

func marshal(s string) string {
	b, _ := json.Marshal(s)
	return string(b[1 : len(b)-1])
}

// A secret is found in every form in which a server may repeat it.
func TestForms(t *testing.T) {
	std, raw := base64.StdEncoding, base64.RawURLEncoding
	quoted := strconv.Quote(secret)
	for name, written := range map[string]string{
		"plain":                    secret,
		"JSON":                     marshal(secret),
		"JSON in JSON":             marshal(marshal(secret)),
		"Go":                       quoted[1 : len(quoted)-1],
		"query":                    url.QueryEscape(secret),
		"path":                     url.PathEscape(secret),
		"every byte, upper case":   escapeAll(secret, "%%%02X"),
		"every byte, lower case":   escapeAll(secret, "%%%02x"),
		"escaped twice":            url.PathEscape(url.PathEscape(secret)),
		"base64":                   std.EncodeToString([]byte(secret)),
		"base64 for URLs":          raw.EncodeToString([]byte(secret)),
		"base64, user":             std.EncodeToString([]byte(secret + ":")),
		"base64, password":         std.EncodeToString([]byte("id:" + secret)),
		"base64, another password": raw.EncodeToString([]byte("1234:" + secret)),
		"base64 for URLs, pair":    raw.EncodeToString([]byte("some-id:" + secret)),
	} {
		got := redact.New("another secret", secret).String("<" + written + ">")
		if strings.Contains(name, "base64") {
			// The letters before a slash are those of the public part.
			if left, ok := strings.CutSuffix(got, redact.Mark+">"); !ok || strings.Count(left, "/") > 1 || len(left) > 12 {
				t.Errorf("%s: %s became %s", name, written, got)
			}
		} else if got != "<"+redact.Mark+">" {
			t.Errorf("%s: %s became %s", name, written, got)
		}
	}
}

// Any character may be written as \u00XX, in either case of the digits.
func TestEscapedCharacters(t *testing.T) {
	r := redact.New("CANARY-key")
	for _, text := range []string{
		`\u0043ANARY-key`, `CANARY\u002dkey`, `CANARY\u002Dkey`, `CANARY-ke\u0079`, `C\\u0041NARY-key`,
		`\u0043\u0041\u004e\u0041\u0052\u0059\u002d\u006b\u0065\u0079`, `\x43ANARY-key`, `CANARY%2dkey`, `%43ANARY-key`,
	} {
		if got, want := r.String(`{"message":"`+text+`"}`), `{"message":"[secret]"}`; got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
		if got := string(r.Bytes([]byte(text))); got != "[secret]" {
			t.Errorf("Bytes: %s became %s", text, got)
		}
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

// Base64 is taken out as a whole, but nothing around it.
func TestBase64InText(t *testing.T) {
	const key = "canary-secret-key"
	encoded := base64.StdEncoding.EncodeToString([]byte("app:" + key))
	r := redact.New(key)
	for text, want := range map[string]string{
		"Authorization: Basic " + encoded + " was wrong": "Authorization: Basic [secret] was wrong",
		"https://example.com/v1/" + encoded + "/x":       "https://example.com/v1/[secret]/x",
		"token=" + encoded + "&a=b":                      "token=[secret]&a=b",
	} {
		if got := r.String(text); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}

// Whatever precedes or follows a secret, and whatever escape its bytes have, it is found,
// and the text around it stays.
func FuzzString(f *testing.F) {
	f.Add("before", "canary-key", "after", uint64(0))
	f.Add(`\`, `a\b%c`, `\u`, uint64(0x123456))
	f.Fuzz(func(t *testing.T, before, key, after string, forms uint64) {
		if len(key) < 4 || strings.ContainsAny(key, "[]\\%+") || strings.ContainsAny(before, "\\%") {
			return
		}
		var written strings.Builder
		for i, b := range []byte(key) {
			switch forms >> (2 * (i % 32)) & 3 {
			case 0, 1:
				written.WriteByte(b)
			case 2:
				fmt.Fprintf(&written, "%%%02x", b)
			case 3:
				if b < 0x80 {
					fmt.Fprintf(&written, `\u%04X`, b)
				} else {
					written.WriteByte(b)
				}
			}
		}
		got := redact.New(key).String(before + written.String() + after)
		if !strings.Contains(got, redact.Mark) || strings.Contains(got, key) {
			t.Errorf("%q of %q: %q", written.String(), key, got)
		}
	})
}
