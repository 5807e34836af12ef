package main

import (
	"log/slog"
	"net"
	"testing"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/front"
	"github.com/mevdschee/tqserver/core/module"
	"github.com/mevdschee/tqserver/modules/standard"
)

// consumed asks for everything the modules provide: fx.ValidateApp looks at
// nothing that nobody uses.
type consumed struct {
	fx.In
	Fronts   []api.Service `group:"fronts"`
	Backends []api.Service `group:"backends"`
	Outlooks []api.Service `group:"outlooks"`
	Checks   []api.Check   `group:"checks"`
	Reopens  []api.Reopen  `group:"reopens"`
	Router   api.Router
	Workers  api.Workers
	Files    api.FileServer
}

// validate checks the graph of the modules with what core/app supplies.
func validate(modules []module.Descriptor) error {
	options := []fx.Option{
		fx.NopLogger,
		fx.Supply(&conf.Tree{}, slog.New(slog.DiscardHandler), api.Runtime{}, &api.Kept{}, front.NewRequests(), api.Reloading(false)),
		fx.Provide(
			func() api.Draining { return nil },
			func() api.Plugins { return nil },
			func() api.Failed { return nil },
			func() api.Claim { return nil },
			func() api.Listen {
				return func(string, string, api.SocketFile) (net.Listener, error) { return nil, nil } //nolint:nilnil // never called
			},
		),
		fx.Invoke(func(consumed) {}),
	}
	for _, d := range modules {
		options = append(options, d.Options)
	}
	return fx.ValidateApp(options...)
}

func TestModuleGraphIsComplete(t *testing.T) {
	if err := validate(standard.Modules()); err != nil {
		t.Error(err)
	}
}

// A check must have been seen to fail.
func TestModuleGraphCheckFindsAMissingModule(t *testing.T) {
	all := standard.Modules()
	for i, d := range all {
		if d.ID == "http" || d.ID == "fastcgi" || d.ID == "admin" || d.ID == "access_log" {
			continue // of groups: the fronts, of which one is enough, the outlooks, and the middlewares
		}
		without := append(append([]module.Descriptor{}, all[:i]...), all[i+1:]...)
		if validate(without) == nil {
			t.Errorf("nobody misses module %s", d.ID)
		}
	}
}
