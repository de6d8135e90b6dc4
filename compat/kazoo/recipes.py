"""Uses the recipes and the API of kazoo against one server.

Usage: recipes.py HOST:PORT. Each test prints "ok NAME" or "FAIL NAME: TEXT"; the exit status is 1 if
one failed. The server must allow the four-letter words ruok and isro, extended types, and sessions of
two seconds.
"""

import contextlib
import datetime
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    InvalidACLError,
    KazooException,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol.states import EventType
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.lease import MultiNonBlockingLease, NonBlockingLease
from kazoo.recipe.partitioner import SetPartitioner
from kazoo.recipe.watchers import PatientChildrenWatch
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, make_acl, make_digest_acl

PATIENCE = 30  # seconds for anything that a server has to do

HOSTS = sys.argv[1]
TESTS = []


def test(function):
    TESTS.append(function)
    return function


@contextlib.contextmanager
def client(hosts=HOSTS, **options):
    """A session that ends with the block."""
    c = KazooClient(hosts=hosts, **options)
    c.start(timeout=PATIENCE)
    try:
        yield c
    finally:
        c.stop()
        c.close()


def raises(error, function, *args, **kwargs):
    try:
        got = function(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"{function.__name__}{args}: {got!r}, not {error.__name__}")


def equal(got, want):
    assert got == want, f"{got!r}, not {want!r}"


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.01)


def wait(event, what="event"):
    assert event.wait(PATIENCE), f"no {what}"


def start(function, *args):
    """A thread whose exception join() raises."""
    thread = Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


class Thread(threading.Thread):
    failure = None

    def run(self):
        try:
            super().run()
        except Exception as failure:
            self.failure = failure

    def done(self):
        self.join(PATIENCE)
        assert not self.is_alive(), "a thread does not end"
        if self.failure:
            raise self.failure


def drop(c):
    """Cuts the connection of a session, which the client then makes anew."""
    c._connection._socket.shutdown(socket.SHUT_RDWR)


def take_over(session):
    """Continues a session on a connection of its own, or has a new one if the server refuses."""
    c = KazooClient(hosts=HOSTS, client_id=session)
    c.start(timeout=PATIENCE)
    return c


def ghost(path, timeout):
    """The identity of a session that a process has left behind with an ephemeral znode."""
    program = """
import os, sys
from kazoo.client import KazooClient
c = KazooClient(hosts=sys.argv[1], timeout=float(sys.argv[3]))
c.start()
c.create(sys.argv[2], ephemeral=True)
print(c.client_id[0], c.client_id[1].hex(), flush=True)
os._exit(0)
"""
    output = subprocess.run([sys.executable, "-c", program, HOSTS, path, str(timeout)], stdout=subprocess.PIPE, check=True).stdout
    session, password = output.split()
    return int(session), bytes.fromhex(password.decode())


@test
def words(c, path):
    equal(c.command(b"ruok"), "imok")
    equal(c.command(b"isro"), "rw")
    assert c.server_version() >= (3, 9), c.server_version()
    assert "Mode: standalone" in c.command(b"stat"), c.command(b"stat")


@test
def create_modes(c, path):
    equal(c.create(path + "/p", b"x"), path + "/p")
    equal(c.create(path + "/s-", sequence=True), path + "/s-0000000001")
    equal(c.create(path + "/es-", ephemeral=True, sequence=True), path + "/es-0000000002")
    equal(c.create(path + "/a/b/c", b"deep", makepath=True), path + "/a/b/c")
    name, stat = c.create(path + "/e", b"1234", ephemeral=True, include_data=True)
    equal((name, stat.owner_session_id, stat.dataLength), (path + "/e", c.client_id[0], 4))
    equal(c.get(path + "/e")[1], stat)
    raises(NoChildrenForEphemeralsError, c.create, path + "/e/c")
    raises(NodeExistsError, c.create, path + "/p")
    raises(NoNodeError, c.create, path + "/none/c")
    raises(NotEmptyError, c.delete, path + "/a")
    c.delete(path + "/a", recursive=True)
    equal(c.exists(path + "/a"), None)
    equal(sorted(c.get_children(path)), ["e", "es-0000000002", "p", "s-0000000001"])
    children, stat = c.get_children(path, include_data=True)
    equal((len(children), stat.numChildren, stat.cversion), (4, 4, 6))


@test
def versions(c, path):
    stat = c.set(path, b"1", version=0)
    equal((stat.version, stat.data_length), (1, 1))
    raises(BadVersionError, c.set, path, b"2", version=0)
    raises(BadVersionError, c.delete, path, version=0)
    equal(c.get(path), (b"1", stat))
    equal(c.sync(path), path)


@test
def watches(c, path):
    got = []
    seen = threading.Event()

    def watch(event):
        got.append((event.type, event.path))
        seen.set()

    def next_event(event, change, *args):
        change(*args)
        wait(seen)
        equal(got.pop(), event)
        seen.clear()

    node = path + "/n"
    with client() as other:
        c.exists(node, watch=watch)
        next_event((EventType.CREATED, node), other.create, node)
        c.get(node, watch=watch)
        next_event((EventType.CHANGED, node), other.set, node, b"1")
        c.get_children(path, watch=watch)
        next_event((EventType.CHILD, path), other.create, path + "/m")
        c.get(node, watch=watch)
        next_event((EventType.DELETED, node), other.delete, node)
        equal(got, [])


@test
def transactions(c, path):
    t = c.transaction()
    t.check(path, 0)
    t.create(path + "/a", b"1")
    t.create(path + "/a/s-", sequence=True)
    t.set_data(path + "/a", b"2", version=0)
    t.create(path + "/b")
    t.delete(path + "/b", version=0)
    results = t.commit()
    equal(results[:3], [True, path + "/a", path + "/a/s-0000000000"])
    equal((results[3].version, results[5]), (1, True))

    t = c.transaction()
    t.set_data(path + "/a", b"3")
    t.check(path + "/a", 1)
    t.create(path + "/c")
    results = t.commit()
    equal([type(r) for r in results], [RolledBackError, BadVersionError, RuntimeInconsistency])
    equal(c.get(path + "/a")[0], b"2")


@test
def acls(c, path):
    secret = path + "/secret"
    acl = make_digest_acl("alice", "pw", all=True)
    with client(auth_data=[("digest", "alice:pw")]) as alice:
        alice.create(secret, b"x", acl=[acl])
        equal(alice.get_acls(secret)[0], [acl])
        alice.create(path + "/mine", acl=CREATOR_ALL_ACL)
        equal(alice.get_acls(path + "/mine")[0], [acl])
        for call in (c.get, c.get_children, c.get_acls):
            raises(NoAuthError, call, secret)
        raises(NoAuthError, c.create, secret + "/c")
        c.add_auth("digest", "alice:wrong")
        raises(NoAuthError, c.set, secret, b"y")
        stat = alice.set_acls(secret, [acl] + READ_ACL_UNSAFE, version=0)
        equal(stat.aversion, 1)
        raises(BadVersionError, alice.set_acls, secret, [acl], version=0)
        equal(c.get(secret)[0], b"x")
        raises(NoAuthError, c.set, secret, b"y")
        raises(InvalidACLError, alice.create, path + "/n", acl=[make_acl("unknown", "x", all=True)])
        alice.create(path + "/local", acl=[make_acl("ip", "127.0.0.1", read=True)])
        equal(c.get(path + "/local")[0], b"")
        raises(NoAuthError, c.set, path + "/local", b"y")
        # The client authenticates again on its next connection.
        drop(alice)
        alice.retry(alice.set, secret, b"again")
        alice.set_acls(secret, OPEN_ACL_UNSAFE)
    c.set(secret, b"open")


@test
def sizes(c, path):
    for size in (0, 1, 4096, 1 << 16, (1 << 20) - 1024):
        data = bytes([size % 251]) * size
        c.set(path, data)
        equal(c.get(path)[0] == data, True)


@test
def asynchronous(c, path):
    created = [c.create_async(f"{path}/{i:03}", b"%d" % i) for i in range(300)]
    read = [c.get_async(f"{path}/{i:03}") for i in range(300)]
    equal([r.get(timeout=PATIENCE) for r in created], [f"{path}/{i:03}" for i in range(300)])
    equal([r.get(timeout=PATIENCE)[0] for r in read], [b"%d" % i for i in range(300)])
    equal(len(c.get_children_async(path).get(timeout=PATIENCE)), 300)


@test
def chroot(c, path):
    with client(hosts=HOSTS + path) as inner:
        inner.create("/x/y", b"z", makepath=True)
        equal(inner.get_children("/"), ["x"])
        equal(inner.get("/x/y")[0], b"z")
    equal(c.get(path + "/x/y")[0], b"z")


@test
def lock(c, path):
    inside, entered = [], []

    def work(i):
        with client() as other:
            for _ in range(4):
                with other.Lock(path + "/lock", f"worker-{i}"):
                    inside.append(i)
                    equal(inside, [i])
                    entered.append(i)
                    inside.remove(i)

    for t in [start(work, i) for i in range(5)]:
        t.done()
    equal(len(entered), 20)

    first, second = c.Lock(path + "/lock", "first"), c.Lock(path + "/lock", "second")
    assert first.acquire(timeout=PATIENCE)
    assert not second.acquire(blocking=False)
    equal(first.contenders(), ["first"])
    # Whoever holds a lock loses it with the session.
    with client() as other:
        third = other.Lock(path + "/lock", "third")
        waiting = start(lambda: third.acquire(timeout=PATIENCE))
        eventually("a second contender", lambda: first.contenders() == ["first", "third"])
        first.release()
        waiting.done()
        assert third.is_acquired
    assert second.acquire(timeout=PATIENCE)
    second.release()


@test
def read_write_lock(c, path):
    with client() as other:
        one, two = c.ReadLock(path + "/rw", "one"), other.ReadLock(path + "/rw", "two")
        writer = other.WriteLock(path + "/rw", "writer")
        assert one.acquire(timeout=PATIENCE) and two.acquire(timeout=PATIENCE)
        waiting = start(lambda: writer.acquire(timeout=PATIENCE))
        eventually("a waiting writer", lambda: len(one.contenders()) == 3)
        late = c.ReadLock(path + "/rw", "late")
        assert not late.acquire(blocking=False)
        one.release()
        two.release()
        waiting.done()
        assert writer.is_acquired
        writer.release()
        assert late.acquire(timeout=PATIENCE)
        late.release()


@test
def semaphore(c, path):
    guard, inside, most = threading.Lock(), set(), [0]

    def work(i):
        with client() as other:
            for _ in range(3):
                with other.Semaphore(path + "/sem", f"worker-{i}", max_leases=2):
                    with guard:
                        inside.add(i)
                        most[0] = max(most[0], len(inside))
                    time.sleep(0.01)
                    with guard:
                        inside.remove(i)

    for t in [start(work, i) for i in range(5)]:
        t.done()
    assert 1 <= most[0] <= 2, f"{most[0]} leases of 2"
    equal(list(c.Semaphore(path + "/sem", max_leases=2).lease_holders()), [])


@test
def election(c, path):
    led = []

    def lead(other, name, leave):
        led.append(name)
        wait(leave, "end of a term")

    with client() as a, client() as b:
        ends = {"a": threading.Event(), "b": threading.Event()}
        first = start(a.Election(path + "/e", "a").run, lead, a, "a", ends["a"])
        eventually("the first leader", lambda: led == ["a"])
        election = b.Election(path + "/e", "b")
        second = start(election.run, lead, b, "b", ends["b"])
        eventually("two contenders", lambda: election.contenders() == ["a", "b"])
        ends["a"].set()
        eventually("the second leader", lambda: led == ["a", "b"])
        ends["b"].set()
        first.done()
        second.done()


@test
def queue(c, path):
    q = c.Queue(path + "/q")
    for i in range(20):
        q.put(b"low %02d" % i, priority=200)
    q.put(b"first", priority=1)
    equal(len(q), 21)
    got, guard = [], threading.Lock()
    equal(q.get(), b"first")

    def work():
        with client() as other:
            mine = other.Queue(path + "/q")
            while (item := mine.get()) is not None:
                with guard:
                    got.append(item)

    for t in [start(work) for _ in range(3)]:
        t.done()
    equal(sorted(got), [b"low %02d" % i for i in range(20)])
    equal(len(q), 0)


@test
def locking_queue(c, path):
    q = c.LockingQueue(path + "/q")
    q.put_all([b"%d" % i for i in range(4)])
    equal(q.get(timeout=PATIENCE), b"0")
    assert q.holds_lock()
    with client() as other:
        mine = other.LockingQueue(path + "/q")
        equal(mine.get(timeout=PATIENCE), b"1")
        assert mine.consume()
        equal(mine.get(timeout=PATIENCE), b"2")
        # Not consumed: the end of the session gives it back.
    assert q.consume()
    got = []
    for _ in range(2):
        got.append(q.get(timeout=PATIENCE))
        assert q.consume()
    equal(sorted(got), [b"2", b"3"])
    equal(q.get(timeout=0.1), None)


@test
def counter(c, path):
    def work():
        with client() as other:
            n = other.Counter(path + "/n")
            for _ in range(10):
                n += 1

    for t in [start(work) for _ in range(4)]:
        t.done()
    n = c.Counter(path + "/n")
    equal(n.value, 40)
    n -= 2
    equal((n.value, n.pre_value, n.post_value), (38, 40, 38))
    f = c.Counter(path + "/f", default=0.5)
    f += 1.5
    equal(f.value, 2.0)
    curator = c.Counter(path + "/curator", support_curator=True)
    curator += 7
    equal(c.get(path + "/curator")[0], b"\0\0\0\7")


@test
def barrier(c, path):
    b = c.Barrier(path + "/b")
    b.create()
    equal(b.wait(timeout=0.1), False)
    with client() as other:
        passed = []
        t = start(lambda: passed.append(other.Barrier(path + "/b").wait(timeout=PATIENCE)))
        eventually("removal", lambda: b.remove())
        t.done()
        equal(passed, [True])
    assert not b.remove()


@test
def double_barrier(c, path):
    entered, guard = [], threading.Lock()

    def work(i):
        with client() as other:
            b = other.DoubleBarrier(path + "/b", 4, f"party-{i}")
            b.enter()
            with guard:
                entered.append(i)
            eventually("all inside", lambda: len(entered) == 4)
            b.leave()

    for t in [start(work, i) for i in range(4)]:
        t.done()
    equal([n for n in c.get_children(path + "/b") if n != "ready"], [])


@test
def party(c, path):
    with client() as other:
        a, b = c.Party(path + "/p", "a"), other.Party(path + "/p", "b")
        a.join()
        b.join()
        equal((sorted(a), len(b)), (["a", "b"], 2))
        shallow = other.ShallowParty(path + "/s", "c")
        shallow.join()
        equal(list(c.ShallowParty(path + "/s")), ["c"])
        a.leave()
        equal(list(b), ["b"])
    equal(list(a), [])


@test
def children_watch(c, path):
    seen, done = [], threading.Event()
    with client() as other:

        @other.ChildrenWatch(path)
        def changed(children):
            seen.append(sorted(children))
            if len(children) == 3:
                done.set()
                return False  # no more

        for name in ("a", "b", "c"):
            c.create(f"{path}/{name}")
        wait(done, "three children")
        c.create(path + "/d")
        equal((seen[0], seen[-1]), ([], ["a", "b", "c"]))

        later = PatientChildrenWatch(other, path, time_boundary=0.1).start()
        equal(sorted(later.get(timeout=PATIENCE)[0]), ["a", "b", "c", "d"])


@test
def data_watch(c, path):
    seen = []
    with client() as other:

        @other.DataWatch(path + "/n")
        def changed(data, stat, event):
            seen.append((data, stat.version if stat else None, event.type if event else None))

        equal(seen, [(None, None, None)])
        c.create(path + "/n", b"0")
        eventually("creation", lambda: len(seen) == 2)
        c.set(path + "/n", b"1")
        eventually("change", lambda: len(seen) == 3)
        c.delete(path + "/n")
        eventually("deletion", lambda: len(seen) == 4)
        equal(seen[1:], [(b"0", 0, EventType.CREATED), (b"1", 1, EventType.CHANGED), (None, None, EventType.DELETED)])


@test
def tree_cache(c, path):
    with client() as other:
        cache = TreeCache(other, path)
        events, ready = [], threading.Event()

        def listen(event):
            if event.event_type == TreeEvent.INITIALIZED:
                ready.set()
            elif event.event_data:
                events.append((event.event_type, event.event_data.path))

        cache.listen(listen)
        cache.start()
        wait(ready, "full cache")
        c.create(path + "/a", b"1")
        c.create(path + "/a/b", b"2")
        eventually("new nodes", lambda: cache.get_data(path + "/a/b") is not None)
        c.set(path + "/a/b", b"3")
        eventually("new data", lambda: cache.get_data(path + "/a/b").data == b"3")
        equal(cache.get_children(path), frozenset(["a"]))
        # What happens while the connection is down is seen afterwards.
        drop(other)
        c.delete(path + "/a/b")
        c.create(path + "/c")
        eventually("deletion", lambda: cache.get_data(path + "/a/b") is None)
        eventually("creation", lambda: cache.get_data(path + "/c") is not None)
        assert (TreeEvent.NODE_REMOVED, path + "/a/b") in events, events
        cache.close()


@test
def lease(c, path):
    hour = datetime.timedelta(hours=1)
    with client() as other:
        assert NonBlockingLease(c, path + "/l", hour, identifier="a")
        assert not NonBlockingLease(other, path + "/l", hour, identifier="b")
        assert NonBlockingLease(other, path + "/l", hour, identifier="a")
        leases = [bool(MultiNonBlockingLease(c, 2, path + "/m", hour, identifier=str(i))) for i in range(3)]
        equal(leases, [True, True, False])


@test
def partitioner(c, path):
    def settle(p):
        deadline = time.monotonic() + PATIENCE
        while not p.acquired:
            assert time.monotonic() < deadline and not p.failed
            if p.release:
                p.release_set()
            p.wait_for_acquire(1)

    with client() as other:
        mine = c.SetPartitioner(path + "/p", set(range(6)), identifier="a", time_boundary=0.2)
        theirs = other.SetPartitioner(path + "/p", set(range(6)), identifier="b", time_boundary=0.2)
        eventually("both have settled", lambda: (settle(mine), settle(theirs), mine.acquired)[2])
        equal((set(mine) | set(theirs), len(list(mine))), (set(range(6)), 3))
        mine.finish()
        theirs.finish()


@test
def connection_drop(c, path):
    states = []
    with client() as other:
        other.add_listener(states.append)
        session = other.client_id
        other.create(path + "/e", ephemeral=True)
        data = []
        other.DataWatch(path, lambda value, stat: data.append(value))
        for _ in range(3):
            del states[:]
            drop(other)
            eventually("reconnection", lambda: states[-2:] == [KazooState.SUSPENDED, KazooState.CONNECTED])
            assert other.retry(other.exists, path + "/e")
        equal(other.client_id[0], session[0])
        c.set(path, b"1")
        eventually("a data watch from before", lambda: data[-1] == b"1")
    eventually("end of the ephemeral", lambda: c.exists(path + "/e") is None)


@test
def session_expiry(c, path):
    states = []
    with client() as other:
        other.add_listener(states.append)
        other.create(path + "/e", ephemeral=True)
        session = other.client_id

        def expired():
            # Another connection takes the session over and closes it, unless the client is faster and takes it back.
            if KazooState.LOST not in states:
                thief = take_over(session)
                thief.stop()
                thief.close()
            return KazooState.LOST in states and other.state == KazooState.CONNECTED

        eventually("a new session", expired)
        assert other.client_id[0] != session[0]
        equal(c.exists(path + "/e"), None)
        equal(other.retry(other.create, path + "/e", ephemeral=True), path + "/e")
    raises(ConnectionClosedError, other.get, path)


@test
def session_timeout(c, path):
    # A session whose client is gone without a word expires by the server's clock.
    session, _ = ghost(path + "/e", 2)
    gone = threading.Event()
    equal(c.exists(path + "/e", watch=lambda event: gone.set()).owner_session_id, session)
    wait(gone, "expiry")
    equal(c.exists(path + "/e"), None)


@test
def reattach(c, path):
    session = ghost(path + "/e", 20)
    stranger = take_over((session[0], b"\0" * 16))
    assert stranger.client_id[0] != session[0], "a session was continued with a wrong password"
    stranger.stop()
    heir = take_over(session)
    equal(heir.client_id, session)
    equal(heir.exists(path + "/e").owner_session_id, session[0])
    heir.stop()
    equal(c.exists(path + "/e"), None)
    late = take_over(session)
    assert late.client_id[0] != session[0], "a closed session was continued"
    late.stop()


@test
def reconfig(c, path):
    # A standalone server has no members to change.
    raises(KazooException, c.reconfig, joining=None, leaving="1", new_members=None)


def main():
    failed = False
    for function in TESTS:
        name = function.__name__
        path = f"/kazoo-{name}-{uuid.uuid4().hex[:8]}"
        try:
            with client() as c:
                c.create(path)
                function(c, path)
        except Exception as failure:
            failed = True
            where = traceback.extract_tb(failure.__traceback__)
            lines = [str(f.lineno) for f in where if f.filename == __file__]
            text = " ".join(str(failure).split())
            print(f"FAIL {name}: line {lines[-1]}: {type(failure).__name__}: {text}", flush=True)
        else:
            print(f"ok {name}", flush=True)
    sys.exit(failed)


main()
