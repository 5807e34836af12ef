package conf

import (
	"strings"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// place remembers where each setting was written: a tree of the same form as
// the settings, whose keys are plain keys, "[0]" for entries of a list.
type place struct {
	origin Origin
	below  map[string]*place
	leaf   bool // a scalar or a list: it replaces what an earlier layer said
}

func newPlace(origin Origin) *place {
	return &place{origin: origin, below: map[string]*place{}}
}

// merge lays a later layer over p: a leaf replaces, a branch keeps the origin of the
// first layer that has it.
func (p *place) merge(over *place) {
	for key, o := range over.below {
		mine, ok := p.below[key]
		if !ok || o.leaf || mine.leaf {
			p.below[key] = o
			continue
		}
		mine.merge(o)
	}
}

// find returns the origin of path, or that of the nearest parent that was written.
func (p *place) find(path string) Origin {
	best, rest := (*place)(nil), ""
	for key, below := range p.below {
		for _, form := range []string{key, strings.TrimPrefix(settings.Join("", key), ".")} {
			left, ok := strings.CutPrefix(path, form)
			if !ok || (left != "" && left[0] != '.' && left[0] != '[') {
				continue
			}
			// A key may hold dots ("opcache.enable"): the longest match is it.
			if best == nil || len(left) < len(rest) {
				best, rest = below, left
			}
		}
	}
	if best == nil {
		return p.origin
	}
	return best.find(strings.TrimPrefix(rest, "."))
}
