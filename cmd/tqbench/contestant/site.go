package contestant

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

//go:embed public/*.php php.ini
var files embed.FS

// Site is what every contestant serves.
type Site struct {
	Dir    string // scratch folder; unix sockets below it have short paths
	Public string // document root
	INI    string // php.ini
	Tools  Tools
	CPU    string        // what cpu.php answers
	Took   time.Duration // that cpu.php took
}

// cpuTarget is how long cpu.php is to run.
const cpuTarget = 5 * time.Millisecond

// NewSite lays out the site in dir. computes says that cpu.php will be asked.
func NewSite(ctx context.Context, dir string, tools Tools, computes bool) (*Site, error) {
	s := &Site{Dir: dir, Public: filepath.Join(dir, "public"), INI: filepath.Join(dir, "php.ini"), Tools: tools}
	if err := os.MkdirAll(filepath.Join(dir, "sessions"), 0o700); err != nil {
		return nil, fmt.Errorf("folder of the site: %w", err)
	}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		if name == "php.ini" {
			text = fmt.Appendf(text, "session.save_path = %s/sessions\n", dir)
		}
		return writeFile(filepath.Join(dir, name), string(text))
	})
	if err != nil {
		return nil, fmt.Errorf("writing the site: %w", err)
	}
	if computes {
		if err := s.calibrate(ctx); err != nil {
			return nil, err
		}
	}
	if tools[Dokuwiki] != "" {
		if err := s.installWiki(); err != nil {
			return nil, fmt.Errorf("installing dokuwiki: %w", err)
		}
	}
	return s, nil
}

func writeFile(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// calibrateTries is how often the script is timed; the shortest counts.
const calibrateTries = 7

// calibrate gives cpu.php as many rounds as take 5 ms on this machine.
func (s *Site) calibrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	name := filepath.Join(s.Public, "cpu.php")
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("calibrating cpu.php: %w", err)
	}
	const million = 1_000_000
	rounds := million
	for range 2 { // the second time to see what came of it
		set := bytes.Replace(text, []byte("1000000;"), fmt.Appendf(nil, "%d;", rounds), 1)
		if bytes.Equal(set, text) && rounds != million {
			return errors.New("calibrating cpu.php: it has no number of rounds")
		}
		if err := writeFile(name, string(set)); err != nil {
			return fmt.Errorf("calibrating cpu.php: %w", err)
		}
		if s.CPU, s.Took, err = s.timeScript(ctx, name); err != nil {
			return err
		}
		rounds = max(1, int(float64(rounds)*float64(cpuTarget)/float64(s.Took)))
	}
	return nil
}

// timeScript runs a script alone and takes PHP's own start off.
func (s *Site) timeScript(ctx context.Context, name string) (answer string, took time.Duration, err error) {
	timer := filepath.Join(s.Dir, "timer.php")
	if err := writeFile(timer, fmt.Sprintf("<?php $t = hrtime(true); include %q; echo hrtime(true) - $t;", name)); err != nil {
		return "", 0, fmt.Errorf("timing %s: %w", name, err)
	}
	var times []time.Duration
	for range calibrateTries {
		cmd := exec.CommandContext(ctx, s.Tools[PHPCGI], "-q", "-c", s.INI, timer)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		out, err := cmd.Output()
		if err != nil {
			return "", 0, fmt.Errorf("timing %s: %w: %.300s", name, err, out)
		}
		line, rest, ok := bytes.Cut(out, []byte("\n"))
		var ns int64
		if n, _ := fmt.Sscan(string(rest), &ns); !ok || n != 1 || ns <= 0 {
			return "", 0, fmt.Errorf("timing %s: it answered %.300q", name, out)
		}
		answer = string(line) + "\n"
		times = append(times, time.Duration(ns))
	}
	return answer, slices.Min(times), nil
}
