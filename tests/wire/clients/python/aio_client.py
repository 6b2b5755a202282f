"""Drives a cluster by etcd3aio, which speaks gRPC to all members, with what its documentation shows."""

import asyncio
from pathlib import Path

import etcd3aio
import grpc
from etcd3aio.kv import prefix_range_end

import step
from step import check

PREFIX = "clients/python-aio/"


def connect():
    return etcd3aio.Etcd3Client(
        [f"{host}:{port}" for host, port in step.endpoints()],
        ca_cert=Path(step.CA).read_bytes(),
        tls_server_name="localhost",
    )


async def failure(awaitable):
    try:
        answer = await awaitable
    except etcd3aio.EtcdError as error:
        return f"{type(error).__name__} {error}"
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {error.details()}"
    raise AssertionError(f"no error but {answer!r}")


async def key_value(client):
    await client.kv.put(PREFIX + "greeting", "hello")
    answer = await client.kv.get(PREFIX + "greeting")
    deleted = await client.kv.delete(PREFIX + "greeting")
    return check(f"{answer.kvs[0].value!r} {deleted.deleted}", "b'hello' 1")


async def lease(client):
    granted = await client.lease.grant(ttl=3)
    await client.kv.put(PREFIX + "leased", "v", lease=granted.ID)
    async with client.lease.keep_alive_context(granted.ID, 3):
        # Longer than the lease would last without its beats.
        await asyncio.sleep(4.5)
        left = await client.lease.time_to_live(granted.ID, keys=True)
    await client.lease.revoke(granted.ID)
    gone = await client.lease.time_to_live(granted.ID)
    return check(f"{left.TTL > 0} {list(left.keys)} {gone.TTL}", f"True [{(PREFIX + 'leased').encode()}] -1")


async def watch(client):
    put = await client.kv.put(PREFIX + "watched", "a")
    await client.kv.delete(PREFIX + "watched")
    saw = []
    async for answer in client.watch.watch(
        PREFIX, range_end=prefix_range_end(PREFIX.encode()), start_revision=put.header.revision, prev_kv=True
    ):
        saw += [(event.type, event.kv.value, event.prev_kv.value) for event in answer.events]
        if len(saw) >= 2:
            break
    return check(f"{saw}", "[(0, b'a', b''), (1, b'', b'a')]")


async def lock(client):
    order = []

    async def hold(name):
        async with client.lock("python-aio/resource", ttl=30):
            order.append(f"{name} in")
            await asyncio.sleep(0.1)
            order.append(f"{name} out")

    await asyncio.gather(hold("one"), hold("one"), hold("one"))
    return check(" ".join(order), " ".join(["one in one out"] * 3))


async def election(client):
    async with client.election("python-aio/leader", value=b"node-1") as first:
        leader = await first.leader()
        saw = [leader.kvs[0].value]
        await first.proclaim(b"node-1 again")
        saw.append((await first.leader()).kvs[0].value)
        second = client.election("python-aio/leader", value=b"node-2")
        waiting = asyncio.create_task(second.__aenter__())
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        saw.append(len(done))
    await waiting
    saw.append((await second.leader()).kvs[0].value)
    await second.__aexit__(None, None, None)
    saw.append(len((await second.leader()).kvs))
    return check(f"{saw}", "[b'node-1', b'node-1 again', 0, b'node-2', 0]")


async def members(client):
    await client.ping(write_check=not step.USER)
    answer = await client.cluster.member_list()
    return check(f"{sorted(member.name for member in answer.members)}", "['m0', 'm1', 'm2']")


async def rights(client):
    saw = [
        await failure(client.kv.put("elsewhere", "v")),
        await failure(client.auth.user_list()),
        await failure(client.auth.authenticate(step.USER, "wrong")),
    ]
    async with connect() as root:
        async with root.token_refresher(step.ROOT, step.ROOT_PASSWORD):
            status = await root.auth.auth_status()
            saw.append(f"enabled {status.enabled} {sorted((await root.auth.user_list()).users)}")
        saw.append(await failure(root.kv.get(PREFIX)))
    return check(
        "; ".join(saw),
        "EtcdPermissionDeniedError KV.Put failed: etcdserver: permission denied; "
        "EtcdPermissionDeniedError Auth.UserList failed: etcdserver: permission denied; "
        "INVALID_ARGUMENT etcdserver: authentication failed, invalid user ID or password; "
        "enabled True ['app', 'root']; INVALID_ARGUMENT etcdserver: user name is empty",
    )


async def main():
    async with connect() as client:
        if step.USER:
            token = (await client.auth.authenticate(step.USER, step.PASSWORD)).token
            client.set_token(token)
        for name, run in [
            ("key and value", key_value),
            ("lease kept alive", lease),
            ("watch", watch),
            ("lock", lock),
            ("election", election),
            ("members", members),
        ] + ([("rights", rights)] if step.ROOT else []):
            print(f"{name}: {await asyncio.wait_for(run(client), step.LIMIT)}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
