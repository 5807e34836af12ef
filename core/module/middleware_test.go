package module

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
)

func TestMiddlewareIsTyped(t *testing.T) {
	for _, c := range []struct {
		constructor any
		want        string
	}{
		{func() api.Middleware { return api.Middleware{Name: "x"} }, ""},
		{func() (api.Middleware, error) { return api.Middleware{}, errors.New("no luck") }, "no luck"},
		{func() string { return "" }, "returns an api.Middleware"},
		{nil, "takes a function"},
		{api.Middleware{}, "takes a function"},
	} {
		var got []api.Middleware
		err := fx.New(fx.NopLogger, Middleware(c.constructor), fx.Invoke(func(in struct {
			fx.In
			All []api.Middleware `group:"middlewares"`
		},
		) {
			got = in.All
		})).Err()
		if c.want == "" && (err != nil || len(got) != 1 || got[0].Name != "x") {
			t.Errorf("%v, %v", got, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%T: %v", c.constructor, err)
		}
	}
}
