package admin

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
		ID:      "admin",
		Summary: "Shows workers, health and metrics to operators.",
		Section: Section,
		Needs:   []string{"backend"},
		Options: fx.Module("admin",
			fx.Provide(Section.Decode, fx.Private),
			fx.Provide(provide, fx.Private),
			fx.Provide(
				fx.Annotate(func(f *front.Front) api.Service { return f }, fx.ResultTags(`group:"outlooks"`)),
				fx.Annotate(func(f *front.Front) api.Check { return f.Check }, fx.ResultTags(`group:"checks"`)),
			),
		),
	}
}

type params struct {
	fx.In
	Config   Config
	Operator api.Operator
	Draining api.Draining
	Metrics  api.WorkerMetrics `optional:"true"`
	Runtime  api.Runtime
	Kept     *api.Kept
	Requests *front.Requests
	Listen   api.Listen
	Claim    api.Claim
	Failed   api.Failed
	Log      *slog.Logger
}

func provide(p params) (*front.Front, error) {
	a, err := New(p.Config, Deps{Operator: p.Operator, Draining: p.Draining, Metrics: p.Metrics, Version: p.Runtime.Version, Log: p.Log})
	if err != nil {
		return nil, err
	}
	return newFront(p.Config, a, front.Deps{
		Doors:    api.KeptValue(p.Kept, "admin", func() *front.Doors { return &front.Doors{} }),
		Requests: p.Requests, Listen: p.Listen, Claim: p.Claim, Failed: p.Failed, Log: p.Log,
	}), nil
}
