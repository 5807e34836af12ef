package backend

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/docroot"
	"github.com/mevdschee/tqserver/sdk/cgi"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// phpHandler serves a worker whose processes take CGI scripts. The core is the
// gatekeeper: php-cgi runs whatever it is told to.
type phpHandler struct {
	*worker
	root   *docroot.Root
	folder string         // the document root as configured
	files  api.FileServer // nil when the static module is off
	told   [2]sync.Once   // that PHP_VALUE, PHP_ADMIN_VALUE have no effect
}

func (h *phpHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := h.newCall(w, r)
	from := fastCGIScript(r)
	path := r.URL.Path
	if from != nil {
		path = from.Params.Get("SCRIPT_NAME") // what PHP-FPM compares
	}
	if h.page(w, r, path) {
		return
	}
	var target docroot.Target
	var err error
	if from != nil {
		target, err = h.root.CheckScript(from.Params.Get("SCRIPT_FILENAME"), from.Params.Get("SCRIPT_NAME"), from.Params.Get("PATH_INFO"))
	} else {
		target, err = h.root.Resolve(strings.TrimPrefix(r.URL.Path, h.prefix))
	}
	if err != nil {
		c.fail(unresolved(err))
		return
	}
	switch target.Kind {
	case docroot.Script:
		h.run(c, from, target)
	case docroot.Redirect:
		to := url.URL{Path: h.prefix + target.Location, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
	case docroot.Static:
		if h.files == nil {
			c.fail(failure{
				http.StatusNotFound, slog.LevelInfo, "static files are not served",
				"put `static:` into the configuration", nil,
			})
			return
		}
		h.files.ServeFile(w, r, target.Filename)
	}
}

// over is the same handler before another pool.
func (h *phpHandler) over(p *pool) http.Handler {
	return &phpHandler{worker: h.with(p), root: h.root, folder: h.folder, files: h.files}
}

// unresolved turns a refused path into the answer to it.
func unresolved(err error) failure {
	f := failure{status: http.StatusInternalServerError, level: slog.LevelError, what: "the path could not be resolved", err: err}
	if refused, ok := errors.AsType[*docroot.Error](err); ok {
		f.status, f.what, f.err = refused.Status, refused.Reason, refused.Err
		if f.status < http.StatusInternalServerError {
			f.level = slog.LevelInfo
		}
	}
	return f
}

// run spools the body, then has the script run.
func (h *phpHandler) run(c *call, from *api.FastCGI, target docroot.Target) {
	c.script = target.Filename
	body, f := h.body(c.r)
	if f.status != 0 {
		c.fail(f)
		return
	}
	params := h.params.get()
	defer h.params.put(params)
	*params = h.environment(*params, c.r, from, target, body.size)

	defer c.account()
	sender, err := h.send(c, *params, body)
	if sender == nil {
		body.close()
	}
	if err != nil {
		c.fail(c.notSent(err))
		return
	}
	c.receive(sender)
}

// body keeps the whole body. The failure's status is 0 when there is none.
func (h *phpHandler) body(r *http.Request) (*spooled, failure) {
	if r.Body == nil || r.Body == http.NoBody {
		return &spooled{memory: []byte{}}, failure{}
	}
	s, err := spool(r.Body, r.ContentLength, int64(h.config.BodyMemory), h.spool)
	switch {
	case err == nil && r.ContentLength >= 0 && s.size != r.ContentLength:
		s.close()
		return nil, failure{
			http.StatusBadRequest, slog.LevelInfo, "the request body is not as long as announced", "",
			errors.New("Content-Length " + strconv.FormatInt(r.ContentLength, 10) + ", got " + strconv.FormatInt(s.size, 10)),
		}
	case err == nil:
		return s, failure{}
	case errors.Is(err, errSpool):
		return nil, failure{
			http.StatusInsufficientStorage, slog.LevelError, errSpool.Error(),
			"look at the free space and the rights of server.runtime_folder", err,
		}
	}
	return nil, badBody(err)
}

// badBody is a body that did not come whole.
func badBody(err error) failure {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return failure{
			http.StatusRequestEntityTooLarge, slog.LevelInfo, "the request body is too large",
			"max_body_size of the http and fastcgi sections sets the limit", err,
		}
	}
	if timeout(err) {
		return failure{http.StatusRequestTimeout, slog.LevelInfo, "the client was too slow to send its request body", "", err}
	}
	return failure{http.StatusBadRequest, slog.LevelInfo, "the request body broke off", "", err}
}

// environment is what the script sees. What a web server sent by FastCGI goes
// on unchanged but for what was checked here.
func (h *phpHandler) environment(dst fastcgi.Params, r *http.Request, from *api.FastCGI, target docroot.Target, length int64) fastcgi.Params {
	scriptName, root := h.prefix+target.ScriptName, target.Root
	sent := api.FastCGIFrom(r.Context())
	if sent == nil {
		e := cgi.Env{ServerSoftware: h.software, ContentLength: length}
		if length == 0 && (r.Body == nil || r.Body == http.NoBody) {
			e.ContentLength = -1
		}
		dst = cgi.AppendEnv(dst, r, e)
	} else {
		if from != nil {
			scriptName = target.ScriptName
		}
		for _, p := range sent.Params {
			switch p.Name {
			case "SCRIPT_FILENAME", "SCRIPT_NAME", "PATH_INFO", "PATH_TRANSLATED", "CONTENT_LENGTH", requestID, queueTime:
				continue
			case "REDIRECT_URL":
				// With it php-cgi runs PATH_TRANSLATED, whatever that is, instead of
				// SCRIPT_FILENAME (init_request_info). PHP folds this name to the same
				// one; php-cgi does not know it.
				p.Name = "REDIRECT.URL"
			case "DOCUMENT_ROOT":
				if from == nil {
					continue
				}
				if p.Value == h.folder {
					p.Value = target.Root // where SCRIPT_FILENAME lies
				}
				root = p.Value
			case "PHP_VALUE", "PHP_ADMIN_VALUE":
				// Only PHP-FPM reads them; who could send params could set php.ini.
				h.tellOnce(p, r)
				continue
			}
			dst = append(dst, p)
		}
		dst = append(dst, cgi.Param{Name: "CONTENT_LENGTH", Value: strconv.FormatInt(length, 10)})
	}
	if from == nil {
		dst = append(dst, cgi.Param{Name: "DOCUMENT_ROOT", Value: root})
	}
	dst = append(dst, cgi.Param{Name: "SCRIPT_FILENAME", Value: target.Filename}, cgi.Param{Name: "SCRIPT_NAME", Value: scriptName})
	if target.PathInfo != "" {
		dst = append(dst, cgi.Param{Name: "PATH_INFO", Value: target.PathInfo},
			cgi.Param{Name: "PATH_TRANSLATED", Value: root + target.PathInfo})
	}
	return append(dst, cgi.Param{Name: requestID, Value: api.RequestID(r.Context())}, cgi.Param{Name: queueTime})
}

// tellOnce warns whoever moved here from PHP-FPM.
func (h *phpHandler) tellOnce(p cgi.Param, r *http.Request) {
	which := 0
	if p.Name == "PHP_ADMIN_VALUE" {
		which = 1
	}
	h.told[which].Do(func() {
		h.log.Warn("a web server sends "+p.Name+", which has no effect here (told once)", "client", r.RemoteAddr,
			"hint", "use settings and admin_settings in worker.yaml")
	})
}

// scriptRequest is one as a script gets it.
type scriptRequest struct {
	*call
	params fastcgi.Params
	body   []byte
}

func (q *scriptRequest) send(conn *poolConn) error { return q.startFCGI(conn, q.params, q.body) }

// inOneWrite bounds a body that is sent together with the request's head. A
// larger one might not fit into the socket, and a script that answers before
// it has read everything would wait for us while we wait for it.
const inOneWrite = 64 << 10

// send takes a child and gives it the request. A large body is sent beside the
// reading of the answer by a sender, which closes it and whose end must be
// awaited.
func (h *phpHandler) send(c *call, params fastcgi.Params, body *spooled) (*sync.WaitGroup, error) {
	whole := body.memory
	if body.size > inOneWrite {
		whole = nil // it follows
	}
	if err := c.start(&scriptRequest{c, params, whole}); err != nil || whole != nil {
		return nil, err
	}
	sender := &sync.WaitGroup{}
	conn := c.conn
	sender.Go(func() {
		defer body.close()
		// An error is met by the reading side too, which knows what it means.
		if _, err := conn.ReadFrom(body.reader()); err == nil {
			_ = conn.CloseStdin()
		}
	})
	return sender, nil
}
