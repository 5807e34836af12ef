package cgi

import "crypto/tls"

// TLS collects what variables say of a client's TLS connection. The names are
// those of Apache's mod_ssl, which other web servers can send as well.
type TLS struct {
	on                       bool
	protocol, cipher, server string
}

// Set takes one variable.
func (t *TLS) Set(name, value string) {
	switch name {
	case "HTTPS":
		t.on = value == "on" || value == "ON" || value == "1"
	case "SSL_PROTOCOL":
		t.protocol = value
	case "SSL_CIPHER":
		t.cipher = value
	case "SSL_TLS_SNI":
		t.server = value
	}
}

// State returns nil for a connection without TLS. Cipher suites are known by
// the names of IANA only.
func (t *TLS) State() *tls.ConnectionState {
	if !t.on {
		return nil
	}
	s := &tls.ConnectionState{HandshakeComplete: true, ServerName: t.server}
	switch t.protocol {
	case "TLSv1.3":
		s.Version = tls.VersionTLS13
	case "TLSv1.2":
		s.Version = tls.VersionTLS12
	case "TLSv1.1":
		s.Version = tls.VersionTLS11
	case "TLSv1":
		s.Version = tls.VersionTLS10
	}
	if t.cipher != "" {
		for _, suite := range tls.CipherSuites() {
			if suite.Name == t.cipher {
				s.CipherSuite = suite.ID
			}
		}
	}
	return s
}

// appendTLS appends what TLS.Set reads.
func appendTLS(dst []Param, s *tls.ConnectionState) []Param {
	dst = append(dst, Param{"HTTPS", "on"})
	switch s.Version {
	case tls.VersionTLS13:
		dst = append(dst, Param{"SSL_PROTOCOL", "TLSv1.3"})
	case tls.VersionTLS12:
		dst = append(dst, Param{"SSL_PROTOCOL", "TLSv1.2"})
	}
	if s.CipherSuite != 0 {
		dst = append(dst, Param{"SSL_CIPHER", tls.CipherSuiteName(s.CipherSuite)})
	}
	if s.ServerName != "" {
		dst = append(dst, Param{"SSL_TLS_SNI", clean(s.ServerName)})
	}
	return dst
}
