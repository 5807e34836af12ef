// Command index is the sample Go worker: it shows the request it got, streams,
// and reads what is posted. It imports the sdk only.
package main

import "github.com/mevdschee/tqserver/sdk"

func main() {
	sdk.Serve(newHandler())
}
