// Package pluginhost starts plugin processes and keeps them running: it shakes
// hands, asks for the states, passes lent endpoints on, replaces a plugin that
// died or hangs, and leaves nothing behind. It is the only host-side importer
// of go-plugin, of which it uses the handshake and the connection; starting,
// watching and ending processes are its own, because go-plugin's ways can hang
// and leave grandchildren (docs/adr).
//
// What ends a process, from the polite to the certain:
//   - Stop: the Stop call with its deadline, then the end of the lifeline pipe
//     and SIGTERM, then SIGKILL to the plugin's group and to every process group
//     it reported.
//   - Reap: SIGKILL to every group known, at any time.
//   - The guardian, a process of its own, does the same when this one has died.
package pluginhost
