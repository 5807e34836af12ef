package accesslog

import (
	"context"
	"log/slog"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/module"
)

// Module describes the module.
func Module() module.Descriptor {
	return module.Descriptor{
		ID:      "access_log",
		Summary: "Writes a line for every request, where `middleware` names access_log.",
		Section: Section,
		Options: fx.Module("access_log",
			fx.Provide(Section.Decode, fx.Private),
			fx.Provide(provide, fx.Private),
			module.Middleware(func(l *Log) api.Middleware { return api.Middleware{Name: "access_log", Wrap: l.Wrap} }),
			fx.Provide(
				fx.Annotate(func(l *Log) api.Check { return l.Check }, fx.ResultTags(`group:"checks"`)),
				fx.Annotate(func(l *Log) api.Reopen { return l.Reopen }, fx.ResultTags(`group:"reopens"`)),
			),
		),
	}
}

type params struct {
	fx.In
	Life   fx.Lifecycle
	Config Config
	Where  api.Where `optional:"true"`
	Log    *slog.Logger
}

// provide makes the log with the life of the generation: from before the workers
// start until they have all ended, so that the lines of their last requests are
// written.
func provide(p params) *Log {
	l := New(p.Config, p.Where, p.Log)
	p.Life.Append(fx.Hook{
		OnStart: func(context.Context) error { return l.Open() },
		OnStop:  l.Close,
	})
	return l
}
