package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// rightsSteps run where the cluster asks for users.
var rightsSteps = []step{
	{"rights: outside the prefix", outside},
	{"rights: users and roles", usersAndRoles},
	{"rights: maintenance", maintenance},
	{"rights: wrong password", wrongPassword},
	{"rights: nobody", nobody},
	{"rights: root", root},
}

func outside(ctx context.Context, cli *clientv3.Client) (string, error) {
	_, put := cli.Put(ctx, "elsewhere", "v")
	_, get := cli.Get(ctx, "elsewhere")
	_, all := cli.Get(ctx, prefix, clientv3.WithFromKey())
	_, txn := cli.Txn(ctx).Then(clientv3.OpPut(prefix+"txn", "v"), clientv3.OpDelete("elsewhere")).Commit()
	told := <-cli.Watch(ctx, "elsewhere", clientv3.WithCreatedNotify())
	saw := fmt.Sprintf("%v; %v; %v; %v; watch %v", put, get, all, txn, told.Err())
	denied := rpctypes.ErrPermissionDenied.Error()
	return check(saw, fmt.Sprintf("%s; %s; %s; %s; watch rpc error: code = PermissionDenied desc = %s",
		denied, denied, denied, denied, denied))
}

func usersAndRoles(ctx context.Context, cli *clientv3.Client) (string, error) {
	_, list := cli.UserList(ctx)
	_, add := cli.UserAdd(ctx, "more", "secret")
	self, err := cli.UserGet(ctx, os.Getenv("CLIENT_USER"))
	if err != nil {
		return "", err
	}
	denied := rpctypes.ErrPermissionDenied.Error()
	return check(fmt.Sprintf("%v; %v; own roles %v", list, add, self.Roles), fmt.Sprintf("%s; %s; own roles [clients]", denied, denied))
}

// maintenance is root's, but for what only shows the state of the cluster.
func maintenance(ctx context.Context, cli *clientv3.Client) (string, error) {
	member := cli.Endpoints()[0]
	_, compact := cli.Compact(ctx, 1)
	_, defragment := cli.Defragment(ctx, member)
	_, alarms := cli.AlarmList(ctx)
	_, hash := cli.HashKV(ctx, member, 0)
	_, move := cli.MoveLeader(ctx, 1)
	_, status := cli.Status(ctx, member)
	_, members := cli.MemberList(ctx)
	_, leases := cli.Leases(ctx)
	saw := fmt.Sprintf("compact %v; defragment %v; alarms %v; hash %v; move leader %v; status %v; members %v; leases %v",
		compact, defragment, alarms, hash, move, status, members, leases)
	denied := rpctypes.ErrPermissionDenied.Error()
	return check(saw, fmt.Sprintf("compact %s; defragment %s; alarms <nil>; hash %s; move leader %s; status <nil>; "+
		"members <nil>; leases <nil>", denied, denied, denied, denied))
}

func wrongPassword(_ context.Context, _ *clientv3.Client) (string, error) {
	cli, err := dial(os.Getenv("CLIENT_USER"), "wrong")
	if err == nil {
		cli.Close()
	}
	return check(fmt.Sprint(err), "etcdserver: authentication failed, invalid user ID or password")
}

func nobody(ctx context.Context, _ *clientv3.Client) (string, error) {
	cli, err := dial("", "")
	if err != nil {
		return "", err
	}
	defer cli.Close()
	_, get := cli.Get(ctx, prefix+"sample")
	return check(fmt.Sprint(get), "etcdserver: user name is empty")
}

// root may do everything, also make a user, whose rights end with its role.
func root(ctx context.Context, _ *clientv3.Client) (string, error) {
	cli, err := dial(os.Getenv("CLIENT_ROOT"), os.Getenv("CLIENT_ROOT_PASSWORD"))
	if err != nil {
		return "", err
	}
	defer cli.Close()
	_, put := cli.Put(ctx, "elsewhere", "go")
	_, user := cli.UserAdd(ctx, "go-reader", "secret")
	_, role := cli.RoleAdd(ctx, "go-reader")
	_, grant := cli.RoleGrantPermission(ctx, "go-reader", "elsewhere", "", clientv3.PermissionType(clientv3.PermRead))
	_, give := cli.UserGrantRole(ctx, "go-reader", "go-reader")
	if err := errors.Join(put, user, role, grant, give); err != nil {
		return "", err
	}
	reader, err := dial("go-reader", "secret")
	if err != nil {
		return "", err
	}
	defer reader.Close()
	resp, err := reader.Get(ctx, "elsewhere")
	if err != nil {
		return "", err
	}
	_, write := reader.Put(ctx, "elsewhere", "no")
	if _, err := cli.UserRevokeRole(ctx, "go-reader", "go-reader"); err != nil {
		return "", err
	}
	_, read := reader.Get(ctx, "elsewhere")
	status, err := cli.AuthStatus(ctx)
	if err != nil {
		return "", err
	}
	_, user = cli.UserDelete(ctx, "go-reader")
	_, role = cli.RoleDelete(ctx, "go-reader")
	if err := errors.Join(user, role); err != nil {
		return "", err
	}
	denied := rpctypes.ErrPermissionDenied.Error()
	saw := fmt.Sprintf("enabled %v, reader saw %s, put: %v, without role: %v", status.Enabled, resp.Kvs[0].Value, write, read)
	return check(saw, fmt.Sprintf("enabled true, reader saw go, put: %s, without role: %s", denied, denied))
}
