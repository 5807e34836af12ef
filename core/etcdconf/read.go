package etcdconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/status"
)

const (
	// readWait is how long etcd may take to answer.
	readWait = 5 * time.Second
	// diagnoseWait is how long it may take to find out why not.
	diagnoseWait = time.Second
	// How soon a connection is known to be dead; etcd allows a ping every 5 s.
	keepAlive, keepAliveWait = 10 * time.Second, 5 * time.Second
	// maxKeys and maxAnswer (bytes) bound what is read.
	maxKeys   = 20_000
	maxAnswer = 64 << 20
)

// ErrAway says that etcd cannot be reached.
var ErrAway = errors.New("etcd does not answer")

// Read returns all files, as of one revision.
func (s *Source) Read(ctx context.Context) (Files, error) {
	client, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	files, _, err := s.read(ctx, client)
	return files, err
}

// open makes a client, which connects in the background, but for one with a
// password: that signs in first.
func (s *Source) open(ctx context.Context) (*clientv3.Client, error) {
	config := clientv3.Config{
		Endpoints: s.endpoints, DialTimeout: readWait, DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: keepAliveWait,
		MaxCallRecvMsgSize: maxAnswer, Context: ctx,
		Logger: zap.NewNop(), // what it says reaches us as errors
	}
	if s.tls {
		var err error
		if config.TLS, err = s.tlsConfig(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name(), err)
		}
		for i, endpoint := range s.endpoints {
			if i == 0 {
				config.Endpoints = nil
			}
			config.Endpoints = append(config.Endpoints, "https://"+endpoint)
		}
	}
	if s.user != "" {
		password, err := s.password()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name(), err)
		}
		config.Username, config.Password = s.user, password
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	return client, nil
}

func (s *Source) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.caFile != "" {
		text, err := os.ReadFile(s.caFile)
		if err != nil {
			return nil, fmt.Errorf("cacert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("cacert: %s holds no certificate (PEM)", s.caFile)
		}
	}
	if s.certFile != "" {
		pair, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
		if err != nil {
			return nil, fmt.Errorf("cert, key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// read asks a majority of the cluster, so that a change just made is seen.
func (s *Source) read(ctx context.Context, client *clientv3.Client) (Files, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	prefix := s.Key("")
	answer, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithLimit(maxKeys+1))
	if err != nil {
		return nil, 0, s.explain(ctx, err)
	}
	if len(answer.Kvs) > maxKeys {
		return nil, 0, fmt.Errorf("%s: more than %d keys", s.Name(), maxKeys)
	}
	files := Files{}
	for _, kv := range answer.Kvs {
		files[strings.TrimPrefix(string(kv.Key), prefix)] = kv.Value
	}
	return files, answer.Header.GetRevision(), nil
}

// explain says what an error of the client means to people.
func (s *Source) explain(ctx context.Context, err error) error {
	message := err.Error()
	if st, ok := status.FromError(err); ok {
		message = st.Message()
	}
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(message, context.DeadlineExceeded.Error()) || strings.Contains(message, "connection error") {
		if reason := s.unreachable(ctx); reason != nil {
			message = reason.Error()
		}
		return fmt.Errorf("%s: %w within %v: %s; is it there? etcdctl --endpoints=%s endpoint health",
			s.Name(), ErrAway, readWait, message, strings.Join(s.endpoints, ","))
	}
	return fmt.Errorf("%s: %s", s.Name(), message) // grpc's frame is noise to who reads it
}

// unreachable finds out why no endpoint can be reached, which the client does not say;
// nil when one can.
func (s *Source) unreachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), diagnoseWait)
	defer cancel()
	var errs []error
	for _, endpoint := range s.endpoints {
		err := s.knock(ctx, endpoint)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *Source) knock(ctx context.Context, endpoint string) error {
	var conn net.Conn
	var err error
	if s.tls {
		config, configErr := s.tlsConfig()
		if configErr != nil {
			return configErr
		}
		conn, err = (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", endpoint)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", endpoint)
	}
	if err != nil {
		return err
	}
	return conn.Close()
}
