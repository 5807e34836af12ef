package contestant

import "context"

// lighttpdConf is Debian's 15-fastcgi-php.conf, with as many processes as the
// others have and, as PHP-FPM, without an end of theirs.
const lighttpdConf = `
server.modules = ( "mod_fastcgi" )
server.document-root = "{public}"
server.errorlog = "{dir}/lighttpd.log"
server.upload-dirs = ( "{dir}" )
server.bind = "127.0.0.1"
server.port = {port}
fastcgi.server = ( ".php" => ((
	"bin-path" => "{php-cgi} -c {ini}",
	"socket" => "{dir}/php.sock",
	"max-procs" => 1,
	"bin-environment" => ( "PHP_FCGI_CHILDREN" => "{processes}", "PHP_FCGI_MAX_REQUESTS" => "0" ),
	"bin-copy-environment" => ( "PATH" ),
	"broken-scriptfilename" => "enable"
)) )
`

func startLighttpd(_ context.Context, r *run) error {
	file, err := r.fill("lighttpd.conf", lighttpdConf)
	if err != nil {
		return err
	}
	_, err = r.launch("lighttpd", r.site.Tools[Lighttpd], "-D", "-f", file)
	return err
}
