package php

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// fixed are the settings that the server's own promises stand on; they come
// last and so win over php.ini.
//
// cgi.fix_pathinfo stays 1: the core has split script and PATH_INFO already,
// but with 0 PHP_SELF would be PATH_INFO alone, and PATH_TRANSLATED, if sent,
// would choose the script. It costs nothing either: 25 system calls per hello
// request with both, since PHP caches the path. cgi.force_redirect guards CGI, which this is not;
// the others would change what reaches the server or which file is run.
func fixed() []string {
	return []string{
		"cgi.fix_pathinfo=1", "cgi.force_redirect=0", "cgi.nph=0", "cgi.rfc2616_headers=0",
		"cgi.discard_path=0", `doc_root=""`, `user_dir=""`,
	}
}

// managed says whether name is one of those.
func managed(name string) bool {
	return slices.ContainsFunc(fixed(), func(s string) bool { return strings.HasPrefix(s, name+"=") })
}

// arguments are those of php-cgi. admin settings stand here too for those that
// act when PHP starts (opcache.memory_consumption); for the others the file
// iniFile holds says the last word.
func arguments(iniFile string, settings, admin map[string]string) []string {
	args := []string{"-c", iniFile}
	for _, m := range []map[string]string{settings, admin} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			args = append(args, "-d", name+"="+valueOf(m[name]))
		}
	}
	for _, s := range fixed() {
		args = append(args, "-d", s)
	}
	return args
}

// iniContent is base, the php.ini that is configured, and after it what makes
// admin hold for every script below roots: neither .user.ini nor ini_set()
// changes what a [PATH=…] section says. The sections come last, because
// nothing but the end of the file ends one (main/php_ini.c). A syntax error in
// base would hide them: prepare refuses a base that has one.
func iniContent(base []byte, roots []string, admin map[string]string) []byte {
	var b bytes.Buffer
	b.Write(base)
	for _, root := range roots {
		if len(admin) == 0 {
			break
		}
		fmt.Fprintf(&b, "\n[PATH=%s]\n", quote(root))
		for _, name := range slices.Sorted(maps.Keys(admin)) {
			fmt.Fprintf(&b, "%s=%s\n", name, valueOf(admin[name]))
		}
	}
	return b.Bytes()
}

// writeIni writes content where only this user reads it: admin settings may
// hold secrets.
func writeIni(name string, content []byte) error {
	if err := os.WriteFile(name, content, 0o600); err != nil {
		return fmt.Errorf("write the generated php.ini: %w", err)
	}
	return nil
}
