package docroot

import "strings"

// stripProxy takes off what Apache's mod_proxy_fcgi puts before the path in
// SCRIPT_FILENAME:
//
//	proxy:fcgi://localhost:9000/srv/www/info.php/test?foo=bar
//	proxy:balancer://cluster/srv/www/info.php
//	proxy:unix:/run/x.sock|fcgi://localhost/srv/www/info.php
//
// and, as PHP-FPM 8.4 does (fpm_main.c, bugs 54152, 62172, GH-17645), cuts the
// query and decodes %XX once. A name without such a prefix is returned as it
// is, query, percent signs and all.
func stripProxy(name string) (stripped string, apache bool) {
	rest, ok := cutPrefixFold(name, "proxy:")
	if !ok {
		return name, false
	}
	if _, ok := cutPrefixFold(rest, "unix:"); ok {
		_, after, ok := strings.Cut(rest, "|")
		if !ok {
			return name, false
		}
		rest = after
	}
	after, ok := cutPrefixFold(rest, "fcgi://")
	if !ok {
		if after, ok = cutPrefixFold(rest, "balancer://"); !ok {
			return name, false
		}
	}
	slash := strings.IndexByte(after, '/')
	if slash < 0 {
		return name, false
	}
	file, _, _ := strings.Cut(after[slash:], "?")
	return unescape(file), true
}

// cutPrefixFold is strings.CutPrefix for a lower-case ASCII prefix in any case.
func cutPrefixFold(s, prefix string) (after string, ok bool) {
	if len(s) < len(prefix) {
		return s, false
	}
	for i := range len(prefix) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return s, false
		}
	}
	return s[len(prefix):], true
}

// unescape decodes %XX; a percent sign without two hexadecimal digits stays,
// as in PHP's rawurldecode.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// fixPathInfo returns SCRIPT_NAME and PATH_INFO for a script behind which
// SCRIPT_FILENAME had rest, as PHP-FPM with cgi.fix_pathinfo=1 sets them.
func fixPathInfo(scriptName, pathInfo, rest string, apache bool) (name, info string) {
	switch {
	case rest == "" || pathInfo == rest:
		return scriptName, pathInfo
	case apache:
		// Apache's ProxyPass knows no PATH_INFO: it stands in SCRIPT_NAME too.
		if len(scriptName) > len(rest) {
			scriptName = strings.TrimSuffix(scriptName, rest)
		}
		return scriptName, rest
	case len(pathInfo) > len(rest) && strings.HasSuffix(pathInfo, rest):
		// PATH_INFO holds the whole path, script and all (CGI handlers do).
		return pathInfo[:len(pathInfo)-len(rest)], rest
	default:
		return scriptName, pathInfo
	}
}
