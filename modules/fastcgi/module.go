package fastcgi

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
		ID:      "fastcgi",
		Summary: "Accepts FastCGI from web servers, by TCP and unix sockets.",
		Section: Section,
		Needs:   []string{"router", "backend"},
		Options: fx.Module("fastcgi",
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
	Workers  api.Workers
	Kept     *api.Kept
	Requests *front.Requests
	Listen   api.Listen
	Claim    api.Claim
	Failed   api.Failed
	Log      *slog.Logger
}

func provide(p params) (*Server, error) {
	return New(p.Config, p.Router, p.Workers, front.Deps{
		Doors:    api.KeptValue(p.Kept, "fastcgi", func() *front.Doors { return &front.Doors{} }),
		Requests: p.Requests, Listen: p.Listen, Claim: p.Claim, Failed: p.Failed, Log: p.Log,
	})
}
