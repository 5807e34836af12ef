package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/gobuild"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// definition is a worker folder, read and checked.
type definition struct {
	name     string // of the folder
	document *conf.Document
	settings workerSettings
	limits   poolSettings
	kind     kind
	spec     api.PluginSpec   // without a command when it could not be made
	program  *gobuild.Program // that the spec starts, when it is built of source; nil otherwise
	problems []conf.Problem   // why it cannot run
}

// prefix is the URL prefix without a trailing slash.
func (d *definition) prefix() string { return strings.TrimSuffix(d.settings.Path, "/") }

// refused puts file, line and whole path to what the plugin refused.
func (d *definition) refused(refused []sdk.Problem) error {
	list := make([]settings.Problem, 0, len(refused))
	for _, p := range refused {
		list = append(list, settings.Problem(p))
	}
	return conf.Err(d.document.Problems(d.settings.Type, list))
}

// loadFolder reads every worker: those that have a worker.yaml in their folder below
// folder, and those whose definition stands elsewhere, in the order of their names. The
// error is about the folder; what is wrong with a worker stands with it.
func loadFolder(folder string, defined api.Definitions, all kinds) ([]definition, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && (len(defined) == 0 || !errors.Is(err, fs.ErrNotExist)) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no folder %s; make it, or name the one that holds the workers: %w", folder, err)
		}
		return nil, err
	}
	elsewhere := map[string]api.Definition{}
	for _, one := range defined {
		elsewhere[one.Worker] = one
	}
	var list []definition
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		// A worker may be a link to a folder elsewhere.
		if info, err := os.Stat(path); strings.HasPrefix(e.Name(), ".") || err == nil && !info.IsDir() {
			continue
		}
		if _, there := elsewhere[e.Name()]; there {
			continue
		}
		document, err := conf.LoadDocument(workerYAML(path))
		list = append(list, load(e.Name(), path, document, err, all))
	}
	for _, one := range defined {
		path := filepath.Join(folder, one.Worker)
		document, err := conf.ParseDocument(one.Name, one.Text)
		d := load(one.Worker, path, document, err, all)
		if problem := doubtful(path, one); problem != "" {
			d.problems = append(d.problems, conf.Problem{Origin: conf.Origin{Name: one.Name}, Message: problem})
		}
		list = append(list, d)
	}
	slices.SortStableFunc(list, func(x, y definition) int { return strings.Compare(x.name, y.name) })
	return list, nil
}

// workerYAML is the definition of the worker with this folder.
func workerYAML(folder string) string { return filepath.Join(folder, "config", "worker.yaml") }

// doubtful says what is wrong with the folder of a worker that is defined elsewhere.
func doubtful(folder string, one api.Definition) string {
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Sprintf("there is no folder %s, where the worker's files stand and its paths begin; make it (backend.workers says where the workers are)", folder)
	}
	if _, err := os.Lstat(workerYAML(folder)); err == nil {
		return fmt.Sprintf("worker %s is defined by %s, too; remove one of them", one.Worker, workerYAML(folder))
	}
	return ""
}

// load makes a definition of one worker.yaml; err says why it cannot be read.
func load(name, folder string, document *conf.Document, err error, all kinds) definition {
	d := definition{name: name}
	if err != nil {
		d.problems = conf.ProblemsOf(err)
		return d
	}
	d.problems = d.read(folder, document, all)
	return d
}

// read fills the definition, and says what is wrong with it.
func (d *definition) read(folder string, document *conf.Document, all kinds) []conf.Problem {
	d.document = document
	d.settings = defaultWorker()
	problems := document.Decode(&d.settings, all.names()...)
	k, ok := all[d.settings.Type]
	if !ok && d.settings.Type != "" {
		problems = append(problems, document.Problems("", []settings.Problem{all.unknown(d.settings.Type)})...)
	}
	if !ok {
		return problems
	}
	d.kind = k
	absFolder, err := filepath.Abs(folder)
	if err != nil {
		return document.Problems("", []settings.Problem{{Message: err.Error()}})
	}
	if len(problems) == 0 { // what follows from a mistake told already is noise
		problems = document.Problems("", d.check(absFolder, all.names(), document))
	}
	section, _ := document.Section(d.settings.Type)
	if section == nil {
		section = map[string]any{}
	}
	d.limits = k.limits()
	if pool, ok := section["pool"]; ok {
		tree, isMap := pool.(map[string]any)
		if !isMap {
			problems = append(problems, document.Problems(d.settings.Type, []settings.Problem{{Path: "pool", Message: "this is a section: give its settings on lines of their own"}})...)
		}
		problems = append(problems, document.Problems(d.settings.Type+".pool", settings.Decode(tree, &d.limits))...)
		delete(section, "pool")
	}
	d.spec = api.PluginSpec{
		Type: d.settings.Type, Worker: filepath.Base(absFolder), Folder: absFolder,
		MaxWorkers: d.limits.MaxWorkers, User: d.settings.User, Group: d.settings.Group,
		Limits: d.settings.Isolation.limits(), Cgroup: d.settings.Isolation.cgroup(),
	}
	if d.settings.DocumentRoot != "" {
		d.spec.DocumentRoot = absolute(absFolder, d.settings.DocumentRoot)
	}
	problems = append(problems, document.Problems(d.settings.Type, k.launch(d, section))...)
	raw, err := json.Marshal(section)
	if err != nil {
		problems = append(problems, document.Problems("", []settings.Problem{{Path: d.settings.Type, Message: err.Error()}})...)
	}
	d.spec.Settings = raw
	return problems
}

// checkMiddleware finds names that nothing on this server has.
func (d *definition) checkMiddleware(all api.Middlewares) {
	if d.document != nil {
		d.problems = append(d.problems, d.document.Problems("", all.Problems(d.settings.Middleware))...)
	}
}

// check finds what the types of the settings cannot say.
func (d *definition) check(folder string, types []string, document *conf.Document) []settings.Problem {
	var bad []settings.Problem
	say := func(path, format string, args ...any) {
		bad = append(bad, settings.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	s := &d.settings
	for _, t := range types {
		if _, there := document.Section(t); there && t != s.Type {
			say(t, "the worker's type is %s, so this section has no effect; remove it", s.Type)
		}
	}
	if d.kind.scripts {
		root := absolute(folder, s.DocumentRoot)
		if s.DocumentRoot == "" {
			say("document_root", "a %s worker needs the folder of its scripts", s.Type)
		} else if info, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
			say("document_root", "there is no folder %s; make it, or name another", root)
		} else if err != nil {
			say("document_root", "%v", err)
		} else if !info.IsDir() {
			say("document_root", "%s is not a folder", root)
		}
	}
	s.checkOwner(say)
	return bad
}

// checkOwner finds names that this machine does not know, and what only root may do.
func (s *workerSettings) checkOwner(say func(path, format string, args ...any)) {
	s.FastCGI.checkOwner(say)
	allowed := func(path, name, id string, own int) {
		if os.Geteuid() != 0 && id != strconv.Itoa(own) {
			say(path, "only a server started as root can run a worker as %s; leave it out, or start the server as root", name)
		}
	}
	if s.User != "" {
		if u, err := user.Lookup(s.User); err != nil {
			say("user", "there is no user %q on this machine; make it (useradd --system %s), or name another", s.User, s.User)
		} else {
			allowed("user", s.User, u.Uid, os.Geteuid())
		}
	}
	if s.Group != "" {
		if g, err := user.LookupGroup(s.Group); err != nil {
			say("group", "there is no group %q on this machine; make it (groupadd --system %s), or name another", s.Group, s.Group)
		} else {
			allowed("group", s.Group, g.Gid, os.Getegid())
		}
	}
}

// checkOwner finds names that this machine does not know.
func (l *workerListeners) checkOwner(say func(path, format string, args ...any)) {
	if l.SocketOwner != "" {
		u, err := user.Lookup(l.SocketOwner)
		switch {
		case err != nil:
			say("fastcgi.socket_owner", "there is no user %q on this machine; make it, or name another", l.SocketOwner)
		case os.Geteuid() != 0 && u.Uid != strconv.Itoa(os.Geteuid()):
			say("fastcgi.socket_owner", "only a server started as root can give a socket to %s; leave it out, or start the server as root", l.SocketOwner)
		}
	}
	if l.SocketGroup != "" {
		if _, err := user.LookupGroup(l.SocketGroup); err != nil {
			say("fastcgi.socket_group", "there is no group %q on this machine; make it, or name another", l.SocketGroup)
		}
	}
}

// Validate checks what stands alone.
func (s *workerSettings) Validate() []settings.Problem {
	var bad []settings.Problem
	say := func(path, message string) { bad = append(bad, settings.Problem{Path: path, Message: message}) }
	if s.Path == "" && len(s.FastCGI.Listen) > 0 {
		if len(s.Hosts) > 0 {
			say("hosts", "has no effect without path: only the worker's own addresses lead to it")
		}
	} else if !strings.HasPrefix(s.Path, "/") {
		say("path", "give the URL prefix of the worker, beginning with a slash: / or /blog")
	} else if s.Path != "/" && (filepath.Clean(s.Path) != s.Path || strings.ContainsAny(s.Path, "?#%\\ ")) {
		say("path", "write it plainly, without a final slash, dots, or escapes: /blog")
	}
	if s.Type == "" {
		say("type", "say what runs the worker: php, go, command, or the name of a plugin")
	}
	for i, host := range s.Hosts {
		if host == "" || strings.ContainsAny(host, "/: *") {
			say(fmt.Sprintf("hosts[%d]", i), "give a plain host name, without port or wildcard: example.org")
		}
	}
	return bad
}

// absolute is path below folder unless it is absolute itself.
func absolute(folder, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(folder, path)
}
