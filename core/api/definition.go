package api

// Definition is the worker.yaml of a worker that does not stand in the worker's
// folder.
type Definition struct {
	// Worker is its name, and that of its folder below the one that holds the workers.
	Worker string
	// Name of the text in messages: "etcd://host:2379/tq/workers/blog/worker.yaml".
	Name string
	Text []byte
}

// Definitions are all of them, in the order of their names.
type Definitions []Definition
