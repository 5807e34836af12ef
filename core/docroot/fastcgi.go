package docroot

import (
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sys/unix"
)

// CheckScript decides on a request that came by FastCGI with these three
// params ("" for an absent one), and returns the Script that PHP is to get
// instead of them. They stay as they are but for what PHP-FPM corrects too:
// Apache's proxy URL in SCRIPT_FILENAME, and a PATH_INFO left in it. Every
// error is an *Error.
func (r *Root) CheckScript(scriptFilename, scriptName, pathInfo string) (Target, error) {
	key := scriptNames{scriptFilename, scriptName, pathInfo}
	where, known := r.place()
	if t, ok := r.byNames.get(key, where); ok && known {
		return t, nil
	}
	t, err := r.checkScript(scriptFilename, scriptName, pathInfo)
	if err == nil && known {
		r.byNames.put(scriptNames{strings.Clone(scriptFilename), strings.Clone(scriptName), strings.Clone(pathInfo)}, where, t)
	}
	return t, err
}

func (r *Root) checkScript(scriptFilename, scriptName, pathInfo string) (Target, error) {
	filename, apache := stripProxy(scriptFilename)
	if filename == "" || filename[0] != '/' {
		return Target{}, &Error{
			Status: http.StatusNotFound, Reason: reasonUnknown,
			Err: fmt.Errorf("SCRIPT_FILENAME %.100q is not an absolute path", filename),
		}
	}
	name, bad := clean(filename)
	if bad != nil {
		return Target{}, bad
	}
	t, rest, err := r.find(name)
	if err != nil {
		return Target{}, err
	}
	t.ScriptName, t.PathInfo = fixPathInfo(scriptName, pathInfo, rest, apache)
	return t, nil
}

// find finds the script of the cleaned, absolute name.
func (r *Root) find(name string) (t Target, rest string, err error) {
	rel, ok := below(r.root, name)
	if !ok {
		if rel, ok, err = r.relative(name); err != nil {
			return Target{}, "", err
		}
		if !ok {
			return Target{}, "", &Error{
				Status: http.StatusForbidden, Reason: reasonDenied,
				Err: fmt.Errorf("SCRIPT_FILENAME %.200q %w", name, errOutside),
			}
		}
	}
	t, rest, err = r.split(rel)
	if err != nil {
		return Target{}, "", err
	}
	if t.Kind == Script {
		return t, rest, r.name(&t)
	}
	rel = strings.TrimSuffix(rel, "/")
	if _, err := r.lookup(r.root+rel, rel, false); err != nil {
		e := failure(err)
		return Target{}, "", &Error{Status: e.Status, Reason: e.Reason, Err: fmt.Errorf("SCRIPT_FILENAME %.200q: %w", name, err)}
	}
	return Target{}, "", &Error{
		Status: http.StatusForbidden, Reason: reasonDenied,
		Err: fmt.Errorf("SCRIPT_FILENAME %.200q is not a script (%s)", name, strings.Join(r.exts, " ")),
	}
}

// relative returns the part of name below the real path that the root has
// now. Web servers that resolve symlinks themselves send such names (nginx's
// $realpath_root); after a switch of the link the old path counts no more.
// A name by which neither is seen is followed to the file it leads to.
func (r *Root) relative(name string) (rel string, ok bool, err error) {
	root, err := openFolder(r.root)
	if err != nil {
		return "", false, failure(err)
	}
	defer closeFD(root)
	now, err := realPath(root)
	if err != nil {
		return "", false, failure(err)
	}
	if rel, ok = below(now, name); ok {
		return rel, true, nil
	}
	for to := range r.candidates(name, len(name)) {
		fd, err := openat(unix.AT_FDCWD, name[:to])
		if err != nil {
			break
		}
		f, err := inside(root, fd)
		closeFD(fd)
		if err == nil && f.regular() {
			return f.rel + name[to:], true, nil
		}
	}
	return "", false, nil
}

// RealPath is where the root leads now.
func (r *Root) RealPath() (string, error) {
	fd, err := openFolder(r.root)
	if err != nil {
		return "", err
	}
	defer closeFD(fd)
	return realPath(fd)
}

// ScriptPath is the path that a SCRIPT_FILENAME names, clean; false when it names
// none.
func ScriptPath(scriptFilename string) (path string, ok bool) {
	filename, _ := stripProxy(scriptFilename)
	name, bad := clean(filename)
	return name, bad == nil
}

// Path is the document root as configured, clean.
func (r *Root) Path() string { return r.root }

// Linked says whether the root was reached by a symlink at New, so that RealPath is
// another path than Path, and may change.
func (r *Root) Linked() bool { return r.linked }
