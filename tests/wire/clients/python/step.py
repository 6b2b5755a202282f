"""What both programs share: settings, and one line a step with what it saw."""

import os
import sys
import traceback

CA = os.environ["CLIENT_CA"]
USER = os.environ.get("CLIENT_USER")
PASSWORD = os.environ.get("CLIENT_PASSWORD")
ROOT = os.environ.get("CLIENT_ROOT")
ROOT_PASSWORD = os.environ.get("CLIENT_ROOT_PASSWORD")
# The longest wait for an event or an answer, in seconds.
LIMIT = 20


def endpoints():
    """Host and port of each member."""
    urls = os.environ["CLIENT_ENDPOINTS"].split(",")
    return [
        (host, int(port))
        for host, port in (url.removeprefix("https://").rsplit(":", 1) for url in urls)
    ]


def run(steps):
    """Runs (name, function) pairs in order and ends the process at the first that fails."""
    for name, function in steps:
        try:
            saw = function()
        except Exception:
            traceback.print_exc()
            print(f"{name} failed", file=sys.stderr, flush=True)
            # Threads of a client must not keep a failed run alive.
            os._exit(1)
        print(f"{name}: {saw}", flush=True)
    sys.stdout.flush()
    os._exit(0)


def check(saw, right):
    """What was seen, if it is what is right on any server."""
    if saw != right:
        raise AssertionError(f"saw {saw!r}, expected {right!r}")
    return saw


def failure(function, *arguments, **named):
    """The error that a call ends with; an AssertionError if it succeeds."""
    try:
        answer = function(*arguments, **named)
    except Exception as error:
        return error
    raise AssertionError(f"no error but {answer!r}")
