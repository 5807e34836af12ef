// Package etcdconf reads configuration files from an etcd cluster and tells when they
// change. The keys below a prefix are like files below a folder: PREFIX/tqserver.yaml,
// what it includes, PREFIX/workers/NAME/worker.yaml. It is the only package that knows
// etcd's client.
package etcdconf
