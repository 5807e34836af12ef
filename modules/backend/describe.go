package backend

import "github.com/mevdschee/tqserver/core/conf"

// phpSection is what this module reads of the section "php"; the rest is the plugin's.
type phpSection struct {
	Pool poolSettings `conf:"pool" doc:"How requests meet the worker's processes."`
}

// otherSection is what this module reads of the section of a plugin of the configuration.
type otherSection struct {
	Pool poolSettings `conf:"pool" doc:"How requests meet the worker's process."`
}

// commandSection is what this module reads of the section "command"; the rest is the plugin's.
type commandSection struct {
	Pool poolSettings `conf:"pool" doc:"How requests meet the worker's processes."`
}

// Worker describes worker.yaml, but for the settings of the plugins.
func Worker() *conf.WorkerSpec {
	return &conf.WorkerSpec{
		Defaults: defaultWorker(), Required: []string{"type"},
		Types: []conf.WorkerType{
			{Name: "php", Defaults: phpSection{Pool: defaultPool()}},
			{Name: "go", Defaults: defaultGo()},
			{Name: "command", Defaults: commandSection{Pool: streamPool()}},
		},
		Other: &conf.WorkerType{Defaults: otherSection{Pool: streamPool()}},
	}
}
