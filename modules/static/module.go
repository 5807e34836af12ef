package static

import (
	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/module"
)

// Module describes the module.
func Module() module.Descriptor {
	return module.Descriptor{
		ID:      "static",
		Summary: "Sends static files of the workers' document roots.",
		Section: Section,
		Options: fx.Module("static",
			fx.Provide(Section.Decode, fx.Private),
			fx.Provide(fx.Annotate(New, fx.As(new(api.FileServer)))),
		),
	}
}
