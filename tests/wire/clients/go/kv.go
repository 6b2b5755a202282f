package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var kvSteps = []step{
	{"put and get", putGet},
	{"get by prefix", getPrefix},
	{"get in a stream", getStream},
	{"get at a revision", getRevision},
	{"compaction", compaction},
	{"delete", deleteRange},
	{"txn", txn},
	{"operations", operations},
}

// pairs writes records as key=value, without the prefix of this program.
func pairs(resp *clientv3.GetResponse) string {
	var out []string
	for _, kv := range resp.Kvs {
		out = append(out, fmt.Sprintf("%s=%s", strings.TrimPrefix(string(kv.Key), prefix), kv.Value))
	}
	return fmt.Sprintf("%d of %d [%s]", len(resp.Kvs), resp.Count, strings.Join(out, " "))
}

func putGet(ctx context.Context, cli *clientv3.Client) (string, error) {
	if _, err := cli.Put(ctx, prefix+"sample", "first"); err != nil {
		return "", err
	}
	put, err := cli.Put(ctx, prefix+"sample", "second", clientv3.WithPrevKV())
	if err != nil {
		return "", err
	}
	resp, err := cli.Get(ctx, prefix+"sample")
	if err != nil {
		return "", err
	}
	saw := fmt.Sprintf("before %s, now %s, version %d", put.PrevKv.Value, pairs(resp), resp.Kvs[0].Version)
	return check(saw, "before first, now 1 of 1 [sample=second], version 2")
}

func getPrefix(ctx context.Context, cli *clientv3.Client) (string, error) {
	for i := range 3 {
		if _, err := cli.Put(ctx, fmt.Sprintf("%skey_%d", prefix, i), fmt.Sprint(i)); err != nil {
			return "", err
		}
	}
	order := clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)
	all, err := cli.Get(ctx, prefix+"key", clientv3.WithPrefix(), order)
	if err != nil {
		return "", err
	}
	some, err := cli.Get(ctx, prefix+"key", clientv3.WithPrefix(), clientv3.WithLimit(2), clientv3.WithKeysOnly())
	if err != nil {
		return "", err
	}
	count, err := cli.Get(ctx, prefix+"key", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return "", err
	}
	saw := fmt.Sprintf("%s; %s more %v; %s", pairs(all), pairs(some), some.More, pairs(count))
	return check(saw, "3 of 3 [key_2=2 key_1=1 key_0=0]; 2 of 3 [key_0= key_1=] more true; 0 of 3 []")
}

// getStream reads the same by the RPC that answers in parts.
func getStream(ctx context.Context, cli *clientv3.Client) (string, error) {
	stream, err := cli.GetStream(ctx, prefix+"key", clientv3.WithPrefix())
	if err != nil {
		return "", err
	}
	resp, err := clientv3.GetStreamToGetResponse(stream)
	if err != nil {
		return "", err
	}
	return check(pairs(resp), "3 of 3 [key_0=0 key_1=1 key_2=2]")
}

func getRevision(ctx context.Context, cli *clientv3.Client) (string, error) {
	old, err := cli.Put(ctx, prefix+"revised", "old")
	if err != nil {
		return "", err
	}
	if _, err := cli.Put(ctx, prefix+"revised", "new"); err != nil {
		return "", err
	}
	then, err := cli.Get(ctx, prefix+"revised", clientv3.WithRev(old.Header.Revision))
	if err != nil {
		return "", err
	}
	_, future := cli.Get(ctx, prefix+"revised", clientv3.WithRev(then.Header.Revision+1000))
	return check(fmt.Sprintf("%s; %v", pairs(then), future),
		"1 of 1 [revised=old]; etcdserver: mvcc: required revision is a future revision")
}

func compaction(ctx context.Context, cli *clientv3.Client) (string, error) {
	resp, err := cli.Put(ctx, prefix+"compacted", "1")
	if err != nil {
		return "", err
	}
	if _, err := cli.Put(ctx, prefix+"compacted", "2"); err != nil {
		return "", err
	}
	if err := compact(ctx, cli, resp.Header.Revision+1); err != nil {
		return "", err
	}
	_, gone := cli.Get(ctx, prefix+"compacted", clientv3.WithRev(resp.Header.Revision))
	return check(fmt.Sprint(gone), "etcdserver: mvcc: required revision has been compacted")
}

// compact is what only root may do where the cluster asks for users.
func compact(ctx context.Context, cli *clientv3.Client, revision int64) error {
	if name := os.Getenv("CLIENT_ROOT"); name != "" {
		root, err := dial(name, os.Getenv("CLIENT_ROOT_PASSWORD"))
		if err != nil {
			return err
		}
		defer root.Close()
		cli = root
	}
	_, err := cli.Compact(ctx, revision, clientv3.WithCompactPhysical())
	return err
}

func deleteRange(ctx context.Context, cli *clientv3.Client) (string, error) {
	one, err := cli.Delete(ctx, prefix+"key_0", clientv3.WithPrevKV())
	if err != nil {
		return "", err
	}
	rest, err := cli.Delete(ctx, prefix+"key", clientv3.WithPrefix())
	if err != nil {
		return "", err
	}
	none, err := cli.Delete(ctx, prefix+"key", clientv3.WithPrefix())
	if err != nil {
		return "", err
	}
	saw := fmt.Sprintf("%d (%s), %d, %d", one.Deleted, one.PrevKvs[0].Value, rest.Deleted, none.Deleted)
	return check(saw, "1 (0), 2, 0")
}

func txn(ctx context.Context, cli *clientv3.Client) (string, error) {
	key := prefix + "txn"
	if _, err := cli.Put(ctx, key, "xyz"); err != nil {
		return "", err
	}
	var saw []string
	for range 2 {
		resp, err := cli.Txn(ctx).
			If(clientv3.Compare(clientv3.Value(key), ">", "abc"), clientv3.Compare(clientv3.Version(key), "=", 1)).
			Then(clientv3.OpPut(key, "XYZ")).
			Else(clientv3.OpGet(key), clientv3.OpPut(key, "ABC"), clientv3.OpDelete(prefix+"none")).
			Commit()
		if err != nil {
			return "", err
		}
		now, err := cli.Get(ctx, key)
		if err != nil {
			return "", err
		}
		saw = append(saw, fmt.Sprintf("%v with %d answers, then %s", resp.Succeeded, len(resp.Responses), now.Kvs[0].Value))
	}
	twice := []clientv3.Op{clientv3.OpPut(key, "1"), clientv3.OpPut(key, "2")}
	_, err := cli.Txn(ctx).Then(twice...).Commit()
	saw = append(saw, fmt.Sprint(err))
	return check(strings.Join(saw, "; "), "true with 1 answers, then XYZ; false with 3 answers, then ABC; "+
		"etcdserver: duplicate key given in txn request")
}

// operations sends operations as values, one of them a txn within a txn.
func operations(ctx context.Context, cli *clientv3.Client) (string, error) {
	exists := clientv3.Compare(clientv3.CreateRevision(prefix+"op"), ">", 0)
	ops := []clientv3.Op{
		clientv3.OpPut(prefix+"op", "123"),
		clientv3.OpGet(prefix + "op"),
		clientv3.OpTxn([]clientv3.Cmp{exists}, []clientv3.Op{clientv3.OpPut(prefix+"op", "456")}, nil),
	}
	var saw []string
	for _, op := range ops {
		resp, err := cli.Do(ctx, op)
		if err != nil {
			return "", err
		}
		switch {
		case resp.Put() != nil:
			saw = append(saw, "put")
		case resp.Get() != nil:
			saw = append(saw, "get "+pairs(resp.Get()))
		case resp.Txn() != nil:
			saw = append(saw, fmt.Sprintf("txn %v", resp.Txn().Succeeded))
		}
	}
	return check(strings.Join(saw, ", "), "put, get 1 of 1 [op=123], txn true")
}
