package main

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

var wrapperSteps = []step{
	{"namespace", inNamespace},
	{"mirror", mirrored},
	{"ordering", ordered},
	{"leasing", leased},
}

// inNamespace sees keys, events and the keys of a lease without their prefix.
func inNamespace(ctx context.Context, cli *clientv3.Client) (string, error) {
	const space = prefix + "space/"
	kv := namespace.NewKV(cli.KV, space)
	watcher := namespace.NewWatcher(cli.Watcher, space)
	leases := namespace.NewLease(cli.Lease, space)
	lease, err := leases.Grant(ctx, 60)
	if err != nil {
		return "", err
	}
	put, err := kv.Put(ctx, "abc", "123", clientv3.WithLease(lease.ID))
	if err != nil {
		return "", err
	}
	outside, err := cli.Get(ctx, space+"abc")
	if err != nil {
		return "", err
	}
	inside, err := kv.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		return "", err
	}
	left, err := leases.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	if err != nil {
		return "", err
	}
	txn, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Value("abc"), "=", "123")).Then(clientv3.OpGet("abc")).Commit()
	if err != nil {
		return "", err
	}
	told := <-watcher.Watch(ctx, "abc", clientv3.WithRev(put.Header.Revision))
	if len(told.Events) != 1 {
		return "", fmt.Errorf("%d events: %w", len(told.Events), told.Err())
	}
	if _, err := leases.Revoke(ctx, lease.ID); err != nil {
		return "", err
	}
	saw := fmt.Sprintf("outside %s, inside %s, lease of %s, txn %v, event of %s", outside.Kvs[0].Key, inside.Kvs[0].Key,
		left.Keys, txn.Succeeded, told.Events[0].Kv.Key)
	return check(saw, "outside clients/go/space/abc, inside abc, lease of [abc], txn true, event of abc")
}

// mirrored copies what was there and what comes after.
func mirrored(ctx context.Context, cli *clientv3.Client) (string, error) {
	const count = 1500
	for first := 0; first < count; first += 100 {
		var ops []clientv3.Op
		for i := first; i < first+100; i++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("%smirror/%04d", prefix, i), "v"))
		}
		if _, err := cli.Txn(ctx).Then(ops...).Commit(); err != nil {
			return "", err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	syncer := mirror.NewSyncer(cli, prefix+"mirror/", 0)
	parts, failures := syncer.SyncBase(ctx)
	base := 0
	for part := range parts {
		base += len(part.Kvs)
	}
	if err := <-failures; err != nil {
		return "", err
	}
	updates := syncer.SyncUpdates(ctx)
	if _, err := cli.Put(ctx, prefix+"mirror/more", "w"); err != nil {
		return "", err
	}
	if _, err := cli.Delete(ctx, prefix+"mirror/0000"); err != nil {
		return "", err
	}
	saw := []string{fmt.Sprintf("base %d", base)}
	for len(saw) < 3 {
		told, ok := <-updates
		if !ok {
			return "", ctx.Err()
		}
		for _, event := range told.Events {
			saw = append(saw, fmt.Sprintf("%s %s", event.Type, strings.TrimPrefix(string(event.Kv.Key), prefix)))
		}
	}
	return check(strings.Join(saw, ", "), "base 1500, PUT mirror/more, DELETE mirror/0000")
}

// ordered reads at any member and must never see an older revision than before.
func ordered(ctx context.Context, cli *clientv3.Client) (string, error) {
	violations := 0
	kv := ordering.NewKV(cli.KV, func(op clientv3.Op, resp clientv3.OpResponse, previous int64) error {
		violations++
		return ordering.NewOrderViolationSwitchEndpointClosure(cli)(op, resp, previous)
	})
	newest := int64(0)
	for i := range 30 {
		put, err := cli.Put(ctx, prefix+"ordered", fmt.Sprint(i))
		if err != nil {
			return "", err
		}
		// A linearizable read tells the wrapper how far the store has come.
		if _, err := kv.Get(ctx, prefix+"ordered"); err != nil {
			return "", err
		}
		resp, err := kv.Get(ctx, prefix+"ordered", clientv3.WithSerializable())
		if err != nil {
			return "", err
		}
		if resp.Header.Revision < put.Header.Revision || resp.Header.Revision < newest {
			return "", fmt.Errorf("revision %d after %d", resp.Header.Revision, newest)
		}
		newest = resp.Header.Revision
	}
	resp, err := kv.Txn(ctx).Then(clientv3.OpGet(prefix + "ordered")).Commit()
	if err != nil {
		return "", err
	}
	return check(string(resp.Responses[0].GetResponseRange().Kvs[0].Value)+", no step back", "29, no step back")
}

// leased caches keys under leases; a writer without the cache revokes the hold by its own leasing.
func leased(ctx context.Context, cli *clientv3.Client) (string, error) {
	first, closeFirst, err := leasing.NewKV(cli, prefix+"leasing/")
	if err != nil {
		return "", err
	}
	defer closeFirst()
	second, closeSecond, err := leasing.NewKV(cli, prefix+"leasing/")
	if err != nil {
		return "", err
	}
	defer closeSecond()
	var saw []string
	for _, value := range []string{"a", "b"} {
		if _, err := second.Put(ctx, prefix+"cached", value); err != nil {
			return "", err
		}
		for range 2 {
			resp, err := first.Get(ctx, prefix+"cached")
			if err != nil {
				return "", err
			}
			saw = append(saw, string(resp.Kvs[0].Value))
		}
	}
	return check(strings.Join(saw, " "), "a a b b")
}
