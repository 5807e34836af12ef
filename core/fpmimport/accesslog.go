package fpmimport

import (
	"slices"
	"strings"
)

const noAccessLog = "let the web server log requests; it sees what reaches the client, and this server logs what fails"

// accessFile is the first pool that logs its requests, and its file, absolute: the
// server has one access log for all workers.
func (j *job) accessFile() (name, file string) {
	for _, s := range j.source.pools {
		p := &pool{job: j, set: map[string]string{}}
		for _, l := range s.lines {
			p.set[l.name] = l.value
		}
		if log := p.set["access.log"]; log != "" {
			return s.name, p.logPath(log)
		}
	}
	return "", ""
}

// logPath makes a log file's name absolute, as fpm_evaluate_full_path does.
func (p *pool) logPath(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return p.path(name)
}

// accessLog puts the access log before the worker.
func (p *pool) accessLog(l line) outcome {
	if !p.options.Known("access_log.file") || !p.known("middleware") {
		return lost(noAccessLog)
	}
	p.out.set([]string{"middleware"}, []string{"access_log"}, "")
	first, file := p.accessFile()
	if p.name != first && p.logPath(l.value) != file {
		o := equivalent("middleware", "requests are logged to the file of the pool "+first+": the server has one access log; access_log.format: json names the worker")
		o.look = true
		return o
	}
	return taken("access_log.file, middleware", "")
}

// inCombined are the parts of access.format that the combined format has: address,
// user, time, method, URI, query, status, bytes.
const inCombined = "RutTmrqQslf%"

// accessFormat tells what of the format the written one has.
func (p *pool) accessFormat(l line) outcome {
	if p.set["access.log"] == "" {
		return notNeeded("PHP-FPM does nothing with it without access.log")
	}
	if !p.options.Known("access_log.format") {
		return lost(noAccessLog)
	}
	var missing []string
	format := l.value
	for i := strings.IndexByte(format, '%'); i >= 0 && i+1 < len(format); i = strings.IndexByte(format, '%') {
		format = format[i+1:]
		if strings.HasPrefix(format, "{") {
			_, format, _ = strings.Cut(format, "}")
		}
		if format == "" {
			break
		}
		if part := "%" + format[:1]; strings.IndexByte(inCombined, format[0]) < 0 && !slices.Contains(missing, part) {
			missing = append(missing, part)
		}
		format = format[1:]
	}
	if len(missing) == 0 {
		return equivalent("access_log.format", "the lines have the combined format, as Apache and nginx write it")
	}
	o := equivalent("access_log.format", "the lines have the combined format, which has no "+strings.Join(missing, ", ")+"; access_log.format: json tells more, such as how long a request waited and ran")
	o.look = true
	return o
}

// suppressPath is lost: every request is logged.
func (p *pool) suppressPath(line) outcome {
	if p.set["access.log"] == "" {
		return notNeeded("PHP-FPM does nothing with it without access.log")
	}
	return lost("every request is logged; leave such lines out where the log is read")
}
