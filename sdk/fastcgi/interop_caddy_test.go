package fastcgi

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
)

// TestInteropCaddy: Caddy opens a connection for each request.
func TestInteropCaddy(t *testing.T) {
	caddy := tool(t, "caddy")
	networks(t, func(t *testing.T, serve func(testing.TB, Handler, func(*Server)) *rig) {
		t.Helper()
		s := newFullSite()
		g := serve(t, HTTPHandler(s, HTTPOptions{}), nil)
		dir, address := t.TempDir(), freePort(t)
		_, port, _ := net.SplitHostPort(address)
		upstream := g.l.Addr().String()
		if g.l.Addr().Network() == "unix" {
			upstream = "unix/" + upstream
		}
		conf := write(t, filepath.Join(dir, "Caddyfile"), fmt.Sprintf(`{
	admin off
	auto_https off
}
http://:%[1]s {
	bind 127.0.0.1
	reverse_proxy %[2]s {
		flush_interval -1
		transport fastcgi
	}
}
`, port, upstream))
		home := []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
		run(t, home, caddy, "run", "--adapter", "caddyfile", "--config", conf)
		// Caddy 2.6 shows STDERR nowhere, not even with capture_stderr, and sends
		// a CONTENT_LENGTH of -1 for a chunked upload; 2.9 refuses it.
		visitAll(t, g, s, webServer{base: "http://" + address, chunked: []int{200, 411}, streams: true, endsCut: true})
	})
}
