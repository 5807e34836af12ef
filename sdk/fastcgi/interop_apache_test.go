package fastcgi

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestInteropApache: mod_proxy_fcgi, which takes "enablereuse=on" for
// FCGI_KEEP_CONN and spools a chunked upload to know its length.
func TestInteropApache(t *testing.T) {
	apache := tool(t, "apache2", "httpd")
	networks(t, func(t *testing.T, serve func(testing.TB, Handler, func(*Server)) *rig) {
		t.Helper()
		for _, reuse := range []string{"on", "off"} {
			t.Run("enablereuse="+reuse, func(t *testing.T) {
				s := newFullSite()
				g := serve(t, HTTPHandler(s, HTTPOptions{}), nil)
				dir, address := t.TempDir(), freePort(t)
				upstream := "fcgi://" + g.l.Addr().String() + "/"
				if g.l.Addr().Network() == "unix" {
					upstream = "unix:" + g.l.Addr().String() + "|fcgi://localhost/"
					forOthers(t, g.l.Addr().String())
				}
				conf := write(t, filepath.Join(dir, "apache.conf"), fmt.Sprintf(apacheConf, dir, apacheModules(t), address, upstream, reuse))
				run(t, nil, apache, "-DFOREGROUND", "-d", dir, "-f", conf)
				visitAll(t, g, s, webServer{
					base: "http://" + address, log: filepath.Join(dir, "log"), chunked: []int{200}, streams: true,
				})
				if st := g.Stats(); (reuse == "on") != (st.Accepted < st.Requests) {
					t.Errorf("%d connections for %d requests", st.Accepted, st.Requests)
				}
			})
		}
	})
}

// apacheConf: root cannot serve (compiled in), so it becomes nobody.
const apacheConf = `ServerRoot %[1]s
LoadModule mpm_event_module %[2]s/mod_mpm_event.so
LoadModule authz_core_module %[2]s/mod_authz_core.so
LoadModule proxy_module %[2]s/mod_proxy.so
LoadModule proxy_fcgi_module %[2]s/mod_proxy_fcgi.so
User "#65534"
Group "#65534"
DefaultRuntimeDir %[1]s
PidFile %[1]s/pid
ErrorLog %[1]s/log
LogLevel info
ServerName localhost
Listen %[3]s
StartServers 1
ServerLimit 2
ThreadsPerChild 64
MaxRequestWorkers 128
KeepAliveTimeout 1
ProxyPass / "%[4]s" enablereuse=%[5]s flushpackets=on
`

func apacheModules(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"} {
		if _, err := os.Stat(filepath.Join(dir, "mod_proxy_fcgi.so")); err == nil {
			return dir
		}
	}
	return tool(t, "the folder of Apache's mod_proxy_fcgi.so")
}

// forOthers lets a web server that is not root use the socket.
func forOthers(t *testing.T, socket string) {
	t.Helper()
	dir := filepath.Dir(socket)
	if err := errors.Join(os.Chmod(socket, 0o777), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
}
