package cgi

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// DefaultMaxHead is the bound on a response head in bytes when none is given:
// net/http's servers and the usual web servers take less.
const DefaultMaxHead = 64 << 10

// maxFields bounds the number of lines, so that a head of tiny lines does not
// cost many times its size.
const maxFields = 1000

// ErrHeadTooLarge says that no end of the head came within its bound.
var ErrHeadTooLarge = errors.New("cgi: response head is too large")

// HeadError explains a head that is refused.
type HeadError struct {
	// Line counts from 1.
	Line int
	// Problem is what is wrong with it.
	Problem string
}

// Error implements error.
func (e *HeadError) Error() string {
	return "cgi: response head, line " + strconv.Itoa(e.Line) + ": " + e.Problem
}

// Head is the head of a CGI response (RFC 3875, section 6).
type Head struct {
	// Status is 200 when the script sent none, 302 with a Location only.
	Status int
	// Reason is the text after the status code, which may be empty.
	Reason string
	// LocalRedirect is the path and query of a local redirect (RFC 3875,
	// section 6.2.2): a Location that is a path, without Status. The server
	// is to serve that path instead; there is no Location in Fields then.
	LocalRedirect string
	// ContentLength is -1 when the script sent none.
	ContentLength int64
	// Fields are the headers in their order, names in canonical spelling.
	// Status is not among them, nor are hop-by-hop headers.
	Fields []Param
	// Trailer is the header of that name, which announces trailers; only
	// TQServer's own workers can send them.
	Trailer string
}

// Get returns the first value of the header called name (canonical spelling).
func (h *Head) Get(name string) string {
	for i := range h.Fields {
		if h.Fields[i].Name == name {
			return h.Fields[i].Value
		}
	}
	return ""
}

// CopyTo adds the headers to dst, in order; a header that is in dst already is
// replaced.
func (h *Head) CopyTo(dst http.Header) {
	values := make([]string, len(h.Fields))
	for i, f := range h.Fields {
		if i > 0 && repeats(h.Fields[:i], f.Name) {
			dst[f.Name] = append(dst[f.Name], f.Value)
			continue
		}
		values[i] = f.Value
		dst[f.Name] = values[i : i+1 : i+1]
	}
}

func repeats(fields []Param, name string) bool {
	for i := range fields {
		if fields[i].Name == name {
			return true
		}
	}
	return false
}

// HeadParser finds and parses the head of one response as it arrives.
// The zero value is ready; Reset makes it so again.
type HeadParser struct {
	// Max bounds the head in bytes, its empty line included; 0 means
	// DefaultMaxHead.
	Max int

	scanned int
}

// Reset forgets what was scanned.
func (p *HeadParser) Reset() { p.scanned = 0 }

// Parse looks at buf, which is everything the script has sent so far. It
// returns the head and its length, after which the body begins. The length is
// 0 while the head is not complete. Errors are ErrHeadTooLarge or *HeadError.
// The head keeps no reference to buf.
func (p *HeadParser) Parse(buf []byte) (*Head, int, error) {
	limit := p.Max
	if limit <= 0 {
		limit = DefaultMaxHead
	}
	end := p.end(buf)
	if end > limit || end == 0 && len(buf) >= limit {
		return nil, 0, ErrHeadTooLarge
	}
	if end == 0 {
		return nil, 0, nil
	}
	h, err := parseHead(string(buf[:end]))
	if err != nil {
		return nil, 0, err
	}
	return h, end, nil
}

// ParseHead is HeadParser.Parse for those who have the whole head at once.
// limit 0 means DefaultMaxHead.
func ParseHead(buf []byte, limit int) (*Head, int, error) {
	p := HeadParser{Max: limit}
	return p.Parse(buf)
}

// end returns the length of the head with its empty line, 0 when that has not
// come. Only what is new since the last call is scanned.
func (p *HeadParser) end(buf []byte) int {
	i := p.scanned
	for {
		nl := bytes.IndexByte(buf[i:], '\n')
		if nl < 0 {
			// i is the start of a line.
			p.scanned = i
			return 0
		}
		line := buf[i : i+nl]
		i += nl + 1
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			p.scanned = i
			return i
		}
	}
}

func parseHead(s string) (*Head, error) {
	h := &Head{ContentLength: -1, Fields: make([]Param, 0, strings.Count(s, "\n")-1)}
	var location string
	for n := 1; ; n++ {
		nl := strings.IndexByte(s, '\n')
		line := strings.TrimSuffix(s[:nl], "\r")
		s = s[nl+1:]
		if line == "" {
			if n == 1 {
				return nil, &HeadError{n, "there is no header"}
			}
			break
		}
		if n > maxFields {
			return nil, &HeadError{n, "too many headers"}
		}
		name, value, problem := splitLine(line)
		if problem == "" {
			switch name {
			case "Location":
				if location != "" {
					problem = "a second Location"
				}
				location = value
			default:
				problem = h.add(name, value)
			}
		}
		if problem != "" {
			return nil, &HeadError{n, problem}
		}
	}
	h.redirect(location)
	h.dropHopByHop()
	return h, nil
}

func (h *Head) redirect(location string) {
	switch {
	case location == "" && h.Status == 0:
		h.Status = http.StatusOK
	case location == "":
	case h.Status == 0 && location[0] == '/' && !strings.HasPrefix(location, "//"):
		h.Status = http.StatusOK
		h.LocalRedirect = location
	default:
		if h.Status == 0 {
			h.Status = http.StatusFound
		}
		h.Fields = append(h.Fields, Param{"Location", location})
	}
}

// add takes one header and returns what is wrong with it.
func (h *Head) add(name, value string) string {
	switch name {
	case "Status":
		if h.Status != 0 {
			return "a second Status"
		}
		return h.setStatus(value)
	case "Content-Length":
		n, ok := ParseLength(value)
		if !ok {
			return fmt.Sprintf("Content-Length %.40q is not a number", value)
		}
		if h.ContentLength >= 0 {
			return "a second Content-Length"
		}
		h.ContentLength = n
	case "Content-Type":
		// One media type only; the first wins, as in nginx.
		if h.Get(name) != "" {
			return ""
		}
	}
	h.Fields = append(h.Fields, Param{name, value})
	return ""
}

func (h *Head) setStatus(value string) string {
	code, reason, _ := strings.Cut(value, " ")
	if len(code) != 3 || code[0] < '1' || code[0] > '9' || !digit(code[1]) || !digit(code[2]) {
		return fmt.Sprintf("Status %.40q is not three digits from 100 to 999", value)
	}
	h.Status, _ = strconv.Atoi(code)
	h.Reason = strings.TrimSpace(reason)
	return ""
}

// dropHopByHop removes what is between this server and its client only (RFC
// 3875, section 6.3.4). A switch of protocols keeps what names the new one.
func (h *Head) dropHopByHop() {
	kept := h.Fields[:0]
	for _, f := range h.Fields {
		switch f.Name {
		case "Connection", "Upgrade":
			if h.Status != http.StatusSwitchingProtocols {
				continue
			}
		case "Trailer":
			h.Trailer = f.Value
			continue
		case "Transfer-Encoding", "Keep-Alive", "Te":
			continue
		default:
			if strings.HasPrefix(f.Name, "Proxy-") && f.Name != "Proxy-Status" {
				continue
			}
		}
		kept = append(kept, f)
	}
	h.Fields = kept
}

// splitLine returns a header's canonical name and trimmed value, or what is
// wrong with the line.
func splitLine(line string) (name, value, problem string) {
	if line[0] == ' ' || line[0] == '\t' {
		return "", "", "a folded header"
	}
	if strings.HasPrefix(line, "HTTP/") {
		return "", "", "a status line: non-parsed headers (NPH) are not supported"
	}
	before, after, ok := strings.Cut(line, ":")
	if !ok {
		return "", "", fmt.Sprintf("no colon in %.40q", line)
	}
	name = before
	if !ValidToken(name) {
		return "", "", fmt.Sprintf("%.40q is not the name of a header", name)
	}
	value = strings.Trim(after, " \t")
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", "", fmt.Sprintf("a control byte 0x%02x in %.40q", c, name)
		}
	}
	return textproto.CanonicalMIMEHeaderKey(name), value, ""
}
