// Package settings turns a tree of settings, as YAML or JSON yields it, into a
// struct that is already filled with defaults. It is strict: an unknown key, a
// wrong type, a number without a unit or an empty value is a problem, and all
// problems are returned at once, each with its path.
//
// The server reads the sections of its configuration with it, a plugin its
// section of worker.yaml:
//
//	type Settings struct {
//		Timeout time.Duration   `conf:"timeout" doc:"Longest run of a script; 0 means no limit." source:"nginx's fastcgi_read_timeout"`
//		Workers int             `conf:"workers" doc:"How many run at once." unit:"processes" source:"one per core"`
//		Manager string          `conf:"manager" enum:"static,dynamic" doc:"How the pool scales." source:"PHP-FPM's pm in Debian"`
//		Token   settings.Secret `conf:"token" doc:"What clients must send; empty means nothing." source:"off unless set"`
//	}
//
//	func (s Settings) Validate() []settings.Problem { … }
//
//	s := Settings{Timeout: 60 * time.Second, Workers: 2, Manager: "dynamic"}
//	problems := settings.DecodeJSON(worker.Settings, &s)
//
// A field is a bool, an int of any size, a string (with an enum tag one of a
// list), a time.Duration, Bytes, FileMode, Secret, any other type with UnmarshalText, a
// struct, a slice or a map with string keys of those, or a pointer to one when
// absent differs from zero. A key that is missing keeps its default, at every
// depth; a list or a map that the user wrote replaces the default one.
//
// doc, unit and source are what the reference pages, the JSON Schema and
// `tqserver config explain` are made of; CheckStruct finds what lacks one.
//
// A weakly typed decoder with hooks was tried first and given up: it reads
// 1.5 as 1, drops overflow, and has lost what the user wrote when it comes to
// the message.
package settings
