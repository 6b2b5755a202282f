package main

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var watchSteps = []step{
	{"watch", watchPrefix},
	{"watch what has been", watchPast},
	{"watch progress", watchProgress},
	{"watch below a compaction", watchCompacted},
}

// watchPrefix watches from now on, so it writes only once the watch is said to be made.
func watchPrefix(ctx context.Context, cli *clientv3.Client) (string, error) {
	changes := cli.Watch(ctx, prefix+"watched", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	if made := <-changes; !made.Created {
		return "", fmt.Errorf("not made: %w", made.Err())
	}
	if err := write(ctx, cli); err != nil {
		return "", err
	}
	return collect(ctx, changes, 4, "PUT watched1=a before nothing, PUT watched1=b before a, "+
		"PUT watched2=c before nothing, DELETE watched1= before b")
}

func watchPast(ctx context.Context, cli *clientv3.Client) (string, error) {
	resp, err := cli.Get(ctx, prefix+"watched2")
	if err != nil {
		return "", err
	}
	from := clientv3.WithRev(resp.Kvs[0].ModRevision)
	return collect(ctx, cli.Watch(ctx, prefix+"watched", clientv3.WithPrefix(), from, clientv3.WithFilterPut()), 1,
		"DELETE watched1= before nothing")
}

func write(ctx context.Context, cli *clientv3.Client) error {
	for _, pair := range [][2]string{{"watched1", "a"}, {"watched1", "b"}, {"watched2", "c"}} {
		if _, err := cli.Put(ctx, prefix+pair[0], pair[1]); err != nil {
			return err
		}
	}
	_, err := cli.Delete(ctx, prefix+"watched1")
	return err
}

func collect(ctx context.Context, changes clientv3.WatchChan, count int, right string) (string, error) {
	var saw []string
	for resp := range changes {
		if err := resp.Err(); err != nil {
			return "", err
		}
		for _, event := range resp.Events {
			before := "nothing"
			if event.PrevKv != nil {
				before = string(event.PrevKv.Value)
			}
			key := strings.TrimPrefix(string(event.Kv.Key), prefix)
			saw = append(saw, fmt.Sprintf("%s %s=%s before %s", event.Type, key, event.Kv.Value, before))
		}
		if len(saw) >= count {
			return check(strings.Join(saw, ", "), right)
		}
	}
	return "", fmt.Errorf("only saw %q: %w", saw, ctx.Err())
}

func watchProgress(ctx context.Context, cli *clientv3.Client) (string, error) {
	ctx = clientv3.WithRequireLeader(ctx)
	changes := cli.Watch(ctx, prefix+"still", clientv3.WithCreatedNotify())
	if made := <-changes; !made.Created {
		return "", fmt.Errorf("not made: %w", made.Err())
	}
	if err := cli.RequestProgress(ctx); err != nil {
		return "", err
	}
	told := <-changes
	return check(fmt.Sprintf("progress %v, events %d", told.IsProgressNotify(), len(told.Events)), "progress true, events 0")
}

func watchCompacted(ctx context.Context, cli *clientv3.Client) (string, error) {
	told, ok := <-cli.Watch(ctx, prefix+"compacted", clientv3.WithRev(1))
	if !ok {
		return "", ctx.Err()
	}
	saw := fmt.Sprintf("canceled %v, compacted %v, %v", told.Canceled, told.CompactRevision > 1, told.Err())
	return check(saw, "canceled true, compacted true, etcdserver: mvcc: required revision has been compacted")
}
