package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var leaseSteps = []step{
	{"lease kept alive", keepAlive},
	{"lease revoked", revoke},
	{"lease that ends", expiry},
}

func keepAlive(ctx context.Context, cli *clientv3.Client) (string, error) {
	lease, err := cli.Grant(ctx, 60)
	if err != nil {
		return "", err
	}
	if _, err := cli.Put(ctx, prefix+"leased", "bar", clientv3.WithLease(lease.ID)); err != nil {
		return "", err
	}
	beats, err := cli.KeepAlive(ctx, lease.ID)
	if err != nil {
		return "", err
	}
	beat, ok := <-beats
	if !ok {
		return "", fmt.Errorf("no answer to a beat: %w", ctx.Err())
	}
	once, err := cli.KeepAliveOnce(ctx, lease.ID)
	if err != nil {
		return "", err
	}
	left, err := cli.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	if err != nil {
		return "", err
	}
	saw := fmt.Sprintf("granted %d, beats %d and %d, of %d, near the end %v, keys %s", lease.TTL, beat.TTL,
		once.TTL, left.GrantedTTL, left.TTL < 50, left.Keys)
	return check(saw, "granted 60, beats 60 and 60, of 60, near the end false, keys [clients/go/leased]")
}

func revoke(ctx context.Context, cli *clientv3.Client) (string, error) {
	resp, err := cli.Get(ctx, prefix+"leased")
	if err != nil {
		return "", err
	}
	lease := clientv3.LeaseID(resp.Kvs[0].Lease)
	if _, err := cli.Revoke(ctx, lease); err != nil {
		return "", err
	}
	after, err := cli.Get(ctx, prefix+"leased")
	if err != nil {
		return "", err
	}
	_, again := cli.Revoke(ctx, lease)
	_, beat := cli.KeepAliveOnce(ctx, lease)
	_, put := cli.Put(ctx, prefix+"leased", "v", clientv3.WithLease(lease))
	saw := fmt.Sprintf("%d then %d records; %v; %v; %v", len(resp.Kvs), len(after.Kvs), again, beat, put)
	gone := "etcdserver: requested lease not found"
	return check(saw, fmt.Sprintf("1 then 0 records; %s; %s; %s", gone, gone, gone))
}

func expiry(ctx context.Context, cli *clientv3.Client) (string, error) {
	lease, err := cli.Grant(ctx, 2)
	if err != nil {
		return "", err
	}
	put, err := cli.Put(ctx, prefix+"ending", "bar", clientv3.WithLease(lease.ID))
	if err != nil {
		return "", err
	}
	since := time.Now()
	for resp := range cli.Watch(ctx, prefix+"ending", clientv3.WithRev(put.Header.Revision+1)) {
		for _, event := range resp.Events {
			left, err := cli.TimeToLive(ctx, lease.ID)
			if err != nil {
				return "", err
			}
			early := time.Since(since) < time.Second
			return check(fmt.Sprintf("%s, early %v, left %d", event.Type, early, left.TTL), "DELETE, early false, left -1")
		}
	}
	return "", fmt.Errorf("the key is still there: %w", ctx.Err())
}
