package front

import (
	"bufio"
	"net"
	"net/http"
	"sync"
)

// upgradable lets a request's generation go when its connection is taken over
// for another protocol, which may last for days: from then on it is its worker's
// alone, which says goodbye when it is the worker that ends or changes.
type upgradable struct {
	http.ResponseWriter
	leave func()
}

// asksUpgrade says whether the connection might be taken over.
func asksUpgrade(r *http.Request) bool { return len(r.Header["Upgrade"]) > 0 }

// serveUpgradable serves a request that has entered t.
func (t *target) serveUpgradable(w http.ResponseWriter, r *http.Request) {
	u := &upgradable{ResponseWriter: w, leave: sync.OnceFunc(t.requests.leave)}
	defer u.leave()
	t.ServeHTTP(u, r)
}

// Unwrap is for http.ResponseController.
func (u *upgradable) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// Flush implements http.Flusher, for who asks by a type assertion.
func (u *upgradable) Flush() { _ = http.NewResponseController(u.ResponseWriter).Flush() }

// Hijack implements http.Hijacker.
func (u *upgradable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err == nil {
		u.leave()
	}
	return c, buffered, err
}
