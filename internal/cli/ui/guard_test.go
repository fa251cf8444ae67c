// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestGuard: nobody is answered but who has the token, under the address that was printed, and only reads.
// sent is a cookie as a browser sends it, which tells nothing but name and value.
func sent(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value} //nolint:gosec // G124: its attributes are not sent
}

func TestGuard(t *testing.T) {
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("secret")) })
	g := newGuard(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}, inside)
	good := sent("macpool-4711", g.token)
	for name, test := range map[string]struct {
		method, host, target string
		cookie               *http.Cookie
		want                 int
	}{
		"with the cookie":               {cookie: good, want: http.StatusOK},
		"as localhost":                  {host: "localhost:4711", cookie: good, want: http.StatusOK},
		"without a cookie":              {want: http.StatusForbidden},
		"with another's cookie":         {cookie: sent("macpool-4711", "x"+g.token[1:]), want: http.StatusForbidden},
		"with an empty cookie":          {cookie: sent("macpool-4711", ""), want: http.StatusForbidden},
		"with a cookie of another port": {cookie: sent("macpool-4712", g.token), want: http.StatusForbidden},
		"with the token":                {target: "/?token=" + g.token, want: http.StatusSeeOther},
		"with a wrong token":            {target: "/?token=x", want: http.StatusForbidden},
		"by a name that leads here":     {host: "evil.example:4711", cookie: good, want: http.StatusMisdirectedRequest},
		"by that name with the token":   {host: "evil.example:4711", target: "/?token=" + g.token, want: http.StatusMisdirectedRequest},
		"on another port":               {host: "127.0.0.1:80", cookie: good, want: http.StatusMisdirectedRequest},
		"a write":                       {method: http.MethodPost, cookie: good, want: http.StatusMethodNotAllowed},
		"a deletion":                    {method: http.MethodDelete, target: "/api/map", cookie: good, want: http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			method, target := cmp.Or(test.method, http.MethodGet), cmp.Or(test.target, "/api/map")
			r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
			r.Host = cmp.Or(test.host, "127.0.0.1:4711")
			if test.cookie != nil {
				r.AddCookie(test.cookie)
			}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("status %d, want %d: %s", w.Code, test.want, w.Body)
			}
			if answered := strings.Contains(w.Body.String(), "secret"); answered != (test.want == http.StatusOK) {
				t.Errorf("answered: %v", answered)
			}
			policy := w.Header().Get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
				t.Errorf("policy %q", policy)
			}
		})
	}
}

// TestCookie: the token becomes a cookie that scripts do not see and other sites' requests do not carry, and leaves the address bar.
func TestCookie(t *testing.T) {
	g := newGuard(&net.TCPAddr{Port: 4711}, http.NotFoundHandler())
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, g.address(), nil)
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	answer := w.Result()
	defer func() { _ = answer.Body.Close() }()
	if got := answer.Header.Get("Location"); got != "/" {
		t.Errorf("redirected to %q", got)
	}
	cookies := answer.Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Domain != "" || cookies[0].Value != g.token {
		t.Errorf("cookies %v", cookies)
	}
}
