package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// nginxHead is what every generated nginx.conf begins with. A single process
// in the foreground: the test ends it by its pid.
const nginxHead = `
daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log warn;
events { worker_connections 4096; }
http {
	access_log off; client_max_body_size 128m; keepalive_timeout 60s; default_type text/plain;
	client_body_temp_path %[1]s/body; fastcgi_temp_path %[1]s/fastcgi;
	proxy_temp_path %[1]s/proxy; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	upstream tcp { server %[2]s; keepalive 16; }
	upstream unix { server unix:%[3]s; keepalive 16; }
`

// byRoute sends what config/examples/nginx.conf sends: no SCRIPT_FILENAME.
const byRoute = `
	fastcgi_keep_conn on;
	fastcgi_param QUERY_STRING $query_string;      fastcgi_param REQUEST_METHOD $request_method;
	fastcgi_param CONTENT_TYPE $content_type;      fastcgi_param CONTENT_LENGTH $content_length;
	fastcgi_param REQUEST_URI $request_uri;        fastcgi_param DOCUMENT_URI $document_uri;
	fastcgi_param SERVER_PROTOCOL $server_protocol; fastcgi_param REQUEST_SCHEME $scheme;
	fastcgi_param GATEWAY_INTERFACE CGI/1.1;       fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
	fastcgi_param REMOTE_ADDR $remote_addr;        fastcgi_param REMOTE_PORT $remote_port;
	fastcgi_param SERVER_ADDR $server_addr;        fastcgi_param SERVER_PORT $server_port;
	fastcgi_param SERVER_NAME $server_name;
	location / { fastcgi_pass %s; }
`

// snippet is the PHP-FPM style of Debian's snippets/fastcgi-php.conf: nginx
// splits PATH_INFO off and tests that the script exists.
const snippet = `
	root %s; index index.php;
	location / { try_files $uri $uri/ =404; }
	location ~ \.php(/|$) { include /etc/nginx/snippets/fastcgi-php.conf; fastcgi_keep_conn on; fastcgi_pass tcp; }
`

// plainFPM is the style of most how-tos, without try_files: whether the script
// exists is the application server's business.
const plainFPM = `
	root %s; index index.php;
	location ~ \.php(/|$) {
		include /etc/nginx/fastcgi_params; fastcgi_split_path_info ^(.+?\.php)(/.*)$;
		fastcgi_param PATH_INFO $fastcgi_path_info; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
		fastcgi_keep_conn off; fastcgi_pass %s;
	}
`

// nginx is a running nginx.
type nginx struct {
	dir       string
	addresses []string // host:port, one for each server block
}

// startNginx runs nginx before s with one server block for each body, until
// the end of the test.
func (s *server) startNginx(t *testing.T, bodies ...string) *nginx {
	t.Helper()
	path := nginxPath(t)
	dir, err := os.MkdirTemp(s.dir, "nginx") //nolint:usetesting // it ends with the server's folder
	if err != nil {
		t.Fatal(err)
	}
	if params, err := os.ReadFile("/etc/nginx/fastcgi.conf"); err == nil {
		write(t, dir+"/fastcgi.conf", string(params)) // the snippet includes it so
	}
	n := &nginx{dir: dir}
	// A port that is free now can be taken before nginx binds it: then others
	// are tried.
	for try := 1; ; try++ {
		n.configure(t, s, bodies)
		if why := n.run(t, exec.Command(path, "-e", dir+"/error.log", "-p", dir, "-c", dir+"/nginx.conf")); why == "" {
			return n
		} else if try == 3 || !strings.Contains(why, "bind()") {
			t.Fatal(why)
		}
	}
}

// configure writes nginx.conf with free ports.
func (n *nginx) configure(t *testing.T, s *server, bodies []string) {
	t.Helper()
	n.addresses = nil
	var conf strings.Builder
	fmt.Fprintf(&conf, nginxHead, n.dir, s.tcp, s.unix)
	for _, body := range bodies {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // after all, so that no two are the same
		n.addresses = append(n.addresses, l.Addr().String())
		fmt.Fprintf(&conf, "\tserver { listen %s; server_name localhost;%s\t}\n", l.Addr(), body)
	}
	conf.WriteString("}\n")
	write(t, n.dir+"/nginx.conf", conf.String())
}

// run starts nginx and ends it, by its pid, with the test. It says why nginx
// did not start.
func (n *nginx) run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	over := func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	up := func() bool { return exists(n.dir + "/pid") }
	if !becomes(10*time.Second, func() bool { return up() || over() }) || over() {
		_ = cmd.Process.Kill()
		<-ended
		return fmt.Sprintf("nginx did not start: %v\n%s%s", cmd.ProcessState, out.String(), n.errors())
	}
	t.Cleanup(func() {
		if over() {
			t.Errorf("nginx ended by itself: %v", cmd.ProcessState)
		}
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			text := n.errors()
			t.Logf("the end of nginx's error log:\n%s", text[max(0, len(text)-2500):])
		}
	})
	return ""
}

// errors is nginx's error log.
func (n *nginx) errors() string {
	text, _ := os.ReadFile(n.dir + "/error.log")
	return string(text)
}
