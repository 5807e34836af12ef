package settings_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/sdk/settings"
)

func TestFields(t *testing.T) {
	got := settings.Fields(defaults())
	find := func(path string) settings.Field {
		for _, f := range got {
			if f.Path == path {
				return f
			}
		}
		t.Errorf("no field %s", path)
		return settings.Field{}
	}
	for _, want := range []settings.Field{
		{Path: "listen", Type: "list of string", Default: `["a","b"]`, Doc: "Addresses."},
		{Path: "mode", Type: "file mode", Default: `"0660"`, Doc: "Mode."},
		{Path: "body", Type: "size", Unit: "B, kB, KiB, MB, MiB, GB, GiB, TB, TiB", Default: "8MiB", Doc: "Bytes; 0 means none."},
		{Path: "env", Type: "map of string", Default: `{"A":"1"}`, Doc: "Variables."},
		{Path: "pool", Type: "group", Doc: "Pool."},
		{Path: "pool.manager", Type: "one of static, dynamic, ondemand", Default: `"static"`, Doc: "How it scales."},
		{Path: "pool.idle_timeout", Type: "duration", Unit: "ns, us, ms, s, m, h", Default: "10s", Doc: "Idle time; 0 means none."},
		{Path: "pool.max_workers", Type: "int", Unit: "processes", Default: "8", Doc: "Most workers."},
		{Path: "rules[].on", Type: "bool", Default: "false", Doc: "Whether it applies."},
		{Path: "limits.*.name", Type: "string", Default: `""`, Doc: "Name of the rule."},
		{Path: "ratio", Type: "int", Unit: "parts", Doc: "Absent is not zero."},
		{Path: "extra.min_workers", Type: "int", Unit: "processes", Default: "0", Doc: "Least workers."},
		{Path: "nested", Type: "map of list of string", Default: "{}", Doc: "Lists by name."},
	} {
		want.Source = "T"
		if d := cmp.Diff(want, find(want.Path)); d != "" {
			t.Error(d)
		}
	}
	if d := cmp.Diff(got, settings.Fields(new(defaults()))); d != "" {
		t.Error("a pointer gives other fields: ", d)
	}
}

func TestSchema(t *testing.T) {
	text, err := settings.Schema(defaults())
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		Schema     string `json:"$schema"`
		Additional any    `json:"additionalProperties"`
		Properties map[string]any
	}
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	if root.Schema != "https://json-schema.org/draft/2020-12/schema" || root.Additional != false {
		t.Errorf("%s, additional %v", root.Schema, root.Additional)
	}
	for _, want := range []string{
		`"mode":{"type":"string","pattern":"^0[0-7]{3}$","description":"Mode.","default":"0660","x-source":"T","x-type":"file mode"}`,
		`"enum":["static","dynamic","ondemand"]`,
		`"max_workers":{"type":"integer","minimum":0,"description":"Most workers.","default":8,"x-source":"T","x-type":"int","x-unit":"processes"}`,
		`{"const":0}`,
		`"default":"8MiB"`,
		`"default":false`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
	if _, err := settings.Schema(5); err == nil {
		t.Error("a schema of a number")
	}
}

// The schema's patterns and the decoder agree on every way to write a unit.
func TestBytesText(t *testing.T) {
	for n, want := range map[settings.Bytes]string{
		0: "0", 1: "1B", 64 << 20: "64MiB", 512000: "512kB", 1 << 40: "1TiB", 1e9: "1GB", 1023: "1023B", 1000 << 20: "1000MiB",
	} {
		if got := n.String(); got != want {
			t.Errorf("%d is %s, want %s", int64(n), got, want)
		}
		var back settings.Bytes
		if err := back.UnmarshalText([]byte(n.String())); err != nil || back != n {
			t.Errorf("%s reads as %d, %v", n, int64(back), err)
		}
	}
}

func TestDurationDefaults(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", time.Second: "1s", 90 * time.Second: "1m30s", 5 * time.Minute: "5m", time.Hour: "1h",
		100 * time.Millisecond: "100ms", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 20 * time.Hour: "20h",
	} {
		s := struct {
			D time.Duration `conf:"d" doc:"D."`
		}{d}
		if got := settings.Fields(s)[0].Default; got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
		back := s
		if p := settings.Decode(map[string]any{"d": want}, &back); p != nil || back != s {
			t.Errorf("%s reads as %v, %v", want, back.D, p)
		}
	}
}

type wrongValidate struct {
	A string `conf:"a" doc:"A." source:"T"`
}

func (wrongValidate) Validate() error { return nil }

type recursive struct {
	Next []recursive `conf:"next" doc:"Next." source:"T"`
}

func TestCheckStruct(t *testing.T) {
	type good struct {
		A    string       `conf:"a_b2" doc:"A." source:"T"`
		Pool poolSettings `conf:"pool" doc:"Pool."`
		skip int
		Skip int `conf:"-"`
	}
	tests := []struct {
		name     string
		defaults any
		want     string // part of the only problem; empty for none
	}{
		{"good", good{Pool: poolSettings{Manager: "static"}, skip: 1}, ""},
		{"a pointer", &good{Pool: poolSettings{Manager: "static"}}, ""},
		{"no struct", 5, "is no struct"},
		{"no tag", struct{ A string }{}, `A: needs a conf tag in snake_case, has ""`},
		{"camel case", struct {
			A string `conf:"aB" doc:"A."`
		}{}, `needs a conf tag in snake_case, has "aB"`},
		{"no doc", struct {
			A string `conf:"a"`
		}{}, "needs a doc tag"},
		{"no sentence", struct {
			A string `conf:"a" doc:"the a"`
		}{}, "needs a doc tag that is a sentence"},
		{"no source", struct {
			A []string `conf:"a" doc:"A."`
		}{}, "A: needs a source tag that says where its default comes from"},
		{"no unit", struct {
			A []int `conf:"a" doc:"A." source:"T"`
		}{}, "A: needs a unit tag that says what the number counts"},
		{"twice", struct {
			A string `conf:"a" doc:"A." source:"T"`
			B string `conf:"a" doc:"B." source:"T"`
		}{}, "repeats the key a"},
		{"embedded", struct {
			poolSettings `conf:"pool" doc:"P."`
		}{}, "not exported"},
		{"unexported", struct {
			a string `conf:"a" doc:"A."`
		}{}, "not exported"},
		{"a float", struct {
			A []float64 `conf:"a" doc:"A." source:"T"`
		}{}, "a: has the unsupported type float64"},
		{"an interface", struct {
			A any `conf:"a" doc:"A." source:"T"`
		}{}, "unsupported type"},
		{"below", struct {
			A []struct{ B string } `conf:"a" doc:"A." source:"T"`
		}{}, "a.B: needs a conf tag"},
		{"wrong Validate", wrongValidate{}, "a Validate method of the wrong type"},
		{"itself", recursive{}, "contains itself"},
		{"bad defaults", poolSettings{Manager: "static", Min: 5}, "min_workers: must not exceed"},
		{"a default that is no choice", poolSettings{}, `manager: the default "" is not one of static, dynamic, ondemand`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := settings.CheckStruct(tt.defaults)
			switch {
			case tt.want == "" && len(got) == 0:
			case tt.want == "" || len(got) != 1 || !strings.Contains(got[0].Path+": "+got[0].Message, tt.want):
				t.Errorf("got %v, want %q", got, tt.want)
			}
		})
	}
}
