package api

import "sync"

// Kept is what modules keep from one generation to the next: open connections,
// processes. Zero is ready.
type Kept struct {
	mu     sync.Mutex
	values map[string]any
}

// KeptValue returns what is kept under key, which make makes at the first call.
// A module uses its ID as the key, and one type.
func KeptValue[T any](k *Kept, key string, make func() T) T {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.values == nil {
		k.values = map[string]any{}
	}
	if v, ok := k.values[key].(T); ok {
		return v
	}
	v := make()
	k.values[key] = v
	return v
}
