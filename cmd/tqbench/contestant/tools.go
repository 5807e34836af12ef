package contestant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Tool is a program or folder that a contestant or the measuring needs.
type Tool string

// The tools. Nginx and so on are programs, Dokuwiki is a folder.
const (
	Nginx    Tool = "nginx"
	PHPFPM   Tool = "php-fpm"
	PHPCGI   Tool = "php-cgi"
	Apache   Tool = "apache2"
	Caddy    Tool = "caddy"
	Lighttpd Tool = "lighttpd"
	Wrk      Tool = "wrk"
	Dokuwiki Tool = "dokuwiki"
	Server   Tool = "tqserver"
	Peer     Tool = "tqbench-peer"
)

// AllTools returns all of them.
func AllTools() []Tool {
	return []Tool{Nginx, PHPFPM, PHPCGI, Apache, Caddy, Lighttpd, Wrk, Dokuwiki, Server, Peer}
}

// candidates are the paths and names that a tool is found by.
func (t Tool) candidates() []string {
	switch t {
	case Apache:
		return []string{"apache2", "httpd"}
	case PHPFPM:
		return []string{"php-fpm*"}
	case Dokuwiki:
		return []string{"/usr/share/dokuwiki"}
	default:
		return []string{string(t)}
	}
}

// versionArgs make a tool say its version.
func (t Tool) versionArgs() []string {
	switch t {
	case Caddy, Server:
		return []string{"version"}
	case PHPFPM, PHPCGI, Nginx, Apache, Lighttpd, Wrk:
		return []string{"-v"}
	default:
		return nil
	}
}

// Tools are where the tools are.
type Tools map[Tool]string

// MissingError says what is missing and what to do.
type MissingError struct {
	Missing []Tool
	For     map[Tool][]string // who needs it
}

func (e *MissingError) Error() string {
	var b strings.Builder
	b.WriteString("what is to be measured needs tools that are not here:\n")
	for _, t := range e.Missing {
		fmt.Fprintf(&b, "  %s, for %s\n", t, strings.Join(e.For[t], ", "))
	}
	b.WriteString("`make bench` installs the Debian packages as root, and builds tqserver and tqbench-peer; " +
		"or leave out what needs them: --contestant and --scenario choose, `tqbench list` shows")
	return b.String()
}

// Find looks for the tools in need, beside those that given has already, on
// PATH and where a user's PATH does not lead.
func Find(given Tools, need map[Tool][]string) (Tools, error) {
	found := Tools{}
	missing := &MissingError{For: need}
	for t := range need {
		path := given[t]
		if path == "" {
			path = t.search()
		}
		if path != "" {
			if absolute, err := filepath.Abs(path); err == nil {
				path = absolute
			}
			if _, err := os.Stat(path); err != nil {
				path = ""
			}
		}
		if path == "" {
			missing.Missing = append(missing.Missing, t)
			continue
		}
		found[t] = path
	}
	if len(missing.Missing) > 0 {
		slices.Sort(missing.Missing)
		return nil, missing
	}
	return found, nil
}

func (t Tool) search() string {
	folders := append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin", "/usr/local/bin")
	var all []string
	for _, name := range t.candidates() {
		if filepath.IsAbs(name) {
			return name
		}
		for _, folder := range folders {
			matches, _ := filepath.Glob(filepath.Join(folder, name)) // the patterns are ours
			for _, m := range matches {
				if info, err := os.Stat(m); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
					all = append(all, m)
				}
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	// Of several PHP-FPMs the newest, as TQServer does with php-cgi.
	return slices.MaxFunc(all, func(a, b string) int { return cmp.Compare(release(a), release(b)) })
}

// release is 8*1000+2 for /usr/sbin/php-fpm8.2, 0 without a number.
func release(path string) int {
	var major, minor int
	if n, _ := fmt.Sscanf(regexp.MustCompile(`\d+\.\d+$`).FindString(path), "%d.%d", &major, &minor); n != 2 {
		return 0
	}
	return major*1000 + minor
}

// Versions asks each tool for the line that holds its version.
func (t Tools) Versions(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	versions := map[string]string{}
	for tool, path := range t {
		if tool == Dokuwiki {
			text, _ := os.ReadFile(filepath.Join(path, "VERSION"))
			versions[string(tool)] = strings.TrimSpace(string(text))
			continue
		}
		args := tool.versionArgs()
		if args == nil {
			continue
		}
		out, _ := exec.CommandContext(ctx, path, args...).CombinedOutput() // wrk -v says its version and exits with 1
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		versions[string(tool)] = strings.TrimSpace(line)
	}
	return versions
}

// CheckPHP makes sure that php-fpm and php-cgi are of one version.
func (t Tools) CheckPHP(ctx context.Context) error {
	number := regexp.MustCompile(`PHP (\d+\.\d+\.\d+)`)
	versions := t.Versions(ctx)
	fpm, cgi := number.FindStringSubmatch(versions[string(PHPFPM)]), number.FindStringSubmatch(versions[string(PHPCGI)])
	if fpm != nil && cgi != nil && fpm[1] != cgi[1] {
		return errors.New("php-fpm is " + fpm[1] + ", php-cgi is " + cgi[1] + ": a comparison needs the same PHP; name them with --tool php-fpm=PATH and --tool php-cgi=PATH")
	}
	return nil
}
