package backend

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/module"
)

// Module describes the module.
func Module() module.Descriptor {
	return module.Descriptor{
		ID:      "backend",
		Summary: "Runs the workers: their plugins, and a pool of connections to each.",
		Section: Section,
		Worker:  Worker(),
		Options: fx.Module("backend",
			fx.Provide(Section.Decode, fx.Private),
			fx.Provide(provide, fx.Private),
			fx.Provide((*Backend).Workers, func(b *Backend) api.Operator { return b }),
			fx.Provide(func(b *Backend) api.WorkerMetrics { return b.Metrics }),
			fx.Provide(fx.Annotate(func(b *Backend) api.Service { return b }, fx.ResultTags(`group:"backends"`))),
			fx.Provide(fx.Annotate(func(b *Backend) api.Check { return b.Check }, fx.ResultTags(`group:"checks"`))),
			fx.Provide(fx.Annotate(func(b *Backend) api.Drain { return b.Drain }, fx.ResultTags(`group:"drains"`))),
			fx.Provide(fx.Annotate(func(b *Backend) api.Report { return b.Report }, fx.ResultTags(`group:"reports"`))),
		),
	}
}

type params struct {
	fx.In
	Config      Config
	Plugins     api.Plugins
	Runtime     api.Runtime
	Types       api.PluginTypes  `optional:"true"`
	Definitions api.Definitions  `optional:"true"`
	Kept        *api.Kept        `optional:"true"`
	Reloading   api.Reloading    `optional:"true"`
	Refused     *api.Refused     `optional:"true"`
	Files       api.FileServer   `optional:"true"`
	Where       api.Where        `optional:"true"`
	Middlewares []api.Middleware `group:"middlewares"`
	Log         *slog.Logger
}

func provide(p params) *Backend {
	return New(p.Config, Deps{
		Plugins: p.Plugins, Runtime: p.Runtime, Types: p.Types, Definitions: p.Definitions, Kept: p.Kept, Reloading: p.Reloading, Refused: p.Refused, Files: p.Files, Where: p.Where, Middlewares: p.Middlewares, Log: p.Log,
	})
}
