package cgi

// Param is one variable of a request's environment. Names and values are bytes
// as they came; neither holds a NUL.
type Param struct{ Name, Value string }

// Lookup returns the value of the last param called name, as PHP does with a
// name that came twice, and whether there is one.
func Lookup(params []Param, name string) (string, bool) {
	for i := len(params) - 1; i >= 0; i-- {
		if params[i].Name == name {
			return params[i].Value, true
		}
	}
	return "", false
}
