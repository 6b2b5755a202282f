package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

var concurrencySteps = []step{
	{"concurrency: mutex", mutex},
	{"concurrency: mutex tried", tryLock},
	{"concurrency: mutex of a session that ends", sessionEnds},
	{"concurrency: locker", locker},
	{"concurrency: election", election},
	{"concurrency: stm", stm},
}

// sessions are leases of their own, closed by the returned function.
func sessions(cli *clientv3.Client, count int) ([]*concurrency.Session, func(), error) {
	var made []*concurrency.Session
	closeAll := func() {
		for _, session := range made {
			session.Close()
		}
	}
	for range count {
		session, err := concurrency.NewSession(cli, concurrency.WithTTL(30))
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		made = append(made, session)
	}
	return made, closeAll, nil
}

func mutex(ctx context.Context, cli *clientv3.Client) (string, error) {
	s, closeAll, err := sessions(cli, 2)
	if err != nil {
		return "", err
	}
	defer closeAll()
	first := concurrency.NewMutex(s[0], prefix+"lock")
	second := concurrency.NewMutex(s[1], prefix+"lock")
	if err := first.Lock(ctx); err != nil {
		return "", err
	}
	// Without an operation that asks for the newest state a txn is answered by any member as it is.
	held, err := cli.Txn(ctx).If(first.IsOwner()).Then(clientv3.OpGet(first.Key())).Commit()
	if err != nil {
		return "", err
	}
	locked := make(chan error, 1)
	go func() { locked <- second.Lock(ctx) }()
	if err := queued(ctx, cli, prefix+"lock/", 2); err != nil {
		return "", err
	}
	early := false
	select {
	case <-locked:
		early = true
	default:
	}
	if err := first.Unlock(ctx); err != nil {
		return "", err
	}
	if err := <-locked; err != nil {
		return "", err
	}
	saw := fmt.Sprintf("owner %v, second early %v, then locked", held.Succeeded, early)
	if err := second.Unlock(ctx); err != nil {
		return "", err
	}
	return check(saw, "owner true, second early false, then locked")
}

// queued returns once so many stand in line, by their keys.
func queued(ctx context.Context, cli *clientv3.Client, line string, count int64) error {
	for {
		resp, err := cli.Get(ctx, line, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil || resp.Count == count {
			return err
		}
	}
}

func tryLock(ctx context.Context, cli *clientv3.Client) (string, error) {
	s, closeAll, err := sessions(cli, 2)
	if err != nil {
		return "", err
	}
	defer closeAll()
	first := concurrency.NewMutex(s[0], prefix+"try")
	second := concurrency.NewMutex(s[1], prefix+"try")
	if err := first.Lock(ctx); err != nil {
		return "", err
	}
	refused := second.TryLock(ctx)
	if err := first.Unlock(ctx); err != nil {
		return "", err
	}
	if err := second.TryLock(ctx); err != nil {
		return "", err
	}
	return check(fmt.Sprintf("held %v, then locked", errors.Is(refused, concurrency.ErrLocked)), "held true, then locked")
}

func sessionEnds(ctx context.Context, cli *clientv3.Client) (string, error) {
	s, closeAll, err := sessions(cli, 2)
	if err != nil {
		return "", err
	}
	defer closeAll()
	if err := concurrency.NewMutex(s[0], prefix+"ended").Lock(ctx); err != nil {
		return "", err
	}
	if err := s[0].Close(); err != nil {
		return "", err
	}
	<-s[0].Done()
	if err := concurrency.NewMutex(s[1], prefix+"ended").Lock(ctx); err != nil {
		return "", err
	}
	gone, err := cli.TimeToLive(ctx, s[0].Lease())
	if err != nil {
		return "", err
	}
	return check(fmt.Sprintf("session done, its lease %d, next locked", gone.TTL), "session done, its lease -1, next locked")
}

// locker counts with three workers that would lose counts without the lock.
func locker(ctx context.Context, cli *clientv3.Client) (string, error) {
	s, closeAll, err := sessions(cli, 3)
	if err != nil {
		return "", err
	}
	defer closeAll()
	if _, err := cli.Put(ctx, prefix+"count", "0"); err != nil {
		return "", err
	}
	failures := make([]error, len(s))
	var workers sync.WaitGroup
	for i, session := range s {
		workers.Go(func() {
			lock := concurrency.NewLocker(session, prefix+"counting")
			for range 5 {
				lock.Lock()
				failures[i] = errors.Join(failures[i], increment(ctx, cli))
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	if err := errors.Join(failures...); err != nil {
		return "", err
	}
	resp, err := cli.Get(ctx, prefix+"count")
	if err != nil {
		return "", err
	}
	return check(string(resp.Kvs[0].Value), "15")
}

func increment(ctx context.Context, cli *clientv3.Client) error {
	resp, err := cli.Get(ctx, prefix+"count")
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(string(resp.Kvs[0].Value))
	if err != nil {
		return err
	}
	_, err = cli.Put(ctx, prefix+"count", strconv.Itoa(count+1))
	return err
}

func election(ctx context.Context, cli *clientv3.Client) (string, error) {
	s, closeAll, err := sessions(cli, 2)
	if err != nil {
		return "", err
	}
	defer closeAll()
	first := concurrency.NewElection(s[0], prefix+"election")
	second := concurrency.NewElection(s[1], prefix+"election")
	_, none := first.Leader(ctx)
	if err := first.Campaign(ctx, "first"); err != nil {
		return "", err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	leaders := second.Observe(watching)
	saw := []string{fmt.Sprint(none), next(leaders)}
	if err := first.Proclaim(ctx, "first again"); err != nil {
		return "", err
	}
	saw = append(saw, next(leaders))
	elected := make(chan error, 1)
	go func() { elected <- second.Campaign(ctx, "second") }()
	if err := queued(ctx, cli, prefix+"election/", 2); err != nil {
		return "", err
	}
	if err := first.Resign(ctx); err != nil {
		return "", err
	}
	if err := <-elected; err != nil {
		return "", err
	}
	saw = append(saw, next(leaders))
	leader, err := second.Leader(ctx)
	if err != nil {
		return "", err
	}
	saw = append(saw, string(leader.Kvs[0].Value), fmt.Sprint(first.Proclaim(ctx, "no more")))
	if err := second.Resign(ctx); err != nil {
		return "", err
	}
	return check(strings.Join(saw, ", "), "election: no leader, first, first again, second, second, election: not leader")
}

func next(leaders <-chan *clientv3.GetResponse) string {
	leader, ok := <-leaders
	if !ok {
		return "nobody"
	}
	return string(leader.Kvs[0].Value)
}

// stm moves amounts between five accounts from ten workers, at each isolation; the sum stays.
//
// It talks to one member: the package reads at the revision of an answer without asking the leader,
// and another member may not have that yet.
func stm(ctx context.Context, _ *clientv3.Client) (string, error) {
	cli, err := dialTo(members()[:1], os.Getenv("CLIENT_USER"), os.Getenv("CLIENT_PASSWORD"))
	if err != nil {
		return "", err
	}
	defer cli.Close()
	const accounts, amount = 5, 100
	levels := []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.RepeatableReads}
	var saw []string
	for _, level := range levels {
		for i := range accounts {
			if _, err := cli.Put(ctx, account(i), strconv.Itoa(amount)); err != nil {
				return "", err
			}
		}
		failures := make([]error, 10)
		var workers sync.WaitGroup
		for i := range failures {
			workers.Go(func() {
				from, to := account(i%accounts), account((i+1+i/accounts)%accounts)
				_, failures[i] = concurrency.NewSTM(cli, func(s concurrency.STM) error { return move(s, from, to) },
					concurrency.WithIsolation(level), concurrency.WithAbortContext(ctx))
			})
		}
		workers.Wait()
		if err := errors.Join(failures...); err != nil {
			return "", err
		}
		resp, err := cli.Get(ctx, prefix+"accounts/", clientv3.WithPrefix())
		if err != nil {
			return "", err
		}
		sum := 0
		for _, kv := range resp.Kvs {
			value, err := strconv.Atoi(string(kv.Value))
			if err != nil {
				return "", err
			}
			sum += value
		}
		saw = append(saw, fmt.Sprintf("%d in %d accounts", sum, resp.Count))
	}
	return check(strings.Join(saw, ", "), "500 in 5 accounts, 500 in 5 accounts, 500 in 5 accounts")
}

func account(i int) string { return fmt.Sprintf("%saccounts/%d", prefix, i) }

func move(s concurrency.STM, from, to string) error {
	a, err := strconv.Atoi(s.Get(from))
	if err != nil {
		return err
	}
	b, err := strconv.Atoi(s.Get(to))
	if err != nil {
		return err
	}
	s.Put(from, strconv.Itoa(a-a/2))
	s.Put(to, strconv.Itoa(b+a/2))
	return nil
}
