// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strings"
)

// guard lets nobody ask but who has the address that was printed.
type guard struct {
	// port is that of the listener. Cookies are a host's, whatever the port, so it is in the cookie's name: two of these can be open.
	port  string
	token string
	next  http.Handler
}

func newGuard(listener net.Addr, next http.Handler) *guard {
	_, port, _ := net.SplitHostPort(listener.String()) // a listener's address has a port
	return &guard{port: port, token: rand.Text(), next: next}
}

// address is what the person opens.
func (g *guard) address() string {
	return "http://" + net.JoinHostPort("127.0.0.1", g.port) + "/?token=" + g.token
}

func (g *guard) cookie() string { return "macpool-" + g.port }

// policy allows the page what it is made of, and no way to turn text into markup or script.
var policy = strings.Join([]string{
	"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
	"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
}, "; ")

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range map[string]string{
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		w.Header().Set(name, value)
	}
	switch {
	case !slices.Contains([]string{"127.0.0.1:" + g.port, "localhost:" + g.port}, r.Host):
		refuse(w, http.StatusMisdirectedRequest, "this server answers only under the address that it printed")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "this server only reads: there is nothing to do but GET")
	case g.matches(r.URL.Query().Get("token")):
		http.SetCookie(w, &http.Cookie{Name: g.cookie(), Value: g.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}) //nolint:gosec // G124: loopback is HTTP
		http.Redirect(w, r, "/", http.StatusSeeOther)                                                                                   // so that the token does not stay in the address bar
	case !g.knows(r):
		refuse(w, http.StatusForbidden, "open the address with the token that kubectl macpool ui printed")
	default:
		g.next.ServeHTTP(w, r)
	}
}

// knows tells whether the request has a cookie with the token.
func (g *guard) knows(r *http.Request) bool {
	cookie, err := r.Cookie(g.cookie())
	return err == nil && g.matches(cookie.Value)
}

func (g *guard) matches(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(g.token)) == 1
}
