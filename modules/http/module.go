package http

import (
	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
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
			fx.Provide(New, fx.Private),
			fx.Provide(
				fx.Annotate(func(s *Server) api.Service { return s }, fx.ResultTags(`group:"fronts"`)),
				fx.Annotate(func(s *Server) api.Check { return s.Check }, fx.ResultTags(`group:"checks"`)),
			),
		),
	}
}
