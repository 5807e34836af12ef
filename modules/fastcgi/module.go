package fastcgi

import (
	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
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
			fx.Provide(New, fx.Private),
			fx.Provide(
				fx.Annotate(func(s *Server) api.Service { return s }, fx.ResultTags(`group:"fronts"`)),
				fx.Annotate(func(s *Server) api.Check { return s.Check }, fx.ResultTags(`group:"checks"`)),
			),
		),
	}
}
