package contestant

import (
	"context"
	"path/filepath"
)

// startBehind starts the Go application that others proxy to.
func (r *run) startBehind(ctx context.Context) error {
	socket := filepath.Join(r.Dir, "go.sock")
	p, err := r.launch("nethttp", r.site.Tools[Peer], "serve", "unix:"+socket)
	if err != nil {
		return err
	}
	return p.listens(ctx, socket)
}

func startNetHTTP(_ context.Context, r *run) error {
	_, err := r.launch("nethttp", r.site.Tools[Peer], "serve", "127.0.0.1:"+r.port)
	return err
}

func startReverseProxy(ctx context.Context, r *run) error {
	if err := r.startBehind(ctx); err != nil {
		return err
	}
	_, err := r.launch("reverseproxy", r.site.Tools[Peer], "proxy", "127.0.0.1:"+r.port, "unix:"+filepath.Join(r.Dir, "go.sock"))
	return err
}

func startPlugin(_ context.Context, r *run) error {
	_, err := r.launch("grpc", r.site.Tools[Peer], "grpc", "127.0.0.1:"+r.port)
	return err
}
