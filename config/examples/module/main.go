// Command module is a server with a module of one's own: cmd/tqserver/main.go with one more
// descriptor. docs/guide/write-a-module.md explains it.
package main

import (
	"net/http"
	"os"
	"strings"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/app"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/module"
	"github.com/mevdschee/tqserver/modules/standard"
	"github.com/mevdschee/tqserver/plugins/php"
	"github.com/mevdschee/tqserver/sdk/settings"
)

func main() { os.Exit(app.Main(build())) }

func build() app.Build {
	return app.Build{
		Modules: append(standard.Modules(), greeting()),
		Plugins: []app.Plugin{{Name: "php", New: php.New}},
	}
}

// greetingConfig is the section `greeting` of tqserver.yaml.
type greetingConfig struct {
	Header string `conf:"header" doc:"Name of the header that every response gets." source:"the guide"`
	Text   string `conf:"text" doc:"What the header says." source:"none: it has to be given"`
}

// Validate finds what the types of the settings cannot.
func (c *greetingConfig) Validate() []settings.Problem {
	if c.Text == "" || strings.ContainsFunc(c.Text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return []settings.Problem{{Path: "text", Message: "give a text of printable ASCII, which a header can hold"}}
	}
	return nil
}

// greeting describes the module.
func greeting() module.Descriptor {
	section := conf.NewSection("greeting", func() greetingConfig { return greetingConfig{Header: "X-Greeting"} })
	return module.Descriptor{
		ID:      "greeting",
		Summary: "Adds a header to every response.",
		Section: section,
		Options: fx.Module("greeting",
			fx.Provide(section.Decode, fx.Private),
			module.Middleware(newGreeting),
		),
	}
}

func newGreeting(c greetingConfig) api.Middleware {
	return api.Middleware{Name: "greeting", Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(c.Header, c.Text)
			next.ServeHTTP(w, r)
		})
	}}
}
