package module

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/conf"
)

// Descriptor describes a module. It is data: making one has no side effect.
type Descriptor struct {
	// ID names the module in messages and lists: lower case, as its folder.
	ID string
	// Summary is one sentence for `tqserver modules`.
	Summary string
	// Section holds the module's settings, and turns it on.
	Section conf.Spec
	// Worker describes worker.yaml; of one module at most.
	Worker *conf.WorkerSpec
	// Needs are the IDs of modules this one cannot work without.
	Needs []string
	// Options wire the module; normally one fx.Module of the same name.
	Options fx.Option
}

var validID = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// Assemble returns the modules of all that are on, in the order of all. core
// lists the sections that belong to no module, such as the log. The error holds
// every problem: bad or repeated IDs, missing parts, a section with two owners,
// and all that is wrong with the configuration, an unknown section among it
// (*conf.Errors, which errors.As finds).
func Assemble(all []Descriptor, tree *conf.Tree, core ...conf.Spec) (on []Descriptor, err error) {
	var errs []error
	ids, owners := map[string]bool{}, map[string]string{}
	for _, spec := range core {
		owners[spec.Key()] = "the core"
	}
	specs := slices.Clip(core)
	for i, d := range all {
		switch {
		case !validID.MatchString(d.ID):
			errs = append(errs, fmt.Errorf("module %d of the list: bad ID %q: lower case letters, digits and _ only", i+1, d.ID))
			continue
		case ids[d.ID]:
			errs = append(errs, fmt.Errorf("module %s: the ID is in the list twice", d.ID))
			continue
		case d.Summary == "" || d.Section == nil || d.Options == nil:
			errs = append(errs, fmt.Errorf("module %s: summary, section and options are all required", d.ID))
			continue
		}
		ids[d.ID] = true
		key := d.Section.Key()
		if owner, taken := owners[key]; taken {
			errs = append(errs, fmt.Errorf("module %s: its section %q belongs to %s already", d.ID, key, owner))
			continue
		}
		owners[key] = "module " + d.ID
		specs = append(specs, d.Section)
		if tree.Has(key) {
			on = append(on, d)
		}
	}
	for _, d := range on {
		for _, need := range d.Needs {
			if !slices.ContainsFunc(on, func(o Descriptor) bool { return o.ID == need }) {
				errs = append(errs, fmt.Errorf("module %s needs module %s, which is not on: put its section into the configuration", d.ID, need))
			}
		}
	}
	errs = append(errs, tree.Check(specs...))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return on, nil
}
