package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/telemetry"
)

// tellEvery is how often, at most, the server's log is told of lost lines.
const tellEvery = 10 * time.Second

// Log is the access log of one generation.
type Log struct {
	cfg   Config
	json  bool
	where api.Where
	log   *slog.Logger

	// Since Open.
	file  *file // nil for the standard output
	async *telemetry.Async

	mu     sync.Mutex
	told   uint64 // lost lines, in all
	last   time.Time
	failed time.Time
}

// New returns a log that writes between Open and Close. where may be nil.
func New(cfg Config, where api.Where, log *slog.Logger) *Log {
	if where == nil {
		where = func(path string) string { return path }
	}
	return &Log{cfg: cfg, json: cfg.Format == formatJSON, where: where, log: log}
}

// Check says why the file cannot be written.
func (l *Log) Check(context.Context, bool) error {
	if l.cfg.File == stdout {
		return nil
	}
	return l.wrong(writable(l.cfg.File))
}

// wrong puts the setting before an error, if there is one.
func (l *Log) wrong(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w; make the folder, or give the server's user the right to write there", l.where("access_log.file"), err)
}

// Open opens the file.
func (l *Log) Open() error {
	if l.cfg.File == stdout {
		l.start(os.Stdout)
		return nil
	}
	f := &file{path: l.cfg.File}
	if err := f.open(); err != nil {
		return l.wrong(err)
	}
	l.file = f
	l.start(f)
	return nil
}

func (l *Log) start(w io.Writer) {
	l.async = telemetry.NewAsync(teller{w, l}, int(l.cfg.Buffer), l.lost)
}

// Reopen opens the file of this name anew: the other one was moved.
func (l *Log) Reopen() error {
	if l.file == nil {
		return nil
	}
	return l.wrong(l.file.open())
}

// Close writes out what waits, until ctx ends. It may be called twice, and
// without Open.
func (l *Log) Close(ctx context.Context) error {
	if l.async == nil {
		return nil
	}
	err := l.async.Close(ctx)
	l.tell(l.async.Dropped(), true)
	if l.file != nil {
		if closed := l.file.Close(); !errors.Is(closed, os.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}
	return err
}

// lost is called by the writer when there was no room. Nothing is put among the
// lines: what reads them knows one format.
func (l *Log) lost(uint64) []byte {
	l.tell(l.async.Dropped(), false)
	return nil
}

// tell says how many lines were lost since it said so last.
func (l *Log) tell(dropped uint64, now bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if dropped == l.told || !now && time.Since(l.last) < tellEvery {
		return
	}
	l.log.Warn("lines of the access log were dropped because they could not be written fast enough, or not at all",
		"file", l.cfg.File, "lines", dropped-l.told, "hint", "look at the disk; access_log.buffer bounds what waits")
	l.told, l.last = dropped, time.Now()
}

// teller tells of writes that fail.
type teller struct {
	io.Writer
	l *Log
}

func (t teller) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := t.Writer.Write(b)
	if err == nil {
		return n, nil
	}
	l := t.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.failed) >= tellEvery {
		l.failed = time.Now()
		l.log.Error("writing the access log", "file", l.cfg.File, "error", err)
	}
	return n, err
}
