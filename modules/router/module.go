package router

import (
	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/module"
)

// Section is the part of the configuration that turns this module on.
var Section = conf.NewSection("router", func() Config { return Config{} })

// Config of the router: its routes come from the workers.
type Config struct{}

// Module describes the module.
func Module() module.Descriptor {
	return module.Descriptor{
		ID:      "router",
		Summary: "Finds the worker for a request: by host and longest path, or by script.",
		Section: Section,
		Needs:   []string{"backend"},
		Options: fx.Module("router", fx.Provide(
			New,
			func(rt *Router) api.Router { return rt },
			fx.Annotate(func(rt *Router) api.Check { return rt.Check }, fx.ResultTags(`group:"checks"`)),
		)),
	}
}
