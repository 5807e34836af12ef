package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// residents is the server's memory in bytes, and how many goroutines it has.
func (s *server) residents(t *testing.T, c *http.Client, admin string) (memory, goroutines float64) {
	t.Helper()
	text := must(t, c, 200, "GET", "http://"+admin+"/metrics", nil).body
	value := func(name string) float64 {
		match := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
		if match == nil {
			t.Fatalf("no %s in the metrics", name)
		}
		v, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	return value("process_resident_memory_bytes"), value("go_goroutines")
}

// Two hundred reloads under load by both protocols, with changes of routes,
// settings, sockets and workers, some of them wrong: no request fails, and
// nothing is left over.
func TestTwoHundredReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	needPHP(t)
	const config = baseConfig + "admin: {listen: ['127.0.0.1:0']}\n"
	const secondYAML = "workers/second/config/worker.yaml"
	second := func(path, listen string) string {
		return "path: " + path + "\ntype: php\ndocument_root: public\nphp: {pool: {max_workers: 2}}\nfastcgi: {listen: [" + listen + "]}\n"
	}
	s := start(t, options{files: map[string]string{
		"config/tqserver.yaml": config, appYAML: workerYAML("m"), secondYAML: second("/second", ""),
		"workers/second/public/index.php": "<?php echo 'second';",
	}})
	s.allow("reload failed", "go on as they were")
	admin := s.log.wait(t, time.Second, 0, "answering for operators").text("address")
	fronts := s.fronts(t)
	c := newClient(t)
	gets := startLoad(t, 6, urls(fronts, "/sleep.php?ms=4")...)
	posts := startPosts(t, 3, urls(fronts, "/echo.php")...)

	var failed int
	var memory, goroutines float64
	var files int
	for i := range 200 {
		now := config
		route, listen, wrong := "/second", "", ""
		switch i % 10 {
		case 1:
			route = "/zweite"
		case 2:
			now = strings.Replace(now, "http:", fmt.Sprintf("http:\n  idle_timeout: %ds", 60+i), 1)
		case 3:
			now = strings.Replace(now, "fastcgi:", fmt.Sprintf("fastcgi:\n  idle_timeout: %ds", 60+i), 1)
		case 4:
			listen = "'unix:own.sock'"
		case 5:
			now, wrong = now+"nonsense:\n", "nonsense"
		case 6:
			wrong = secondYAML
		case 7:
			now = strings.Replace(now, "fastcgi:", "fastcgi:\n  socket_mode: '0666'", 1)
		case 8:
			now = strings.Replace(now, `"unix:f.sock"`, `"unix:f.sock", "unix:g.sock"`, 1)
		case 9:
			if i%40 == 9 { // the worker under load gets new processes
				write(t, s.path(appYAML), workerYAML(fmt.Sprint("m", i)))
			}
		}
		write(t, s.path("config/tqserver.yaml"), now)
		if text := second(route, listen); i%10 == 6 {
			write(t, s.path(secondYAML), "path: nowhere\n"+text)
		} else {
			write(t, s.path(secondYAML), text)
		}
		from := s.log.len()
		line := s.hangup(t)
		if wrong == "" && line.msg != "reloaded" {
			t.Fatalf("reload %d: %s", i, line.raw)
		}
		if wrong != "" {
			failed++
			s.log.wait(t, time.Second, from, wrong)
		}
		if i%10 < 2 { // what changed is there
			must(t, c, 200, "GET", fronts[i%2].url(route+"/"), nil)
		}
		if i == 59 {
			// The memory allocator has seen everything by now.
			memory, goroutines = s.residents(t, c, admin)
			files = len(openFiles(s.pid))
		}
	}
	gets.end(t)
	posts.end(t)
	t.Logf("%d requests, %d reloads that were to fail", gets.served.Load()+posts.served.Load(), failed)
	if text := fronts[1].nginx.errors(); strings.Contains(text, "[error]") {
		t.Error("nginx saw connections fail")
	}
	want := []string{"1 × guardian", "2 × php"}
	var processes []string
	if !becomes(10*time.Second, func() bool { processes = kinds(s.family()); return slices.Equal(processes, want) }) {
		t.Errorf("processes: %q, want %q", processes, want)
	}
	var memoryNow, goroutinesNow float64
	if !becomes(20*time.Second, func() bool {
		memoryNow, goroutinesNow = s.residents(t, c, admin)
		return goroutinesNow <= goroutines && len(openFiles(s.pid)) <= files
	}) {
		t.Errorf("%v goroutines and %d files, under load after 60 reloads %v and %d", goroutinesNow, len(openFiles(s.pid)), goroutines, files)
	}
	t.Logf("memory %.1f → %.1f MiB, goroutines %v → %v", memory/(1<<20), memoryNow/(1<<20), goroutines, goroutinesNow)
	if grown := memoryNow - memory; grown > 16<<20 && !raced() {
		t.Errorf("%.1f MiB more memory after 140 more reloads", grown/(1<<20))
	}
	if left, err := os.ReadDir(s.path("run")); err != nil || len(left) != 3 { // lock, control socket, private folder
		t.Errorf("in the runtime folder: %v %v", left, err)
	}
	if exists(s.path("own.sock")) {
		t.Error("a worker's own socket is left")
	}
}

// kinds are the processes by their last argument, but for php-cgi's.
func kinds(procs []proc) []string {
	seen := map[string]int{}
	for _, p := range procs {
		if !strings.HasPrefix(p.comm, "php-cgi") {
			seen[p.cmdline[strings.LastIndexByte(p.cmdline, ' ')+1:]]++
		}
	}
	var all []string
	for name, n := range seen {
		all = append(all, fmt.Sprintf("%d × %s", n, name))
	}
	slices.Sort(all)
	return all
}
