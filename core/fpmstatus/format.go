package fpmstatus

import (
	"net/url"
	"strings"
)

// Format is one of the page's five formats.
type Format int

// The formats, text being the one that is not asked for.
const (
	FormatText Format = iota
	FormatHTML
	FormatXML
	FormatJSON
	FormatOpenMetrics
)

// ContentType is what FPM sends for the format, to the byte.
func (f Format) ContentType() string {
	switch f {
	case FormatHTML:
		return "text/html;charset=UTF-8"
	case FormatXML:
		return "text/xml;charset=UTF-8"
	case FormatJSON:
		return "application/json"
	case FormatOpenMetrics:
		return "application/openmetrics-text; version=1.0.0; charset=utf-8"
	default:
		return "text/plain;charset=UTF-8"
	}
}

// Query reads a query as FPM does: a name counts whatever its value, html goes
// before xml, xml before json, json before openmetrics. full is never set for
// OpenMetrics, which has nothing about processes.
func Query(raw string) (f Format, full bool) {
	asked := names(raw)
	for _, known := range []struct {
		name   string
		format Format
	}{{"html", FormatHTML}, {"xml", FormatXML}, {"json", FormatJSON}, {"openmetrics", FormatOpenMetrics}} {
		if asked[known.name] {
			f = known.format
			break
		}
	}
	return f, asked["full"] && f != FormatOpenMetrics
}

// names are those PHP would have in $_GET: url.ParseQuery refuses what PHP takes.
func names(raw string) map[string]bool {
	set := map[string]bool{}
	for part := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		name = strings.TrimLeft(name, " ")
		if i := strings.IndexByte(name, '['); i > 0 && strings.IndexByte(name[i:], ']') > 0 {
			name = name[:i]
		}
		set[name] = true
	}
	return set
}
