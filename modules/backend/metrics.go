package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mevdschee/tqserver/core/api"
)

// Metrics implements api.WorkerMetrics: it asks all plugins that run at once.
func (b *Backend) Metrics(ctx context.Context) (map[string][]byte, error) {
	var mu sync.Mutex
	texts := make(map[string][]byte)
	err := each(b.workers, func(h *hosted) error {
		if h.site == nil {
			return nil
		}
		text, err := h.site.metrics(ctx)
		switch {
		case errors.Is(err, errors.ErrUnsupported), errors.Is(err, api.ErrPluginGone):
			return nil
		case err != nil:
			return fmt.Errorf("worker %s: %w", h.name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		texts[h.name] = text
		return nil
	})
	return texts, err
}

// metrics asks the plugin that serves; at rest there is none.
func (s *site) metrics(ctx context.Context) ([]byte, error) {
	c := s.serving.Load()
	if c == nil {
		return nil, api.ErrPluginGone
	}
	return c.plugin.Metrics(ctx)
}
