package cgi

// ParseLength parses a Content-Length: decimal digits only, no sign, no list,
// no space, at most 2^63-1.
func ParseLength(s string) (int64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		if !digit(s[i]) {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return int64(n), n <= 1<<63-1
}

// ValidToken says whether s is a token as methods and header names are (RFC
// 9110, section 5.6.2).
func ValidToken(s string) bool {
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func tokenByte(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return letter(c) || digit(c)
}

// validHost says whether s can be a Host: no space, no control byte, nothing
// that ends an authority.
func validHost(s string) bool {
	for i := range len(s) {
		switch c := s[i]; c {
		case '/', '?', '#', '@', '\\', '"', '<', '>', '^', '`', '{', '|', '}', ',':
			return false
		default:
			if c <= ' ' || c >= 0x7f {
				return false
			}
		}
	}
	return true
}
