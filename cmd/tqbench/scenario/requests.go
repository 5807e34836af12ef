package scenario

import (
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/mevdschee/tqserver/cmd/tqbench/contestant"
	"github.com/mevdschee/tqserver/cmd/tqbench/load"
)

const helloAnswer = "Hello from TQServer!\n"

// is checks for one body.
func is(want string) func(string) error {
	return func(body string) error {
		if body != want {
			return fmt.Errorf("%d bytes, beginning with %.100q; want %d bytes, beginning with %.100q", len(body), body, len(want), want)
		}
		return nil
	}
}

func hello(*contestant.Site) load.Request {
	return load.Request{Path: "/hello.php", Check: is(helloAnswer)}
}

func goHello(*contestant.Site) load.Request {
	return load.Request{Path: "/go", Check: is(helloAnswer)}
}

func firstPool(*contestant.Site) load.Request { return poolHello(1) }

func poolHello(n int) load.Request {
	return load.Request{Path: contestant.PoolPath(n) + "/hello.php", Check: is(helloAnswer)}
}

func cpu(s *contestant.Site) load.Request {
	return load.Request{Path: "/cpu.php", Check: is(s.CPU)}
}

func large(*contestant.Site) load.Request {
	return load.Request{Path: "/large.php", Check: is(strings.Repeat("0123456789abcdef\n", 11765) + "\n")}
}

func post(*contestant.Site) load.Request {
	body := strings.Repeat("x", 1<<20)
	return load.Request{Path: "/post.php", Body: body, Check: is(fmt.Sprintf("%d %08x\n", len(body), crc32.ChecksumIEEE([]byte(body))))}
}

func wiki(*contestant.Site) load.Request {
	return load.Request{Path: "/wiki/doku.php", Check: func(body string) error {
		if !strings.Contains(body, contestant.WikiTitle) || !strings.Contains(body, "</html>") {
			return fmt.Errorf("not a whole page of the wiki: %d bytes, beginning with %.300q", len(body), body)
		}
		return nil
	}}
}

// slow is asked for another path by fromIdle, which says how slow.
func slow(*contestant.Site) load.Request {
	return load.Request{Path: "/slow.php?ms=", Check: func(body string) error {
		if len(strings.TrimSpace(body)) < 16 {
			return fmt.Errorf("not a time in microseconds: %.100q", body)
		}
		return nil
	}}
}
