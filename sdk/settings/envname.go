package settings

import "regexp"

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// EnvName says whether name can be that of an environment variable: letters, digits
// and _, not beginning with a digit (POSIX, Base Definitions, 8.1, with small letters).
func EnvName(name string) bool { return envName.MatchString(name) }
