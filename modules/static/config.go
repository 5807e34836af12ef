package static

import (
	"strings"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Section is the part of the configuration that turns this module on.
var Section = conf.NewSection("static", DefaultConfig)

// Config of the static module.
type Config struct {
	CacheControl string `conf:"cache_control" doc:"Cache-Control header of every static file, such as max-age=3600; empty means none, and caches ask again by their own rules." source:"nginx sends none by default (expires off)"`
}

// DefaultConfig sends no Cache-Control, as nginx does by default.
func DefaultConfig() Config { return Config{} }

// Validate refuses what cannot stand in a header.
func (c *Config) Validate() []settings.Problem {
	if strings.ContainsFunc(c.CacheControl, func(r rune) bool { return r < ' ' || r > '~' }) {
		return []settings.Problem{{Path: "cache_control", Message: "has characters that cannot stand in a header"}}
	}
	return nil
}
