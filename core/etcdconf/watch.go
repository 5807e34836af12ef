package etcdconf

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"github.com/mevdschee/tqserver/core/quiet"
)

// How long keys must have been left alone before a change is told, since a deployment
// writes more than one, and how long that may put it off.
const (
	watchQuiet = 300 * time.Millisecond
	watchMost  = 3 * time.Second
)

// The pause before etcd is asked again, at first and at most.
const retryFirst, retryMost = 200 * time.Millisecond, 10 * time.Second

var errLost = errors.New("the connection to etcd was lost")

// watcher is a watch under way.
type watcher struct {
	*Source
	log     *slog.Logger
	last    Files
	changed func()
	away    bool // which has been told
	pause   time.Duration
}

// Watch calls changed, one call at a time, whenever the files differ from those that
// were told last, the first time from those given, until ctx ends. While etcd
// is away it asks again and again; then what has changed meanwhile is told.
func (s *Source) Watch(ctx context.Context, log *slog.Logger, files Files, changed func()) {
	w := &watcher{Source: s, log: log.With("source", s.Name()), last: files, changed: changed, pause: retryFirst}
	for ctx.Err() == nil {
		err := w.connected(ctx)
		if ctx.Err() != nil {
			return
		}
		if !w.away {
			w.away = true
			w.log.Warn("etcd is away; the configuration of before serves on", "error", err)
		}
		select {
		case <-time.After(w.pause/2 + rand.N(w.pause)): //nolint:gosec // no secret
		case <-ctx.Done():
		}
		w.pause = min(2*w.pause, retryMost)
	}
}

// connected tells changes until the connection is lost.
func (w *watcher) connected(ctx context.Context) error {
	ctx, lost := context.WithCancelCause(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer lost(nil)
	client, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	files, revision, err := w.read(ctx, client)
	if err != nil {
		return err
	}
	if w.away {
		w.log.Info("etcd is back")
	}
	w.away, w.pause = false, retryFirst
	// The client would go on by itself; but after a restore from a backup it
	// would wait for a revision that is far away, and nobody would know.
	waiting.Go(func() {
		conn := client.ActiveConnection()
		for state := conn.GetState(); state == connectivity.Ready; state = conn.GetState() {
			if !conn.WaitForStateChange(ctx, state) {
				return
			}
		}
		lost(errLost)
	})
	events := client.Watch(clientv3.WithRequireLeader(ctx), w.Key(""), clientv3.WithPrefix(), clientv3.WithRev(revision+1))
	w.tell(files)
	return w.follow(ctx, client, events)
}

// follow reads the files anew when their keys have been left alone for a while.
func (w *watcher) follow(ctx context.Context, client *clientv3.Client, events clientv3.WatchChan) error {
	still := quiet.New(watchQuiet, watchMost)
	still.Stop() // until the first change
	defer still.Stop()
	for {
		select {
		case event, ok := <-events:
			if err := event.Err(); err != nil {
				return err // of a compaction, too: then all is read again
			}
			if !ok {
				return errLost
			}
			still.Changed()
		case <-still.C:
			still.Begin()
			files, _, err := w.read(ctx, client)
			if err != nil {
				return err
			}
			w.tell(files)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *watcher) tell(files Files) {
	if !files.Equal(w.last) {
		w.last = files
		w.changed()
	}
}
