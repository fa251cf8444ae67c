// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"embed"
	"io/fs"
	"net/http"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

//go:embed assets
var assets embed.FS

// server answers the page.
type server struct {
	book *book
	// name is the cluster's, as the kubeconfig has it.
	name string
	// live reads what is not followed: events.
	live client.Reader
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the directory is in the binary, or this would not compile
	}
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /api/stream", s.stream)
	for path, question := range map[string]func(*http.Request) (any, error){
		"map":      s.chart,
		"rows":     s.rows,
		"summary":  s.summary,
		"address":  s.address,
		"claim":    s.claim,
		"events":   s.events,
		"search":   s.search,
		"timeline": s.timeline,
	} {
		mux.Handle("GET /api/"+path, answering(question))
	}
	return mux
}

// asked is what most questions name: a pool at a time.
type asked struct {
	*edition
	pool *pool
	// at is the edition's time if none is named.
	at time.Time
}

// asked reads what the question names.
func (s *server) asked(r *http.Request) (*asked, error) {
	now, err := s.book.read(r.Context())
	if err != nil {
		return nil, err
	}
	a := &asked{edition: now, at: now.Time}
	if text := r.FormValue("at"); text != "" {
		if a.at, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, &refusal{http.StatusBadRequest, "the time " + text + " is not one: it is written as 2026-11-26T10:00:00Z"}
		}
	}
	if name := r.FormValue("pool"); name != "" {
		if a.pool = now.Pool(name); a.pool == nil {
			return nil, &refusal{http.StatusNotFound, "there is no pool " + name}
		}
		if a.pool.Plan == nil {
			return nil, &refusal{http.StatusConflict, "pool " + name + " leases nothing, because " + a.pool.Err.Error()}
		}
	}
	return a, nil
}
