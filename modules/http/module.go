package http

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/front"
	"github.com/mevdschee/tqserver/core/module"
)

// Module describes the module.
func Module() module.Descriptor {
	return module.Descriptor{
		ID:      "http",
		Summary: "Accepts HTTP/1.1 from clients.",
		Section: Section,
		Needs:   []string{"router"},
		Options: fx.Module("http",
			fx.Provide(Section.Decode, fx.Private),
			fx.Provide(provide, fx.Private),
			fx.Provide(
				fx.Annotate(func(s *Server) api.Service { return s }, fx.ResultTags(`group:"fronts"`)),
				fx.Annotate(func(s *Server) api.Check { return s.Check }, fx.ResultTags(`group:"checks"`)),
			),
		),
	}
}

type params struct {
	fx.In
	Config   Config
	Router   api.Router
	Kept     *api.Kept
	Requests *front.Requests
	Listen   api.Listen
	Claim    api.Claim
	Failed   api.Failed
	Log      *slog.Logger
}

func provide(p params) *Server {
	return New(p.Config, p.Router, front.Deps{
		Doors:    api.KeptValue(p.Kept, "http", func() *front.Doors { return &front.Doors{} }),
		Requests: p.Requests, Listen: p.Listen, Claim: p.Claim, Failed: p.Failed, Log: p.Log,
	})
}
