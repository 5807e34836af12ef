package cgi

import "slices"

// Param is one variable of a request's environment. Names and values are bytes
// as they came; neither holds a NUL.
type Param struct{ Name, Value string }

// Lookup returns the value of the last param called name, as PHP does with a
// name that came twice, and whether there is one.
func Lookup(params []Param, name string) (string, bool) {
	for _, param := range slices.Backward(params) {
		if param.Name == name {
			return param.Value, true
		}
	}
	return "", false
}
