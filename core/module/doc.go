// Package module says what a module of the server is, and picks those that the
// configuration turns on. A module is on when its section stands in the
// configuration; what is in the binary is a list that main passes.
package module
