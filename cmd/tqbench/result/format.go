package result

import (
	"math"
	"strconv"
)

// Format shows a value for people.
func (u Unit) Format(v float64) string {
	switch u {
	case Seconds:
		return seconds(v)
	case CPUTime:
		return digits(v) + " s"
	case Bytes:
		return digits(v/(1<<20)) + " MiB"
	default:
		return thousands(v)
	}
}

func seconds(v float64) string {
	switch {
	case v < 1e-3:
		return digits(v*1e6) + " µs"
	case v < 1:
		return digits(v*1e3) + " ms"
	default:
		return digits(v) + " s"
	}
}

// digits shows three that matter.
func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	places := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return strconv.FormatFloat(v, 'f', min(4, max(0, places)), 64)
}

// thousands shows a whole number in groups of three.
func thousands(v float64) string {
	text := strconv.FormatInt(int64(math.Round(math.Abs(v))), 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	if v < 0 {
		text = "-" + text
	}
	return text
}

// Ratio shows a ratio with its spread.
func (s Spread) Ratio() string {
	switch s.N {
	case 0:
		return "–"
	case 1:
		return ratio(s.Median)
	default:
		return ratio(s.Median) + " (" + ratio(s.Least) + "–" + ratio(s.Most) + ")"
	}
}

func ratio(v float64) string {
	if v != 0 && v < 0.1 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
