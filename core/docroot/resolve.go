package docroot

import (
	"fmt"
	"iter"
	"net/http"
	"strings"
)

// Resolve finds what answers urlPath: the decoded URL path below the worker's
// prefix, "" for the prefix itself. Every error is an *Error.
func (r *Root) Resolve(urlPath string) (Target, error) {
	where, known := r.place()
	if t, ok := r.byPath.get(urlPath, where); ok && known {
		return t, nil
	}
	t, err := r.resolve(urlPath)
	if err == nil && t.Kind == Script {
		err = r.name(&t)
		// A front controller answers for what does not exist, which may come to be.
		if err == nil && known && strings.HasPrefix(urlPath, t.ScriptName) {
			r.byPath.put(strings.Clone(urlPath), where, t)
		}
	}
	return t, err
}

func (r *Root) resolve(urlPath string) (Target, error) {
	if urlPath == "" {
		return r.folder("", urlPath)
	}
	p, bad := clean(urlPath)
	if bad != nil {
		return Target{}, bad
	}
	if t, rest, err := r.split(p); err != nil || t.Kind == Script {
		t.PathInfo = rest
		return t, err
	}
	if i := hidden(p); i >= 0 {
		// RFC 8615: what lies below /.well-known is meant for the public.
		const public = "/.well-known/"
		if !strings.HasPrefix(p, public) || hidden(p[len(public)-1:]) >= 0 {
			return Target{}, &Error{Status: http.StatusNotFound, Reason: fmt.Sprintf("hidden name in path %.100q", p)}
		}
	}
	if p[len(p)-1] == '/' {
		return r.folder(p[:len(p)-1], p)
	}
	f, err := r.lookup(r.root+p, p, true)
	switch {
	case err != nil && missing(err):
		return r.fallback(p)
	case err != nil:
		return Target{}, failure(err)
	case f.folder():
		return r.folder(p, p)
	default:
		return r.static(p, f)
	}
}

// split finds the first segment of p from the left that is a script: an
// existing regular file with a script's extension. What follows it is rest. A
// Target without Kind means that there is none. Segments from the first
// hidden one on are not tried.
func (r *Root) split(p string) (t Target, rest string, err error) {
	end := len(p)
	if i := hidden(p); i >= 0 {
		end = i - 1
	}
	for to := range r.candidates(p, end) {
		f, err := r.lookup(r.root+p[:to], p[:to], false)
		switch {
		case err != nil && missing(err):
			return Target{}, "", nil // so is all that would lie below
		case err != nil:
			return Target{}, "", failure(err)
		case f.regular():
			return Target{Kind: Script, ScriptName: p[:to]}, p[to:], nil
		}
	}
	return Target{}, "", nil
}

// candidates yields, from the left, where the segments of p[:end] that have a
// script's extension end.
func (r *Root) candidates(p string, end int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for from := 1; from <= end; {
			to := end
			if i := strings.IndexByte(p[from:end], '/'); i >= 0 {
				to = from + i
			}
			if r.script(p[:to]) && !yield(to) {
				return
			}
			from = to + 1
		}
	}
}

// folder answers for the folder dir (without a trailing slash) that was asked
// for as p. The redirect comes only when there is something to redirect to:
// front controllers redirect the other way, and the two must not meet.
func (r *Root) folder(dir, p string) (Target, error) {
	for _, name := range r.index {
		p2 := dir + "/" + name
		run := r.script(name) && hidden(dir) < 0
		f, err := r.lookup(r.root+p2, p2, !run)
		switch {
		case err != nil && missing(err):
			continue
		case err != nil:
			return Target{}, failure(err)
		case !f.regular():
			continue
		case p == dir:
			return Target{Kind: Redirect, Location: dir + "/"}, nil
		case run:
			return Target{Kind: Script, ScriptName: p2}, nil
		}
		return r.static(p2, f)
	}
	return r.fallback(p)
}

// static answers with the file f, asked for as p. Both its names must be fit
// to be shown: a symlink page.txt -> page.php does not show the source.
func (r *Root) static(p string, f found) (Target, error) {
	if !f.regular() {
		return Target{}, &Error{Status: http.StatusForbidden, Reason: fmt.Sprintf("%.100q is not a regular file", p)}
	}
	if !r.showable(p) || (f.rel != p && (!r.showable(f.rel) || hidden(f.rel) >= 0)) {
		return Target{}, &Error{Status: http.StatusForbidden, Reason: fmt.Sprintf("%.100q is never sent as a static file", p)}
	}
	return Target{Kind: Static, Filename: f.real}, nil
}

// fallback answers for a path that names nothing. PHP gets no PATH_INFO then,
// as behind nginx's try_files: applications read REQUEST_URI.
func (r *Root) fallback(p string) (Target, error) {
	if r.front == "" {
		return Target{}, &Error{Status: http.StatusNotFound, Reason: fmt.Sprintf("no such file: %.100q", p)}
	}
	f, err := r.lookup(r.root+r.front, r.front, false)
	switch {
	case err != nil && missing(err):
		return Target{}, &Error{Status: http.StatusNotFound, Reason: "front controller " + r.front, Err: err}
	case err != nil:
		return Target{}, failure(err)
	case !f.regular():
		return Target{}, &Error{Status: http.StatusNotFound, Reason: "front controller " + r.front + " is not a regular file"}
	}
	return Target{Kind: Script, ScriptName: r.front}, nil
}
