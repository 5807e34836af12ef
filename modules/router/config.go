package router

import "github.com/mevdschee/tqserver/core/conf"

// Section is the part of the configuration that turns this module on.
var Section = conf.NewSection("router", func() Config { return Config{} })

// Config of the router; its routes come from the workers.
type Config struct {
	Middleware []string `conf:"middleware" doc:"What every request passes on its way to the workers, in this order: names of middlewares, each of a module whose section stands in the configuration. A worker.yaml may name more." source:"none: nothing stands between the fronts and the workers"`
}
