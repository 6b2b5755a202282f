// Program clients drives a cluster by etcd's Go client: the examples of its documentation with
// assertions, on TLS and, where users are named, with their rights.
//
// It prints one line a step with what it saw, leaving out what differs from server to server, and
// ends at the first step that fails. Settings: see ../README.md.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

const (
	// prefix is what all keys of this program begin with; the restricted user may use no others.
	prefix = "clients/go/"
	// stepLimit is the longest time of one step.
	stepLimit = 20 * time.Second
)

// A step does one thing and returns what it saw.
type step struct {
	name string
	run  func(context.Context, *clientv3.Client) (string, error)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	cli, err := dial(os.Getenv("CLIENT_USER"), os.Getenv("CLIENT_PASSWORD"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer cli.Close()
	steps := append([]step{}, kvSteps...)
	for _, more := range [][]step{leaseSteps, watchSteps, concurrencySteps, wrapperSteps} {
		steps = append(steps, more...)
	}
	if os.Getenv("CLIENT_ROOT") != "" {
		steps = append(steps, rightsSteps...)
	}
	for _, s := range steps {
		ctx, cancel := context.WithTimeout(context.Background(), stepLimit)
		saw, err := s.run(ctx, cli)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("%s: %s\n", s.name, saw)
	}
	return nil
}

// dial connects to all members; an empty user is none.
func dial(user, password string) (*clientv3.Client, error) {
	return dialTo(members(), user, password)
}

func members() []string {
	return strings.Split(os.Getenv("CLIENT_ENDPOINTS"), ",")
}

func dialTo(members []string, user, password string) (*clientv3.Client, error) {
	pem, err := os.ReadFile(os.Getenv("CLIENT_CA"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", os.Getenv("CLIENT_CA"))
	}
	return clientv3.New(clientv3.Config{
		Endpoints:   members,
		DialTimeout: 5 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithBlock()},
		TLS:         &tls.Config{RootCAs: roots},
		Username:    user,
		Password:    password,
	})
}

// check is an error unless what was seen is what is right on any server.
func check(saw, right string) (string, error) {
	if saw != right {
		return "", fmt.Errorf("saw %q, expected %q", saw, right)
	}
	return saw, nil
}
