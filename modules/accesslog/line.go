package accesslog

import (
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	combinedTime = "02/Jan/2006:15:04:05 -0700"
	jsonTime     = "2006-01-02T15:04:05.000Z07:00"
	hexDigits    = "0123456789abcdef"
)

// appendCombined is nginx's format "combined", with its escapes (log_format,
// escape=default), which is Apache's with 0 for no bytes:
//
//	127.0.0.1 - ann [25/Nov/2026:01:18:06 +0000] "GET /x HTTP/1.1" 200 12 "-" "curl/8"
func appendCombined(b []byte, e *entry) []byte {
	b = appendEscaped(b, e.addr)
	b = append(b, " - "...)
	b = appendWord(b, e.user)
	b = append(b, " ["...)
	b = e.end.AppendFormat(b, combinedTime)
	b = append(b, `] "`...)
	b = appendEscaped(b, e.r.Method)
	b = append(b, ' ')
	b = appendEscaped(b, e.r.RequestURI)
	b = append(b, ' ')
	b = appendEscaped(b, e.r.Proto)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(e.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.bytes, 10)
	b = append(b, ` "`...)
	b = appendText(b, e.r.Referer())
	b = append(b, `" "`...)
	b = appendText(b, e.r.UserAgent())
	return append(b, '"', '\n')
}

// appendText is a text in quotes, - for none.
func appendText(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	return appendEscaped(b, s)
}

// appendWord is appendText for what stands without quotes: a space would make two
// fields of it.
func appendWord(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	for i := range len(s) {
		if s[i] == ' ' {
			b = append(b, `\x20`...)
			continue
		}
		b = appendEscaped(b, s[i:i+1])
	}
	return b
}

// appendEscaped writes quote, backslash, control characters and what is not ASCII
// as \xXX.
func appendEscaped(b []byte, s string) []byte {
	from := 0
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b = append(b, s[from:i]...)
			b = append(b, '\\', 'x', hexUpper(c>>4), hexUpper(c&15))
			from = i + 1
		}
	}
	return append(b, s[from:]...)
}

func hexUpper(digit byte) byte {
	if digit > 9 {
		return 'A' + digit - 10
	}
	return '0' + digit
}

// appendJSON is a line of JSON, times in seconds.
func appendJSON(b []byte, e *entry) []byte {
	b = append(b, `{"time":"`...)
	b = e.end.AppendFormat(b, jsonTime)
	b = append(b, '"')
	b = appendMember(b, "remote_addr", e.addr)
	b = appendMember(b, "remote_user", e.user)
	b = appendMember(b, "method", e.r.Method)
	b = appendMember(b, "uri", e.r.RequestURI)
	b = appendMember(b, "protocol", e.r.Proto)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(e.status), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, e.bytes, 10)
	b = append(b, `,"complete":`...)
	b = strconv.AppendBool(b, e.whole)
	b = append(b, `,"duration":`...)
	b = appendSeconds(b, e.took)
	b = append(b, `,"queue_time":`...)
	b = appendSeconds(b, e.notes.Queued)
	b = appendMember(b, "host", e.r.Host)
	b = appendMember(b, "referer", e.r.Referer())
	b = appendMember(b, "user_agent", e.r.UserAgent())
	b = appendMember(b, "request_id", e.id)
	b = appendMember(b, "worker", e.notes.Worker)
	b = appendMember(b, "front", e.front)
	return append(b, '}', '\n')
}

func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, d.Seconds(), 'f', 6, 64)
}

// appendMember writes nothing of a terminal's or a log reader's but plain ASCII:
// the rest is \uXXXX, what is not UTF-8 is U+FFFD.
func appendMember(b []byte, name, s string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, `":"`...)
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c <= '~' && c != '"' && c != '\\' {
			b = append(b, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if r > 0xffff { // JSON escapes are UTF-16
			b = appendUnit(b, 0xd800+(r-0x10000)>>10)
			r = 0xdc00 + (r-0x10000)&0x3ff
		}
		b = appendUnit(b, r)
	}
	return append(b, '"')
}

func appendUnit(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
