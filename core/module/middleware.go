package module

import (
	"errors"
	"fmt"
	"reflect"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
)

// Middleware is the option of a module that contributes a middleware. constructor
// is a function that returns an api.Middleware, and may return an error; its
// parameters are what it needs of the module and of the core. What the modules
// backend and router provide is not among them: these are made of the middlewares.
func Middleware(constructor any) fx.Option {
	f, middleware, failure := reflect.TypeOf(constructor), reflect.TypeFor[api.Middleware](), reflect.TypeFor[error]()
	switch {
	case f == nil || f.Kind() != reflect.Func:
		return fx.Error(errors.New("module.Middleware takes a function that returns an api.Middleware"))
	case f.NumOut() == 1 && f.Out(0) == middleware, f.NumOut() == 2 && f.Out(0) == middleware && f.Out(1) == failure:
		return fx.Provide(fx.Annotate(constructor, fx.ResultTags(`group:"middlewares"`)))
	}
	return fx.Error(fmt.Errorf("module.Middleware takes a function that returns an api.Middleware, and an error if it can fail; not %v", f))
}
