"""Drives a cluster by etcd3gw, which speaks JSON over HTTP, with what its documentation shows.

It knows no users: they are added as its readers do it, by a session with the token's header.
"""

import json
import threading

import etcd3gw
import requests
from etcd3gw import exceptions

import step
from step import check, failure

PREFIX = "clients/python-json/"


def connect(user=None, password=None):
    host, port = step.endpoints()[0]
    session = requests.Session()
    session.verify = step.CA
    # Bundles that the environment names would be taken instead.
    session.trust_env = False
    client = etcd3gw.client(
        host=host, port=port, protocol="https", timeout=step.LIMIT, session=session
    )
    if user is not None:
        answer = client.post(
            client.get_url("/auth/authenticate"), json={"name": user, "password": password}
        )
        session.headers["Authorization"] = answer["token"]
    return client


def told(error):
    """Class, and message of the JSON that the server answered a request with."""
    return f"{type(error).__name__} {json.loads(error.detail_text)['message']}"


def put_get(client):
    client.put(PREFIX + "foo", "bar")
    client.put(PREFIX + "foo", b"b\x00r")
    ((value, about),) = client.get(PREFIX + "foo", metadata=True)
    return check(
        f"{value!r} {about['key']!r} version {about['version']}",
        r"b'b\x00r' b'clients/python-json/foo' version 2",
    )


def get_prefix(client):
    for number in range(3):
        client.put(f"{PREFIX}key{number}", f"value{2 - number}")
    upwards = client.get_prefix(PREFIX + "key", sort_order="ascend", sort_target="value")
    downwards = client.get_prefix(PREFIX + "key", sort_order="descend", sort_target="key")
    nothing = client.get(PREFIX + "none")
    return check(
        f"{[value for value, _ in upwards]} {[value for value, _ in downwards]} {nothing}",
        "[b'value0', b'value1', b'value2'] [b'value0', b'value1', b'value2'] []",
    )


def delete(client):
    first = client.delete(PREFIX + "key0")
    again = client.delete(PREFIX + "key0")
    rest = client.delete_prefix(PREFIX + "key")
    return check(
        f"{first} {again} {rest} {client.get_prefix(PREFIX + 'key')}", "True False True []"
    )


def compare(client):
    """create, replace and a txn spelled out."""
    key = PREFIX + "compared"
    created = [client.create(key, "1"), client.create(key, "2")]
    replaced = [client.replace(key, "1", "3"), client.replace(key, "1", "4")]
    encoded = etcd3gw.utils._encode(key)
    answer = client.transaction(
        {
            "compare": [{"key": encoded, "result": "GREATER", "target": "VERSION", "version": 1}],
            "success": [
                {"request_range": {"key": encoded}},
                {"request_put": {"key": encoded, "value": etcd3gw.utils._encode("5")}},
            ],
            "failure": [],
        }
    )
    kinds = [sorted(response) for response in answer["responses"]]
    return check(
        f"{created} {replaced} {answer['succeeded']} {kinds} {client.get(key)}",
        "[True, False] [True, False] True [['response_range'], ['response_put']] [b'5']",
    )


def lease(client):
    lease = client.lease(ttl=60)
    client.put(PREFIX + "leased", "v", lease=lease)
    saw = f"ttl {lease.ttl() > 50}, keys {lease.keys()}, refreshed to {lease.refresh()}"
    lease.revoke()
    gone = f"then {client.get(PREFIX + 'leased')}, ttl {lease.ttl()}, refresh {lease.refresh()}"
    error = failure(lease.revoke)
    return check(
        f"{saw}, {gone}, {type(error).__name__} {error.detail_text and json.loads(error.detail_text)['message']}",
        "ttl True, keys [b'clients/python-json/leased'], refreshed to 60, then [], ttl -1, "
        "refresh -1, Etcd3Exception etcdserver: requested lease not found",
    )


def watch(client):
    """Events of a prefix, written once the watch is made: the library waits for its headers."""
    events, cancel = client.watch_prefix(PREFIX + "watched", prev_kv=True)
    client.put(PREFIX + "watched1", "a")
    client.put(PREFIX + "watched1", "b")
    client.delete(PREFIX + "watched1")
    # A wait without end would hang the suite.
    timer = threading.Timer(step.LIMIT, cancel)
    timer.start()
    saw = []
    for event in events:
        record = event["kv"]
        saw.append(f"{event.get('type', 'PUT')} {record['key']!r}={record.get('value', b'')!r}")
        if len(saw) == 3:
            cancel()
    timer.cancel()
    return check(
        " ".join(saw),
        "PUT b'clients/python-json/watched1'=b'a' PUT b'clients/python-json/watched1'=b'b' "
        "DELETE b'clients/python-json/watched1'=b''",
    )


def watch_once(client):
    timer = threading.Timer(0.3, client.put, (PREFIX + "once", "v"))
    timer.start()
    event = client.watch_once(PREFIX + "once", timeout=step.LIMIT)
    late = failure(client.watch_once, PREFIX + "never", timeout=0.3)
    return check(f"{event['kv']['value']!r} {type(late).__name__}", "b'v' WatchTimedOut")


def lock(client):
    first, second = client.lock("python-json", ttl=60), client.lock("python-json", ttl=60)
    with first:
        saw = f"{first.is_acquired()} {second.acquire()} {second.is_acquired()} {first.refresh()}"
    return check(
        f"{saw} {first.is_acquired()} {second.acquire()} {second.release()}",
        "True False False 60 False True True",
    )


def members(client):
    answer = client.members()
    status = client.status()
    return check(
        f"{sorted(member['name'] for member in answer)} version {status['version'][:2]}",
        "['m0', 'm1', 'm2'] version 3.",
    )


def rights(client):
    denied = [
        told(failure(client.put, "elsewhere", "v")),
        told(failure(client.get, "elsewhere")),
        told(failure(client.post, client.get_url("/auth/user/list"), json={})),
        told(failure(connect, step.USER, "wrong")),
        told(failure(connect().get, PREFIX + "foo")),
    ]
    broken = connect()
    broken.session.headers["Authorization"] = "nothing.1"
    denied.append(told(failure(broken.get, PREFIX + "foo")))
    return check(
        "; ".join(denied),
        "Etcd3Exception etcdserver: permission denied; Etcd3Exception etcdserver: permission denied; "
        "Etcd3Exception etcdserver: permission denied; Etcd3Exception etcdserver: authentication "
        "failed, invalid user ID or password; Etcd3Exception etcdserver: user name is empty; "
        "Etcd3Exception etcdserver: invalid auth token",
    )


def root(client):
    """root may do everything and may list users."""
    client = connect(step.ROOT, step.ROOT_PASSWORD)
    client.put("elsewhere", "python")
    users = client.post(client.get_url("/auth/user/list"), json={})["users"]
    return check(
        f"{client.get('elsewhere')} {sorted(users)}", f"[b'python'] {sorted(['root', step.USER])}"
    )


def main():
    client = connect(step.USER, step.PASSWORD)
    steps = [
        ("put and get", put_get),
        ("get by prefix", get_prefix),
        ("delete", delete),
        ("create, replace, transaction", compare),
        ("lease", lease),
        ("watch", watch),
        ("watch once", watch_once),
        ("lock", lock),
        ("members", members),
    ]
    if step.ROOT:
        steps += [("rights", rights), ("rights: root", root)]
    step.run([(name, lambda function=function: function(client)) for name, function in steps])


if __name__ == "__main__":
    main()
