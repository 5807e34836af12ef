package conf

import "github.com/mevdschee/tqserver/sdk/settings"

// Tell puts file and line to problems of a section that its decoding cannot see;
// the paths are below the section. The error is an *Errors.
func (t *Tree) Tell(section string, problems ...settings.Problem) error {
	return Err(located(t.places, section, problems))
}
