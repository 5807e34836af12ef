package gobuild

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// author is whom a build runs as: a server started as root builds as the user
// the source belongs to, since a build runs what its files say (compilers of
// other languages, a toolchain that go.mod names).
type author struct {
	credential *syscall.Credential // nil is the server's own user
	home       string
}

func builder(source string) (author, error) {
	info, err := os.Stat(source)
	if err != nil {
		return author{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || stat.Uid == 0 {
		return author{}, nil
	}
	as := author{credential: &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}, home: os.TempDir()}
	// Without an account it has the numbers alone, and no home.
	if u, err := user.LookupId(strconv.FormatUint(uint64(stat.Uid), 10)); err == nil {
		as.home = u.HomeDir
		ids, err := u.GroupIds()
		if err != nil {
			return author{}, fmt.Errorf("groups of user %s: %w", u.Username, err)
		}
		for _, text := range ids {
			if id, err := strconv.ParseUint(text, 10, 32); err == nil {
				as.credential.Groups = append(as.credential.Groups, uint32(id))
			}
		}
	}
	return as, nil
}

// own makes a folder that was made for the build the author's.
func (a author) own(root *os.Root, dir string) error {
	if a.credential == nil {
		return nil
	}
	return root.Lchown(dir, int(a.credential.Uid), int(a.credential.Gid))
}

// environment is what the go command needs of the server's, which may hold
// secrets; caches and settings of the go command only if they are the author's.
func (a author) environment() []string {
	env := []string{"GIT_TERMINAL_PROMPT=0"}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		switch upper := strings.ToUpper(name); upper {
		case "PATH", "TMPDIR", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
			"CC", "CXX", "PKG_CONFIG", "PKG_CONFIG_PATH",
			"GOFLAGS", "GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GOINSECURE", "GOVCS", "GOAUTH", "GOTOOLCHAIN", "GOROOT", "GOWORK",
			"GOEXPERIMENT", "GOAMD64", "GOARM", "GOARM64":
			env = append(env, pair)
		case "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GOPATH", "GOCACHE", "GOMODCACHE", "GOENV", "GOTMPDIR":
			if a.credential == nil {
				env = append(env, pair)
			}
		default:
			if strings.HasPrefix(upper, "CGO_") {
				env = append(env, pair)
			}
		}
	}
	if a.credential != nil {
		env = append(env, "HOME="+a.home)
	}
	return env
}
