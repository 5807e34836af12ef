package docroot

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Options are the settings of a document root.
type Options struct {
	// Root is the absolute path of the document root as configured. It may be
	// a symlink (current -> releases/5) that is switched while the server runs.
	Root string
	// Index are the names tried in a folder, in order.
	Index []string
	// FrontController is the script, relative to Root, that answers whatever
	// names no file; empty for none. It need not exist yet.
	FrontController string
	// Extensions of scripts, with the dot, compared byte by byte; none means
	// ".php" only.
	Extensions []string
}

// Root is a document root. It holds no descriptor and can be used by many
// goroutines. A script that was found is not looked for again for a second, unless
// a deployment switches the link that the root is behind.
type Root struct {
	root   string // as configured, cleaned
	real   string // its real path at New
	linked bool   // root and real differed at New: only a hint which way is fastest
	index  []string
	front  string // "/index.php", or empty
	exts   []string

	byPath  recent[string]
	byNames recent[scriptNames]
}

// scriptNames are the params that CheckScript decides on.
type scriptNames struct{ filename, name, pathInfo string }

// New checks the options, all of them; the folder must exist.
func New(o Options) (*Root, error) {
	r := &Root{root: filepath.Clean(o.Root), index: o.Index, exts: o.Extensions}
	if len(r.exts) == 0 {
		r.exts = []string{".php"}
	}
	var errs []error
	switch fd, err := openFolder(r.root); {
	case !filepath.IsAbs(o.Root):
		errs = append(errs, fmt.Errorf("document root %q: must be an absolute path", o.Root))
	case r.root == "/":
		errs = append(errs, errors.New("document root /: the whole file system cannot be served"))
	case strings.IndexFunc(r.root, control) >= 0:
		errs = append(errs, fmt.Errorf("document root %q: has a control character", r.root))
	case err != nil:
		errs = append(errs, fmt.Errorf("document root %s: %w", r.root, err))
	default:
		r.real, err = realPath(fd)
		closeFD(fd)
		if err != nil {
			errs = append(errs, fmt.Errorf("document root %s: cannot tell its real path: %w", r.root, err))
		}
	}
	r.linked = r.real != r.root
	for _, e := range r.exts {
		if len(e) < 2 || e[0] != '.' || strings.ContainsAny(e[1:], "/.") || strings.IndexFunc(e, control) >= 0 {
			errs = append(errs, fmt.Errorf("script extension %q: must be a dot and a name, such as .php", e))
		}
	}
	for _, name := range r.index {
		if name == "" || name[0] == '.' || strings.Contains(name, "/") || strings.IndexFunc(name, control) >= 0 {
			errs = append(errs, fmt.Errorf("index %q: must be a file name that does not begin with a dot", name))
		}
	}
	if o.FrontController != "" {
		front, err := clean("/" + o.FrontController)
		if err != nil || hidden(front) >= 0 || !r.script(front) {
			errs = append(errs, fmt.Errorf("front controller %q: must name a script (%s) below the document root",
				o.FrontController, strings.Join(r.exts, " ")))
		}
		r.front = front
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// script says whether name ends in a script's extension and has something
// before it.
func (r *Root) script(name string) bool {
	for _, ext := range r.exts {
		if base := strings.TrimSuffix(name, ext); len(base) < len(name) && base != "" && base[len(base)-1] != '/' {
			return true
		}
	}
	return false
}

func control(c rune) bool { return c < ' ' || c == 0x7f }

// name gives the script its path below the root.
func (r *Root) name(t *Target) error {
	t.Root = r.root
	if r.linked {
		now, err := r.RealPath()
		if err != nil {
			return failure(err)
		}
		if first := Covered(now); first == Covered(r.root) || first == Covered(r.real) {
			t.Root = now
		}
	}
	t.Filename = t.Root + t.ScriptName
	return nil
}

// Covered is the part of a document root's path that settings a script may not
// change are bound to: php.ini's [PATH=…] goes by the text of SCRIPT_FILENAME,
// and a deployment switches a link to another folder, but hardly to another
// first part of the path. A root elsewhere is named as it was configured.
func Covered(root string) string {
	if i := strings.IndexByte(root[1:], '/'); i >= 0 {
		return root[:i+1]
	}
	return root
}
