// Package standard lists the modules that come with the server. Who wants
// others copies cmd/tqserver/main.go and appends to the list.
package standard

import (
	"github.com/mevdschee/tqserver/core/module"
	"github.com/mevdschee/tqserver/modules/accesslog"
	"github.com/mevdschee/tqserver/modules/admin"
	"github.com/mevdschee/tqserver/modules/backend"
	"github.com/mevdschee/tqserver/modules/fastcgi"
	"github.com/mevdschee/tqserver/modules/http"
	"github.com/mevdschee/tqserver/modules/router"
	"github.com/mevdschee/tqserver/modules/static"
)

// Modules returns the descriptors of our own modules.
func Modules() []module.Descriptor {
	return []module.Descriptor{
		http.Module(),
		fastcgi.Module(),
		router.Module(),
		static.Module(),
		backend.Module(),
		admin.Module(),
		accesslog.Module(),
	}
}
