package accesslog

import (
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Section is the part of the configuration that turns this module on.
var Section = conf.NewSection("access_log", DefaultConfig)

// Config of the access log.
type Config struct {
	File   string         `conf:"file" doc:"File that lines are appended to, made with mode 0640 when it is not there; stdout means the standard output." source:"what collects the output of containers and services reads it"`
	Format string         `conf:"format" enum:"combined,json" doc:"Form of a line: combined, as Apache and nginx write it, or json, which tells more." source:"nginx's access_log"`
	Buffer settings.Bytes `conf:"buffer" doc:"Most that waits to be written; of what is more, lines are dropped, counted and told in the log." source:"as the server's own log: some ten thousand lines"`
}

const (
	stdout     = "stdout"
	formatJSON = "json"
)

// DefaultConfig writes the combined format to the standard output.
func DefaultConfig() Config { return Config{File: stdout, Format: "combined", Buffer: 4 << 20} }

// Validate checks the bounds.
func (c *Config) Validate() []settings.Problem {
	bad := settings.Positive(settings.Bound{Path: "buffer", Value: int64(c.Buffer)})
	if c.File == "" {
		bad = append(bad, settings.Problem{Path: "file", Message: "give a file, or stdout"})
	}
	return bad
}
