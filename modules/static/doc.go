// Package static sends files to clients: conditional requests, ranges, and
// content types that do not depend on the machine. Which file may be sent is
// decided before (core/docroot).
package static
