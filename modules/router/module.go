package router

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/module"
)

// Module describes the module.
func Module() module.Descriptor {
	return module.Descriptor{
		ID:      "router",
		Summary: "Finds the worker for a request: by host and longest path, or by script.",
		Section: Section,
		Needs:   []string{"backend"},
		Options: fx.Module("router",
			fx.Provide(Section.Decode, fx.Private),
			fx.Provide(provide, fx.Private),
			fx.Provide(
				(*Router).Serving,
				fx.Annotate(func(rt *Router) api.Check { return rt.Check }, fx.ResultTags(`group:"checks"`)),
			),
		),
	}
}

type params struct {
	fx.In
	Config      Config
	Workers     api.Workers
	Middlewares []api.Middleware `group:"middlewares"`
	Where       api.Where        `optional:"true"`
	Log         *slog.Logger
}

func provide(p params) *Router {
	return New(p.Config, Deps{Workers: p.Workers, Middlewares: p.Middlewares, Where: p.Where, Log: p.Log})
}
