package fastcgi

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
)

// TestInteropLighttpd: lighttpd opens a connection for each request.
func TestInteropLighttpd(t *testing.T) {
	lighttpd := tool(t, "lighttpd")
	networks(t, func(t *testing.T, serve func(testing.TB, Handler, func(*Server)) *rig) {
		t.Helper()
		for _, streams := range []string{"0", "1", "2"} {
			t.Run("stream-response-body="+streams, func(t *testing.T) {
				s := newFullSite()
				g := serve(t, HTTPHandler(s, HTTPOptions{}), nil)
				dir, address := t.TempDir(), freePort(t)
				host, port, _ := net.SplitHostPort(address)
				upstream := fmt.Sprintf(`"socket" => %q`, g.l.Addr())
				if a, ok := g.l.Addr().(*net.TCPAddr); ok {
					upstream = fmt.Sprintf(`"host" => "127.0.0.1", "port" => %d`, a.Port)
				}
				conf := write(t, filepath.Join(dir, "lighttpd.conf"), fmt.Sprintf(`server.document-root = %[1]q
server.errorlog = %[2]q
server.bind = %[3]q
server.port = %[4]s
server.upload-dirs = ( %[1]q )
server.stream-request-body = %[5]s
server.stream-response-body = %[5]s
server.modules = ( "mod_fastcgi" )
fastcgi.server = ( "/" => (( %[6]s, "check-local" => "disable" )) )
`, dir, filepath.Join(dir, "log"), host, port, streams, upstream))
				run(t, nil, lighttpd, "-D", "-f", conf)
				// Without streaming the head is made when the end is known, and the
				// body is spooled; with it only one that has arrived whole is taken.
				ws := webServer{base: "http://" + address, log: filepath.Join(dir, "log"), chunked: []int{200}, endsCut: true}
				if streams != "0" {
					ws.streams, ws.chunked, ws.endsCut = true, []int{200, 411}, false
				}
				visitAll(t, g, s, ws)
			})
		}
	})
}
