"""Drives a cluster by pyetcd (etcd-sdk-python), which speaks gRPC, with what its documentation shows."""

import queue
import threading

import grpc
import pyetcd

import step
from step import check, failure

PREFIX = "clients/python-grpc/"


def connect(user=None, password=None):
    host, port = step.endpoints()[0]
    return pyetcd.client(
        host=host, port=port, ca_cert=step.CA, timeout=step.LIMIT, user=user, password=password
    )


def told(error):
    """Class of an error, and what the server said if the library passes it on."""
    if isinstance(error, grpc.RpcError):
        return f"{error.code().name} {error.details()}"
    return type(error).__name__


def put_get(client):
    client.put(PREFIX + "bar", "doot")
    before = client.put(PREFIX + "bar", "toot", prev_kv=True).prev_kv.value
    value, about = client.get(PREFIX + "bar")
    nothing = client.get(PREFIX + "none")
    return check(
        f"{before!r} {value!r} {about.key!r} version {about.version} {nothing}",
        "b'doot' b'toot' b'clients/python-grpc/bar' version 2 (None, None)",
    )


def get_prefix(client):
    for number in range(3):
        client.put(f"{PREFIX}key{number}", f"value{2 - number}")
    upwards = client.get_prefix(PREFIX + "key", sort_order="ascend", sort_target="value")
    between = client.get_range(PREFIX + "key0", PREFIX + "key2", sort_order="descend")
    names = client.get_prefix(PREFIX + "key", keys_only=True, limit=2)
    return check(
        f"{[value for value, _ in upwards]} {[value for value, _ in between]} "
        f"{[about.key.decode().removeprefix(PREFIX) for _, about in names]}",
        "[b'value0', b'value1', b'value2'] [b'value1', b'value2'] ['key0', 'key1']",
    )


def delete(client):
    first = client.delete(PREFIX + "key0")
    again = client.delete(PREFIX + "key0")
    rest = client.delete_prefix(PREFIX + "key").deleted
    return check(f"{first} {again} {rest}", "True False 2")


def transaction(client):
    key = PREFIX + "testing"
    client.put(key, "doot")
    saw = [client.put_if_not_exists(key, "no"), client.replace(key, "doot", "hoot")]
    for _ in range(2):
        outcome, answers = client.transaction(
            compare=[
                client.transactions.value(key) == "hoot",
                client.transactions.version(key) > 0,
            ],
            success=[client.transactions.put(key, "success")],
            failure=[client.transactions.get(key), client.transactions.delete(key)],
        )
        saw.append((outcome, len(answers)))
    return check(f"{saw} {client.get(key)[0]}", "[False, True, (True, 1), (False, 2)] None")


def lease(client):
    lease = client.lease(60)
    client.put(PREFIX + "leased", "v", lease=lease)
    beat = lease.refresh()[0].TTL
    saw = f"{lease.ttl} {beat} {lease.granted_ttl} {lease.remaining_ttl > 50} {list(lease.keys)}"
    lease.revoke()
    gone = told(failure(lease.revoke))
    return check(
        f"{saw} {client.get(PREFIX + 'leased')[0]} {gone}",
        "60 60 60 True [b'clients/python-grpc/leased'] None "
        "NOT_FOUND etcdserver: requested lease not found",
    )


def watch(client):
    """Events of a prefix by an iterator; the library answers once the watch is made."""
    events, cancel = client.watch_prefix(PREFIX + "watched", prev_kv=True)
    client.put(PREFIX + "watched1", "a")
    client.put(PREFIX + "watched1", "b")
    client.delete(PREFIX + "watched1")
    # A wait without end would hang the suite.
    timer = threading.Timer(step.LIMIT, cancel)
    timer.start()
    saw = []
    for event in events:
        saw.append(f"{type(event).__name__} {event.value.decode()} before {event.prev_value.decode()}")
        if len(saw) == 3:
            cancel()
    timer.cancel()
    return check(", ".join(saw), "PutEvent a before , PutEvent b before a, DeleteEvent  before b")


def watch_callback(client):
    answers = queue.Queue()
    watch_id = client.add_watch_callback(PREFIX + "anotherkey", answers.put)
    client.put(PREFIX + "anotherkey", "v")
    events = answers.get(timeout=step.LIMIT).events
    client.cancel_watch(watch_id)
    late = failure(client.watch_once, PREFIX + "never", timeout=0.3)
    return check(f"{[event.value for event in events]} {told(late)}", "[b'v'] WatchTimedOut")


def lock(client):
    first, second = client.lock("python-grpc", ttl=60), client.lock("python-grpc", ttl=60)
    with first:
        saw = f"{first.is_acquired()} {second.acquire(timeout=0.3)} {first.refresh()[0].TTL}"
        waiting = threading.Thread(target=second.acquire, kwargs={"timeout": step.LIMIT})
        waiting.start()
    waiting.join(step.LIMIT)
    return check(
        f"{saw} {first.is_acquired()} {second.is_acquired()} {second.release()}",
        "True False 60 False True True",
    )


def members(client):
    names = sorted(member.name for member in client.members)
    alarms = list(client.list_alarms())
    return check(
        f"{names} leader {client.status().leader.name in names} alarms {alarms}",
        "['m0', 'm1', 'm2'] leader True alarms []",
    )


def rights(client):
    denied = [
        told(failure(client.put, "elsewhere", "v")),
        told(failure(client.get, "elsewhere")),
        told(failure(lambda: list(client.get_all()))),
        told(failure(connect, step.USER, "wrong")),
        told(failure(connect().get, PREFIX + "bar")),
    ]
    refused = "PERMISSION_DENIED etcdserver: permission denied"
    return check(
        "; ".join(denied),
        f"{refused}; {refused}; {refused}; "
        "INVALID_ARGUMENT etcdserver: authentication failed, invalid user ID or password; "
        "INVALID_ARGUMENT etcdserver: user name is empty",
    )


def root(client):
    client = connect(step.ROOT, step.ROOT_PASSWORD)
    client.put("elsewhere", "python")
    return check(f"{client.get('elsewhere')[0]}", "b'python'")


def main():
    client = connect(step.USER, step.PASSWORD)
    steps = [
        ("put and get", put_get),
        ("get by prefix", get_prefix),
        ("delete", delete),
        ("transaction", transaction),
        ("lease", lease),
        ("watch", watch),
        ("watch by callback", watch_callback),
        ("lock", lock),
        ("members", members),
    ]
    if step.ROOT:
        steps += [("rights", rights), ("rights: root", root)]
    step.run([(name, lambda function=function: function(client)) for name, function in steps])


if __name__ == "__main__":
    main()
