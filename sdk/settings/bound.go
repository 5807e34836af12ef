package settings

// Bound is a number that stands at Path.
type Bound struct {
	Path  string
	Value int64
}

// Positive returns a problem for every bound that is not above 0: no wait, queue
// or size is without an end.
func Positive(bounds ...Bound) []Problem {
	var bad []Problem
	for _, b := range bounds {
		if b.Value <= 0 {
			bad = append(bad, Problem{Path: b.Path, Message: "must be above 0"})
		}
	}
	return bad
}
