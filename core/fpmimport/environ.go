package fpmimport

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// environment converts env[NAME]; a value that begins with $ names a variable of
// FPM's own environment (fpm_env.c).
func (p *pool) environment(l line) outcome {
	key := "php.env." + l.key
	switch {
	case !p.known("php.env"):
		return lost("this version of the server has no php.env")
	case !settings.EnvName(l.key):
		return refused("%q is no name of an environment variable", l.key)
	case strings.HasPrefix(l.key, "PHP_FCGI_") || l.key == "FCGI_WEB_SERVER_ADDRS":
		return notNeeded("it is what php-cgi is told by; the server sets it itself")
	}
	value := l.value
	o := taken(key, "")
	if name, ok := strings.CutPrefix(value, "$"); ok {
		if set, ok := p.options.Env(name); ok && set != "" {
			value = "env:" + name
			o.why = "from the environment of the server, which has to have " + name
		} else {
			value = ""
			o.why = "$" + name + " is not set here, so it is empty, as PHP-FPM would have it; write env:" + name + " when the server has it"
			o.look = true
		}
	} else if strings.HasPrefix(value, "env:") || strings.HasPrefix(value, "file:") || strings.HasPrefix(value, "text:") {
		value = "text:" + value // else it would name a variable or file
	}
	p.out.set([]string{"php", "env", l.key}, value, "")
	return o
}

var iniName = regexp.MustCompile(`^[A-Za-z0-9_.]+$`)

// iniSetting converts php_value and the like. A setting that is in both goes to the
// one that scripts may not change, as in PHP-FPM.
func iniSetting(group string, flag bool) func(*pool, line) outcome {
	return func(p *pool, l line) outcome {
		value := l.value
		switch {
		case !p.known("php." + group):
			return lost("this version of the server has no php." + group)
		case !iniName.MatchString(l.key):
			return refused("%q is no name of a php.ini setting", l.key)
		case strings.ContainsAny(value, "\n\x00"):
			return lost("the value has a newline or a NUL byte")
		case flag && value != "1" && value != "":
			return refused("%q is neither on nor off", value)
		case flag && value == "":
			value = "0"
		case group == "settings" && p.out.get("php", "admin_settings", l.key) != nil:
			return notNeeded("php_admin_value sets it, too")
		}
		if group == "admin_settings" {
			p.out.remove("php", "settings", l.key)
		}
		o := taken("php."+group+"."+l.key, "")
		if l.key == "open_basedir" || strings.HasSuffix(l.key, "_path") || strings.HasSuffix(l.key, "_dir") {
			for part := range strings.SplitSeq(value, ":") {
				if part != "" && part != "." && !filepath.IsAbs(part) && l.key == "open_basedir" {
					o.look = true
					o.why = "relative paths start at the worker's folder here"
				}
			}
		}
		p.out.set([]string{"php", group, l.key}, value, "")
		return o
	}
}
