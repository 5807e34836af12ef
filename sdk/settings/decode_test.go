package settings_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/sdk/settings"
)

type poolSettings struct {
	Manager string        `conf:"manager" enum:"static,dynamic,ondemand" doc:"How it scales." source:"T"`
	Min     int           `conf:"min_workers" doc:"Least workers." source:"T" unit:"processes"`
	Max     uint8         `conf:"max_workers" doc:"Most workers." source:"T" unit:"processes"`
	Idle    time.Duration `conf:"idle_timeout" doc:"Idle time; 0 means none." source:"T"`
}

func (p poolSettings) Validate() []settings.Problem {
	var all []settings.Problem
	if p.Min > int(p.Max) {
		all = append(all, settings.Problem{Path: "min_workers", Message: "must not exceed max_workers"})
	}
	if p.Max == 13 {
		all = append(all, settings.Problem{Message: "is unlucky"})
	}
	return all
}

type rule struct {
	Name string `conf:"name" doc:"Name of the rule." source:"T"`
	On   bool   `conf:"on" doc:"Whether it applies." source:"T"`
}

func (r *rule) Validate() []settings.Problem {
	if r.Name == "" {
		return []settings.Problem{{Path: "name", Message: "is required"}}
	}
	return nil
}

type sample struct {
	Listen []string            `conf:"listen" doc:"Addresses." source:"T"`
	Mode   settings.FileMode   `conf:"mode" doc:"Mode." source:"T"`
	Body   settings.Bytes      `conf:"body" doc:"Bytes; 0 means none." source:"T"`
	Env    map[string]string   `conf:"env" doc:"Variables." source:"T"`
	Pool   poolSettings        `conf:"pool" doc:"Pool." source:"T"`
	Rules  []rule              `conf:"rules" doc:"Rules." source:"T"`
	Limits map[string]rule     `conf:"limits" doc:"Limits." source:"T"`
	Ratio  *int64              `conf:"ratio" doc:"Absent is not zero." source:"T" unit:"parts"`
	Extra  *poolSettings       `conf:"extra" doc:"A second pool." source:"T"`
	Peer   netip.Addr          `conf:"peer" doc:"An address." source:"T"`
	Nested map[string][]string `conf:"nested" doc:"Lists by name." source:"T"`

	Ignored string
	secret  int //nolint:unused // unexported fields are no settings
}

func defaults() sample {
	return sample{
		Listen: []string{"a", "b"},
		Mode:   0o660,
		Body:   8 << 20,
		Env:    map[string]string{"A": "1"},
		Pool:   poolSettings{Manager: "static", Min: 1, Max: 8, Idle: 10 * time.Second},
	}
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestDecode(t *testing.T) {
	ratio := int64(0)
	tests := []struct {
		name, text string
		want       func(*sample)
	}{
		{"nothing keeps the defaults", `{}`, func(*sample) {}},
		{"an empty group keeps the defaults", `{"pool": null}`, func(*sample) {}},
		{"missing nested keys keep theirs", `{"pool": {"idle_timeout": "1m30s"}}`, func(s *sample) { s.Pool.Idle = 90 * time.Second }},
		{"a list replaces the default list", `{"listen": ["c"]}`, func(s *sample) { s.Listen = []string{"c"} }},
		{"an empty list too", `{"listen": []}`, func(s *sample) { s.Listen = []string{} }},
		{"a map replaces the default map", `{"env": {"a.b": "x"}}`, func(s *sample) { s.Env = map[string]string{"a.b": "x"} }},
		{"sizes and modes", `{"body": "64MiB", "mode": "0600"}`, func(s *sample) { s.Body, s.Mode = 64<<20, 0o600 }},
		{"zero needs no unit", `{"body": 0, "pool": {"idle_timeout": 0}}`, func(s *sample) { s.Body, s.Pool.Idle = 0, 0 }},
		{"zero as text", `{"body": "0", "pool": {"idle_timeout": "0"}}`, func(s *sample) { s.Body, s.Pool.Idle = 0, 0 }},
		{"lists of groups", `{"rules": [{"name": "x"}, {"name": "y", "on": true}]}`, func(s *sample) { s.Rules = []rule{{"x", false}, {"y", true}} }},
		{"maps of groups", `{"limits": {"q": {"name": "x"}}}`, func(s *sample) { s.Limits = map[string]rule{"q": {"x", false}} }},
		{"pointers", `{"ratio": 0, "extra": {"manager": "static"}}`, func(s *sample) { s.Ratio, s.Extra = &ratio, &poolSettings{Manager: "static"} }},
		{"text of another type", `{"peer": "::1"}`, func(s *sample) { s.Peer = netip.IPv6Loopback() }},
		{"maps of lists", `{"nested": {"a": ["b"]}}`, func(s *sample) { s.Nested = map[string][]string{"a": {"b"}} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := defaults()
			tt.want(&want)
			fromTree, fromJSON := defaults(), defaults()
			if p := settings.Decode(parse(t, tt.text), &fromTree); p != nil {
				t.Fatal(p)
			}
			if p := settings.DecodeJSON([]byte(tt.text), &fromJSON); p != nil {
				t.Fatal(p)
			}
			opts := []cmp.Option{cmp.AllowUnexported(sample{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
			if d := cmp.Diff(want, fromTree, opts...) + cmp.Diff(want, fromJSON, opts...); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDecodeProblems(t *testing.T) {
	n := func(s string) json.Number { return json.Number(s) }
	pool := func(key string, v any) map[string]any { return map[string]any{"pool": map[string]any{key: v}} }
	tests := []struct {
		name string
		tree map[string]any
		want []string // "path: message"
	}{
		{"near miss", pool("max_worker", 1), []string{`pool.max_worker: unknown key "max_worker"; did you mean max_workers?`}},
		{"hyphen", pool("max-workers", 1), []string{`pool.max-workers: unknown key "max-workers"; did you mean max_workers?`}},
		{"far off", pool("zzz", 1), []string{`pool.zzz: unknown key "zzz"; known are idle_timeout, manager, max_workers, min_workers`}},
		{"a dotted key", map[string]any{"pool.manager": "static"}, []string{`["pool.manager"]: unknown key "pool.manager"; write manager below pool:, not joined by a dot`}},
		{"quoted number", pool("min_workers", "8"), []string{`pool.min_workers: "8" is text, not a number; write 8 without quotes`}},
		{"a fraction", pool("min_workers", n("1.5")), []string{`pool.min_workers: 1.5 is not a whole number in digits`}},
		{"a float", pool("min_workers", 1.5), []string{`pool.min_workers: 1.5 is not a whole number in digits`}},
		{"an exponent", pool("min_workers", n("1e3")), []string{`pool.min_workers: 1e3 is not a whole number in digits`}},
		{"underscores", pool("min_workers", n("1_000")), []string{`pool.min_workers: 1_000 is not in plain digits; write 1000`}},
		{"octal", pool("min_workers", n("010")), []string{`pool.min_workers: 010 is not a decimal number and would be read as 8; write it in decimal, without the leading zero`}},
		{"hex", pool("min_workers", n("0x1F")), []string{`pool.min_workers: 0x1F is not a decimal number and would be read as 31; write it in decimal, without the leading zero`}},
		{"too large", pool("max_workers", n("256")), []string{`pool.max_workers: 256 is out of range`}},
		{"far too large", pool("min_workers", n("99999999999999999999")), []string{`pool.min_workers: 99999999999999999999 is out of range`}},
		{"negative", pool("max_workers", -1), []string{`pool.max_workers: -1 must not be negative`}},
		{"true for a number", pool("min_workers", true), []string{`pool.min_workers: true is not a whole number`}},
		{"bare duration", pool("idle_timeout", n("10")), []string{`pool.idle_timeout: 10 has no unit; write 10s`}},
		{"bare duration, underscores", pool("idle_timeout", n("1_000")), []string{`pool.idle_timeout: 1_000 has no unit; write 1000s`}},
		{"bare duration as text", pool("idle_timeout", "10"), []string{`pool.idle_timeout: "10" has no unit; write 10s`}},
		{"no duration", pool("idle_timeout", "ten"), []string{`pool.idle_timeout: "ten" is not a duration; write a number with a unit: 10s, 500ms, 5m, 1h30m`}},
		{"negative duration", pool("idle_timeout", "-1s"), []string{`pool.idle_timeout: "-1s" must not be negative`}},
		{"endless duration", pool("idle_timeout", "9999999h"), []string{`pool.idle_timeout: "9999999h" is too large`}},
		{"true for a duration", pool("idle_timeout", true), []string{`pool.idle_timeout: true is not what belongs here; write it as text`}},
		{"list for a duration", pool("idle_timeout", []any{}), []string{`pool.idle_timeout: a list is not what belongs here; write it as text`}},
		{"bad choice", pool("manager", "statik"), []string{`pool.manager: "statik" is not known; did you mean static?`}},
		{"no choice", pool("manager", "fork"), []string{`pool.manager: "fork" is not known; write one of static, dynamic, ondemand`}},
		{"empty scalar", pool("manager", nil), []string{`pool.manager: is empty; give it a value or remove the key`}},
		{"empty list", map[string]any{"listen": nil}, []string{`listen: is empty; give it a value or remove the key`}},
		{"empty map", map[string]any{"env": nil}, []string{`env: is empty; give it a value or remove the key`}},
		{"empty list entry", map[string]any{"listen": []any{"a", nil}}, []string{`listen[1]: is empty; give it a value or remove the key`}},
		{"bare size", map[string]any{"body": n("64")}, []string{`body: 64 has no unit; write 64MiB`}},
		{"bare size with underscores", map[string]any{"body": n("1_024")}, []string{`body: 1_024 has no unit; write 1024MiB`}},
		{"bare size as text", map[string]any{"body": "64"}, []string{`body: "64" has no unit; write 64MiB`}},
		{"PHP's size", map[string]any{"body": "64M"}, []string{`body: "64M" has an unknown unit; write 64MiB`}},
		{"case of a size", map[string]any{"body": "64kb"}, []string{`body: "64kb" has an unknown unit; write 64kB`}},
		{"no size", map[string]any{"body": "1.5GiB"}, []string{`body: "1.5GiB" is not a size; write a whole number with a unit: 64MiB, 512kB`}},
		{"unit of nothing", map[string]any{"body": "5apples"}, []string{`body: "5apples" has an unknown unit; the units are B, kB, KiB, MB, MiB, GB, GiB, TB, TiB`}},
		{"too many bytes", map[string]any{"body": "9999999999GiB"}, []string{`body: "9999999999GiB" is too large`}},
		{"bare mode", map[string]any{"mode": n("0660")}, []string{`mode: 0660 is a number, not text; put it in quotes: "0660"`}},
		{"mode without zero", map[string]any{"mode": "660"}, []string{`mode: "660" is not a file mode; write four octal digits in quotes: "0660"`}},
		{"symbolic mode", map[string]any{"mode": "rw-rw----"}, []string{`mode: "rw-rw----" is not a file mode; write four octal digits in quotes: "0660"`}},
		{"set-user-ID mode", map[string]any{"mode": "4755"}, []string{`mode: "4755" is not a file mode; write four octal digits in quotes: "0660"`}},
		{"one for a list", map[string]any{"listen": "a"}, []string{`listen: is text; it must be a list: ["a"]`}},
		{"number in a list of text", map[string]any{"listen": []any{n("9000")}}, []string{`listen[0]: 9000 is a number, not text; put it in quotes: "9000"`}},
		{"bool in a map of text", map[string]any{"env": map[string]any{"A": true}}, []string{`env.A: true is true or false, not text; put it in quotes: "true"`}},
		{"version in a map of text", map[string]any{"env": map[string]any{"a.b": n("1.10")}}, []string{`env["a.b"]: 1.10 is a number, not text; put it in quotes: "1.10"`}},
		{"list for text", pool("manager", []any{"static"}), []string{`pool.manager: a list cannot stand here; write text`}},
		{"text for a group", map[string]any{"pool": "static"}, []string{`pool: is text; it must be a group of settings, one key: value per line below it`}},
		{"text for a map", map[string]any{"env": "A=1"}, []string{`env: is text; it must be a map of names to values`}},
		{"yes", map[string]any{"rules": []any{map[string]any{"name": "a", "on": "yes"}}}, []string{`rules[0].on: "yes" is not true or false; write true`}},
		{"Off", map[string]any{"rules": []any{map[string]any{"name": "a", "on": "Off"}}}, []string{`rules[0].on: "Off" is not true or false; write false`}},
		{"quoted true", map[string]any{"rules": []any{map[string]any{"name": "a", "on": "true"}}}, []string{`rules[0].on: "true" is text, not true or false; write true without quotes`}},
		{"1 for a bool", map[string]any{"rules": []any{map[string]any{"name": "a", "on": n("1")}}}, []string{`rules[0].on: 1 is not true or false`}},
		{"bad text of another type", map[string]any{"peer": "nowhere"}, []string{`peer: "nowhere" ParseAddr("nowhere"): unable to parse IP`}},
		{"validated in a list", map[string]any{"rules": []any{map[string]any{}}}, []string{`rules[0].name: is required`}},
		{"validated in a map", map[string]any{"limits": map[string]any{"a.b": map[string]any{}}}, []string{`limits["a.b"].name: is required`}},
		{"validated as a whole", pool("max_workers", 13), []string{`pool: is unlucky`}},
		{"validated behind a pointer", map[string]any{"extra": map[string]any{"manager": "static", "min_workers": 1}}, []string{`extra.min_workers: must not exceed max_workers`}},
		{"all at once, and none judged twice", map[string]any{
			"body": n("1"), "listen": "x", "zz": 1,
			"pool":  map[string]any{"min_workers": "x", "idle_timeout": n("5"), "max_workers": 13},
			"rules": []any{map[string]any{"on": "yes"}},
		}, []string{
			`listen: is text; it must be a list: ["x"]`,
			`body: 1 has no unit; write 1MiB`,
			`pool.min_workers: "x" is not a whole number`,
			`pool.idle_timeout: 5 has no unit; write 5s`,
			`rules[0].on: "yes" is not true or false; write true`,
			`zz: unknown key "zz"; known are body, env, extra, limits, listen, mode, nested, peer, pool, ratio, rules`,
			`pool: is unlucky`,
			`rules[0].name: is required`,
		}},
		{"long values are cut", map[string]any{"body": string(make([]byte, 300))}, []string{"body: \"" + strings.Repeat(`\x00`, 60) + "…\" is not a size; write a whole number with a unit: 64MiB, 512kB"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			into := defaults()
			var got []string
			for _, p := range settings.Decode(tt.tree, &into) {
				got = append(got, p.Path+": "+p.Message)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// What could not be read keeps its default, and the defaults of one call are
// not the next one's.
func TestDecodeLeavesDefaultsAlone(t *testing.T) {
	base := &poolSettings{Max: 1}
	into := sample{Mode: 0o600, Extra: base}
	problems := settings.Decode(map[string]any{"mode": "9", "extra": map[string]any{"max_workers": 5}}, &into)
	if len(problems) != 1 || into.Mode != 0o600 {
		t.Errorf("%v, mode %v", problems, into.Mode)
	}
	if base.Max != 1 || into.Extra.Max != 5 {
		t.Errorf("the default behind the pointer was changed: %+v", base)
	}
}

func TestDecodeOther(t *testing.T) {
	var into rule
	tree := map[string]any{"name": "x", "php": 5, "phpp": 1}
	problems := settings.Decode(tree, &into, "php", "go")
	want := []settings.Problem{{Path: "phpp", Message: `unknown key "phpp"; did you mean php?`}}
	if d := cmp.Diff(want, problems); d != "" {
		t.Error(d)
	}
}

func TestDecodeJSON(t *testing.T) {
	for _, text := range []string{"", " ", "null", "{}"} {
		into := defaults()
		if p := settings.DecodeJSON([]byte(text), &into); p != nil {
			t.Errorf("%q: %v", text, p)
		}
	}
	for _, text := range []string{"5", "[]", `"x"`, "{", "{} {}", "{}x"} {
		into := defaults()
		if p := settings.DecodeJSON([]byte(text), &into); len(p) != 1 {
			t.Errorf("%q: %v", text, p)
		}
	}
	// The number reaches the message as it was written.
	into := defaults()
	p := settings.DecodeJSON([]byte(`{"listen": [1.10]}`), &into)
	if len(p) != 1 || p[0].Message != `1.10 is a number, not text; put it in quotes: "1.10"` {
		t.Error(p)
	}
}

func TestDecodeIntoNonsense(t *testing.T) {
	n := 5
	for _, into := range []any{nil, n, &n, sample{}, (*sample)(nil)} {
		if p := settings.Decode(nil, into); len(p) != 1 {
			t.Errorf("%T: %v", into, p)
		}
	}
	var odd struct {
		F float64 `conf:"f"`
	}
	if p := settings.Decode(map[string]any{"f": 1}, &odd); len(p) != 1 {
		t.Error(p)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"listen", "idle_timeout", "ab"}
	for key, want := range map[string]string{
		"lisen": "listen", "lsiten": "listen", "Listen": "listen", "idle-timeout": "idle_timeout",
		"idletimeout": "idle_timeout", "xyz": "", "": "", "a": "ab", "q": "",
	} {
		if got := settings.Nearest(key, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", key, got, want)
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"listen":["a"],"mode":"0660","body":"64MiB","pool":{"idle_timeout":"10s"},"rules":[{}]}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		into := defaults()
		settings.DecodeJSON(text, &into)
	})
}
