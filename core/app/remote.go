package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/etcdconf"
)

const (
	// mainFile is the configuration file of a source in etcd.
	mainFile = "tqserver.yaml"
	// workersFolder holds the definitions of workers there: workers/NAME/worker.yaml.
	workersFolder, workerFile = "workers/", "/worker.yaml"
)

// remote is what of a configuration came from etcd.
type remote struct {
	sources     []*etcdconf.Source
	files       []etcdconf.Files // of each source
	definitions api.Definitions
	problems    []conf.Problem
	doubts      []string // why a copy is used instead
}

// names are the files of --config as messages have them.
func (f *configFlags) names() string {
	names := make([]string, 0, len(f.files))
	for _, file := range f.files {
		if source, err := etcdconf.Parse(file, os.Getenv); etcdconf.Is(file) && err == nil {
			file = source.Name()
		}
		names = append(names, file)
	}
	return strings.Join(names, ", ")
}

// options are what conf.Load reads for these flags. With stale, the copy of a
// source that does not answer will do.
func (f *configFlags) options(ctx context.Context, stale bool) (conf.Options, remote, error) {
	o := conf.Options{Environ: os.Environ(), Sets: f.sets}
	if f.dev { // first, so that another --set overrides it
		o.Sets = append([]string{"server.watch=true"}, f.sets...)
	}
	var r remote
	var errs []error
	for _, file := range f.files {
		if !etcdconf.Is(file) {
			o.Files = append(o.Files, file)
			continue
		}
		source, err := etcdconf.Parse(file, os.Getenv)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files, err := source.Read(ctx)
		if stale && errors.Is(err, etcdconf.ErrAway) {
			files, err = r.fallBack(source, err)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.sources, r.files = append(r.sources, source), append(r.files, files)
		o.Files = append(o.Files, source.Name())
		o.Folders = append(o.Folders, conf.Folder{
			Name: source.Name(), Main: mainFile, Files: r.define(source, files),
			Missing: "put it there: etcdctl put " + source.Key("%[1]s") + " <%[1]s",
		})
	}
	return o, r, errors.Join(errs...)
}

// fallBack takes the copy of a source that does not answer.
func (r *remote) fallBack(source *etcdconf.Source, away error) (etcdconf.Files, error) {
	files, found, err := source.Saved()
	if err != nil || !found {
		return nil, errors.Join(away, err)
	}
	r.doubts = append(r.doubts, fmt.Sprintf("%v; the copy of what was served last is used until it answers", away))
	return files, nil
}

// define takes the definitions of workers out of the files, and returns the others.
func (r *remote) define(source *etcdconf.Source, files etcdconf.Files) etcdconf.Files {
	others := etcdconf.Files{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		below, ok := strings.CutPrefix(name, workersFolder)
		if !ok {
			others[name] = files[name]
			continue
		}
		origin := conf.Origin{Name: source.Name() + "/" + name}
		worker, ok := strings.CutSuffix(below, workerFile)
		if !ok || worker == "" || strings.Contains(worker, "/") || worker[0] == '.' {
			r.problems = append(r.problems, conf.Problem{Origin: origin, Message: "is no worker's; that is " + workersFolder + "NAME" + workerFile + ", the name without / and not beginning with a dot"})
			continue
		}
		if i := slices.IndexFunc(r.definitions, func(d api.Definition) bool { return d.Worker == worker }); i >= 0 {
			r.problems = append(r.problems, conf.Problem{Origin: origin, Message: "worker " + worker + " is defined by " + r.definitions[i].Name + ", too; remove one of them"})
			continue
		}
		r.definitions = append(r.definitions, api.Definition{Worker: worker, Name: origin.Name, Text: files[name]})
	}
	return others
}

// watchRemote reloads when a source's files change, until the server stops.
func (p *process) watchRemote(i int) {
	g := p.current.Load()
	source := g.remote.sources[i]
	source.Watch(p.stopping, p.log, g.remote.files[i], func() {
		p.log.Info("reloading: the configuration in etcd has changed", "source", source.Name())
		_, _ = p.reload(p.stopping, false) // which logs
	})
}

// keepCopies saves what the generation was made from, for a start while etcd is away.
func (p *process) keepCopies(r remote) {
	if len(r.doubts) > 0 {
		return // that is a copy itself
	}
	for i, source := range r.sources {
		if err := source.Save(r.files[i]); err != nil {
			p.log.Error("the configuration cannot be kept for a start without etcd", "error", err)
		}
	}
}
