package docroot

import (
	"fmt"
	"net/http"
	"strings"
)

// maxPath is the longest path taken, in bytes: the kernel's PATH_MAX.
const maxPath = 4096

// clean returns p without empty, "." and ".." segments; a trailing slash
// stays. What it returns is matched and opened as it is: there is no second
// decoding after it. A backslash is a byte like any other, as it is to the
// kernel.
func clean(p string) (string, *Error) {
	if len(p) > maxPath {
		return "", &Error{Status: http.StatusRequestURITooLong, Reason: fmt.Sprintf("path of %d bytes, %d are taken", len(p), maxPath)}
	}
	if p == "" || p[0] != '/' {
		return "", &Error{Status: http.StatusBadRequest, Reason: fmt.Sprintf("path %.100q does not begin with a slash", p)}
	}
	dirty := false
	for i := range len(p) {
		switch c := p[i]; {
		case c < ' ' || c == 0x7f:
			return "", &Error{Status: http.StatusBadRequest, Reason: fmt.Sprintf("path %.100q has a control byte", p)}
		case i > 0 && p[i-1] == '/' && (c == '/' || c == '.'):
			dirty = true // or a hidden name; that is rare enough
		}
	}
	if !dirty {
		return p, nil
	}
	kept := make([]string, 1, 16) // the first is empty, for the leading slash
	folder := false
	for s := range strings.SplitSeq(p[1:], "/") {
		folder = s == "" || s == "." || s == ".."
		switch {
		case s == ".." && len(kept) == 1:
			return "", &Error{Status: http.StatusBadRequest, Reason: fmt.Sprintf("path %.100q leaves the document root", p)}
		case s == "..":
			kept = kept[:len(kept)-1]
		case !folder:
			kept = append(kept, s)
		}
	}
	if folder {
		kept = append(kept, "")
	}
	return strings.Join(kept, "/"), nil
}

// hidden returns where the first segment that begins with a dot begins, or -1.
func hidden(p string) int {
	if i := strings.Index(p, "/."); i >= 0 {
		return i + 1
	}
	return -1
}

// below returns the part of name below root, with its slash.
func below(root, name string) (rel string, ok bool) {
	if len(name) > len(root) && name[len(root)] == '/' && name[:len(root)] == root {
		return name[len(root):], true
	}
	return "", false
}
