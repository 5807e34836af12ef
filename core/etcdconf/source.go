package etcdconf

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// defaultPort is the one that IANA gave etcd's clients.
const defaultPort = "2379"

// Source is a prefix in an etcd cluster.
type Source struct {
	endpoints []string // host:port
	prefix    string   // without a final slash
	tls       bool
	user      string
	getenv    func(string) string

	passwordFile, caFile, certFile, keyFile string
	copyFile                                string
}

// Is says whether a --config names a place in etcd, and not a file.
func Is(config string) bool {
	return strings.HasPrefix(config, "etcd://") || strings.HasPrefix(config, "etcds://")
}

// Parse reads etcd://[USER@]HOST[:PORT][,HOST…]/PREFIX[?NAME=VALUE&…]; etcds:// is
// by TLS. The names are cacert, cert, key, password_file and copy, all of files. What
// it does not say comes from the variables that etcdctl reads (ETCDCTL_CACERT,
// ETCDCTL_CERT, ETCDCTL_KEY, ETCDCTL_USER, ETCDCTL_PASSWORD). No error holds a secret.
func Parse(config string, getenv func(string) string) (*Source, error) {
	scheme, rest, _ := strings.Cut(config, "://")
	s := &Source{tls: scheme == "etcds", getenv: getenv}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, prefix, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		user, _, hasPassword := strings.Cut(hosts[:at], ":")
		if hasPassword {
			return nil, errors.New("etcd: a password in --config can be seen by every user of the machine (ps); leave it out, and give it by ?password_file=FILE or by ETCDCTL_PASSWORD")
		}
		s.user, hosts = user, hosts[at+1:]
	}
	for host := range strings.SplitSeq(hosts, ",") {
		endpoint, err := endpointOf(host)
		if err != nil {
			return nil, fmt.Errorf("%s://%s/%s: %w", scheme, hosts, prefix, err)
		}
		s.endpoints = append(s.endpoints, endpoint)
	}
	s.prefix = strings.TrimRight(prefix, "/")
	fail := func(format string, args ...any) (*Source, error) {
		return nil, fmt.Errorf("%s: %w", s.Name(), fmt.Errorf(format, args...))
	}
	if s.prefix == "" {
		return fail("give the prefix of the keys: %s://%s/tqserver", scheme, hosts)
	}
	if path.Clean("/"+s.prefix) != "/"+s.prefix {
		return fail("write the prefix plainly, without empty parts and dots")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return fail("what stands after ? is not NAME=VALUE&…")
	}
	into := map[string]*string{"cacert": &s.caFile, "cert": &s.certFile, "key": &s.keyFile, "password_file": &s.passwordFile, "copy": &s.copyFile}
	for name, list := range values {
		field, ok := into[name]
		if !ok {
			return fail("%s", settings.Unknown("name after ?", name, []string{"cacert", "cert", "copy", "key", "password_file"}))
		}
		if len(list) != 1 || list[0] == "" {
			return fail("%s: give it once, and not empty", name)
		}
		*field = list[0]
	}
	return s, s.check()
}

// check finds what does not go together.
func (s *Source) check() error {
	if !s.tls && s.caFile+s.certFile+s.keyFile != "" {
		return fmt.Errorf("%s: cacert, cert and key are for TLS: write etcds://", s.Name())
	}
	if s.tls {
		for field, name := range map[*string]string{&s.caFile: "ETCDCTL_CACERT", &s.certFile: "ETCDCTL_CERT", &s.keyFile: "ETCDCTL_KEY"} {
			if *field == "" {
				*field = s.getenv(name)
			}
		}
	}
	if (s.certFile == "") != (s.keyFile == "") {
		return fmt.Errorf("%s: a client's certificate needs both cert and key", s.Name())
	}
	if s.user == "" {
		s.user, _, _ = strings.Cut(s.getenv("ETCDCTL_USER"), ":")
	}
	if s.user == "" && s.passwordFile != "" {
		return fmt.Errorf("%s: password_file needs a user: write USER@ before the host", s.Name())
	}
	return nil
}

// endpointOf adds the usual port.
func endpointOf(host string) (string, error) {
	if host == "" {
		return "", errors.New("give the hosts of etcd: etcd://127.0.0.1:2379/tqserver")
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil || name == "" {
			return "", fmt.Errorf("%q is no host and port", host)
		}
		return host, nil
	}
	name := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.Contains(name, ":") && net.ParseIP(name) == nil {
		return "", fmt.Errorf("%q is no host and port", host)
	}
	return net.JoinHostPort(name, defaultPort), nil
}

// Name is the source as messages have it: without user and what stands after ?.
func (s *Source) Name() string {
	scheme := "etcd"
	if s.tls {
		scheme = "etcds"
	}
	return scheme + "://" + strings.Join(s.endpoints, ",") + "/" + s.prefix
}

// Key is the key in etcd of one of its files.
func (s *Source) Key(file string) string { return "/" + s.prefix + "/" + file }

// password of the user, empty when there is none.
func (s *Source) password() (string, error) {
	if s.passwordFile != "" {
		text, err := os.ReadFile(s.passwordFile)
		if err != nil {
			return "", fmt.Errorf("password_file: %w", err)
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	if _, password, ok := strings.Cut(s.getenv("ETCDCTL_USER"), ":"); ok {
		return password, nil
	}
	return s.getenv("ETCDCTL_PASSWORD"), nil
}

// Files are texts by their names, those of the keys without the prefix.
type Files map[string][]byte

// Equal says whether both are the same.
func (f Files) Equal(other Files) bool {
	if len(f) != len(other) {
		return false
	}
	for name, text := range f {
		there, ok := other[name]
		if !ok || !slices.Equal(text, there) {
			return false
		}
	}
	return true
}
