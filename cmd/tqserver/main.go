// Command tqserver serves PHP and Go applications. For a server with modules
// or plugins of your own, copy this file and append to the two lists.
package main

import (
	"os"

	"github.com/mevdschee/tqserver/core/app"
	"github.com/mevdschee/tqserver/modules/standard"
	"github.com/mevdschee/tqserver/plugins/command"
	"github.com/mevdschee/tqserver/plugins/php"
)

//go:generate go run . config reference ../..

func main() { os.Exit(app.Main(build())) }

func build() app.Build {
	return app.Build{
		Modules: standard.Modules(),
		Plugins: []app.Plugin{{Name: "php", New: php.New}, {Name: "command", New: command.New}},
	}
}
