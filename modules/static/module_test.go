package static

import (
	"log/slog"
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
)

func TestModuleGivesAFileServer(t *testing.T) {
	tree, err := conf.Load(conf.Options{Files: []string{"testdata/good/all.yaml"}, Sections: []conf.Spec{Section}})
	if err != nil {
		t.Fatal(err)
	}
	var server api.FileServer
	app := fxtest.New(t, Module().Options, fx.Supply(tree, slog.New(slog.DiscardHandler)), fx.Populate(&server))
	app.RequireStart().RequireStop()
	if files, ok := server.(*Files); !ok || files.cacheControl != "public, max-age=3600" {
		t.Errorf("got %+v", server)
	}
}
