import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/** The checks of Curator's recipes, most of them with several clients that contend. */
final class Recipes {
    private static final int CLIENTS = 3;

    private final String server;

    Recipes(String server) {
        this.server = server;
    }

    void run() {
        // No container, which would go whenever no recipe has a znode in it.
        Checks.run("curator: create", () -> connect().create().forPath("/curator"));
        Checks.run("curator: mutex", this::mutex);
        Checks.run("curator: mutex of a client that is gone", this::mutexOfTheDead);
        Checks.run("curator: read-write lock", this::readWriteLock);
        Checks.run("curator: semaphore", this::semaphore);
        Checks.run("curator: leader latch", this::leaderLatch);
        Checks.run("curator: leader selector", this::leaderSelector);
        Checks.run("curator: cache", this::cache);
        Checks.run("curator: cache catches up after a lost connection", this::cacheReconnect);
        Checks.run("curator: persistent node", this::persistentNode);
        Checks.run("curator: persistent TTL node", this::persistentTtlNode);
        Checks.run("curator: group member", this::groupMember);
        Checks.run("curator: transaction", this::transaction);
        Checks.run("curator: queue", this::queue);
        Checks.run("curator: barriers", this::barriers);
        Checks.run("curator: counters", this::counters);
        Checks.run("curator: parents as containers", this::containers);
        Checks.run("curator: recipes live through a restart", this::restart);
    }

    private CuratorFramework connect(String address, int sessionTimeoutMs) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder()
                .connectString(address)
                .sessionTimeoutMs(sessionTimeoutMs)
                .connectionTimeoutMs(10_000)
                .retryPolicy(new RetryForever(100))
                .build();
        Checks.closing(client);
        client.start();
        Checks.that(client.blockUntilConnected((int) Checks.PATIENCE_SECONDS, TimeUnit.SECONDS), "no connection");
        return client;
    }

    private CuratorFramework connect() throws Exception {
        return connect(server, 20_000);
    }

    private List<CuratorFramework> several() throws Exception {
        List<CuratorFramework> clients = new ArrayList<>();
        for (int i = 0; i < CLIENTS; i++) {
            clients.add(connect());
        }
        return clients;
    }

    private interface Body {
        void run(CuratorFramework client) throws Exception;
    }

    /** Runs the body in a thread for each client and waits for all of them. */
    private static void together(List<CuratorFramework> clients, Body body) throws Exception {
        List<CompletableFuture<Void>> ends = new ArrayList<>();
        for (CuratorFramework client : clients) {
            CompletableFuture<Void> end = new CompletableFuture<>();
            ends.add(end);
            Thread thread = new Thread(() -> {
                try {
                    body.run(client);
                    end.complete(null);
                } catch (Throwable e) {
                    end.completeExceptionally(e);
                }
            });
            thread.setDaemon(true);
            thread.start();
        }
        for (CompletableFuture<Void> end : ends) {
            Checks.await(end);
        }
    }

    private static byte[] bytes(String s) {
        return s.getBytes(UTF_8);
    }

    // Locks.

    private void mutex() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger turns = new AtomicInteger();
        together(several(), client -> {
            InterProcessMutex lock = new InterProcessMutex(client, "/curator/mutex");
            for (int i = 0; i < 20; i++) {
                Checks.that(lock.acquire(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS), "no lock");
                lock.acquire(); // The owner may enter again.
                Checks.same(1, inside.incrementAndGet());
                Thread.sleep(1); // Time for somebody to break in.
                turns.incrementAndGet();
                inside.decrementAndGet();
                lock.release();
                lock.release();
            }
        });
        Checks.same(20 * CLIENTS, turns.get());
    }

    private void mutexOfTheDead() throws Exception {
        Proxy proxy = Checks.closing(new Proxy(server));
        CuratorFramework dead = connect(proxy.address(), 4000);
        CuratorFramework heir = connect();
        new InterProcessMutex(dead, "/curator/dead").acquire();
        InterProcessMutex lock = new InterProcessMutex(heir, "/curator/dead");
        Checks.that(!lock.acquire(50, TimeUnit.MILLISECONDS), "two own the lock");
        proxy.cut();
        Checks.that(lock.acquire(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS), "a dead client keeps its lock");
    }

    private void readWriteLock() throws Exception {
        AtomicInteger readers = new AtomicInteger();
        AtomicInteger writers = new AtomicInteger();
        CountDownLatch allRead = new CountDownLatch(CLIENTS);
        together(several(), client -> {
            InterProcessReadWriteLock lock = new InterProcessReadWriteLock(client, "/curator/rw");
            lock.readLock().acquire();
            allRead.countDown();
            Checks.await("readers beside each other", allRead);
            lock.readLock().release();
            for (int i = 0; i < 10; i++) {
                lock.writeLock().acquire();
                Checks.same(1, writers.incrementAndGet());
                Checks.same(0, readers.get());
                writers.decrementAndGet();
                lock.writeLock().release();
                lock.readLock().acquire();
                readers.incrementAndGet();
                Checks.same(0, writers.get());
                readers.decrementAndGet();
                lock.readLock().release();
            }
        });
    }

    private void semaphore() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        together(several(), client -> {
            InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, "/curator/semaphore", 2);
            for (int i = 0; i < 10; i++) {
                Lease lease = semaphore.acquire(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS);
                Checks.that(lease != null, "no lease");
                Checks.that(inside.incrementAndGet() <= 2, "three have a lease of two");
                Thread.sleep(1);
                inside.decrementAndGet();
                semaphore.returnLease(lease);
            }
        });
    }

    // Leaders.

    private void leaderLatch() throws Exception {
        List<LeaderLatch> latches = new ArrayList<>();
        for (CuratorFramework client : several()) {
            LeaderLatch latch = Checks.closing(new LeaderLatch(client, "/curator/latch", "id" + latches.size()) {
                @Override
                public void close() throws java.io.IOException {
                    if (getState() == State.STARTED) {
                        super.close();
                    }
                }
            });
            latch.start();
            latches.add(latch);
        }
        while (!latches.isEmpty()) {
            Checks.eventually("a leader", () -> latches.stream().anyMatch(LeaderLatch::hasLeadership));
            Checks.same(1L, latches.stream().filter(LeaderLatch::hasLeadership).count());
            LeaderLatch leader = latches.stream().filter(LeaderLatch::hasLeadership).findFirst().get();
            for (LeaderLatch latch : latches) {
                Checks.same(leader.getId(), latch.getLeader().getId());
            }
            Checks.same(latches.size(), leader.getParticipants().size());
            leader.close();
            latches.remove(leader);
        }
    }

    private void leaderSelector() throws Exception {
        AtomicInteger leaders = new AtomicInteger();
        CountDownLatch turns = new CountDownLatch(3 * CLIENTS);
        CompletableFuture<Void> two = new CompletableFuture<>();
        for (CuratorFramework client : several()) {
            LeaderSelector selector = new LeaderSelector(client, "/curator/selector",
                    new LeaderSelectorListenerAdapter() {
                        @Override
                        public void takeLeadership(CuratorFramework c) throws Exception {
                            if (leaders.incrementAndGet() != 1) {
                                two.complete(null);
                            }
                            Thread.sleep(1);
                            leaders.decrementAndGet();
                            turns.countDown();
                        }
                    });
            Checks.closing(selector);
            selector.autoRequeue();
            selector.start();
        }
        Checks.await("every leader's turns", turns);
        Checks.that(!two.isDone(), "two led at a time");
    }

    // Nodes.

    private static final class Seen implements CuratorCacheListener {
        final LinkedBlockingQueue<String> events = new LinkedBlockingQueue<>();

        @Override
        public void event(Type type, org.apache.curator.framework.recipes.cache.ChildData before,
                org.apache.curator.framework.recipes.cache.ChildData after) {
            events.add(type + " " + (after == null ? before : after).getPath());
        }

        void next(CuratorCacheListener.Type type, String path) throws InterruptedException {
            Checks.same(type + " " + path, events.poll(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS));
        }
    }

    private void cache() throws Exception {
        CuratorFramework writer = connect();
        CuratorFramework reader = connect();
        writer.create().creatingParentsIfNeeded().forPath("/curator/cache/a", bytes("1"));
        CountDownLatch initialized = new CountDownLatch(1);
        CuratorCache cache = Checks.closing(CuratorCache.build(reader, "/curator/cache"));
        cache.listenable().addListener(
                CuratorCacheListener.builder().forInitialized(initialized::countDown).build());
        cache.start();
        Checks.await("the cache is filled", initialized);
        Checks.same(2, cache.size());
        Seen seen = new Seen();
        cache.listenable().addListener(seen);
        writer.create().forPath("/curator/cache/a/b", bytes("2"));
        seen.next(CuratorCacheListener.Type.NODE_CREATED, "/curator/cache/a/b");
        writer.setData().forPath("/curator/cache/a", bytes("3"));
        seen.next(CuratorCacheListener.Type.NODE_CHANGED, "/curator/cache/a");
        Checks.same("3", new String(cache.get("/curator/cache/a").get().getData(), UTF_8));
        writer.delete().forPath("/curator/cache/a/b");
        seen.next(CuratorCacheListener.Type.NODE_DELETED, "/curator/cache/a/b");
        Checks.same(2, cache.size());
    }

    private void cacheReconnect() throws Exception {
        Proxy proxy = Checks.closing(new Proxy(server));
        CuratorFramework writer = connect();
        CuratorFramework reader = connect(proxy.address(), 20_000);
        for (String name : List.of("changed", "gone")) {
            writer.create().creatingParentsIfNeeded().forPath("/curator/stale/" + name, bytes("old"));
        }
        CuratorCache cache = Checks.closing(CuratorCache.build(reader, "/curator/stale"));
        cache.start();
        Checks.eventually("the cache is filled", () -> cache.size() == 3);
        CountDownLatch suspended = new CountDownLatch(1);
        reader.getConnectionStateListenable().addListener((client, state) -> {
            if (state == ConnectionState.SUSPENDED) {
                suspended.countDown();
            }
        });
        proxy.cut();
        Checks.await("the loss of the connection", suspended);
        writer.setData().forPath("/curator/stale/changed", bytes("new"));
        writer.delete().forPath("/curator/stale/gone");
        writer.create().forPath("/curator/stale/made", bytes("new"));
        proxy.mend();
        Map<String, String> want = Map.of("/curator/stale/changed", "new", "/curator/stale/made", "new");
        Checks.eventually("the cache shows " + want, () -> {
            Map<String, String> got = new HashMap<>();
            cache.stream().filter(d -> !d.getPath().equals("/curator/stale"))
                    .forEach(d -> got.put(d.getPath(), new String(d.getData(), UTF_8)));
            return got.equals(want);
        });
    }

    private void persistentNode() throws Exception {
        CuratorFramework client = connect();
        CuratorFramework other = connect();
        PersistentNode node = Checks.closing(
                new PersistentNode(client, CreateMode.EPHEMERAL, false, "/curator/persistent", bytes("here")));
        node.start();
        Checks.that(node.waitForInitialCreate(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS), "not created");
        Stat first = other.checkExists().forPath("/curator/persistent");
        Checks.same(client.getZookeeperClient().getZooKeeper().getSessionId(), first.getEphemeralOwner());
        other.delete().forPath("/curator/persistent");
        Checks.eventually("it comes back", () -> {
            Stat again = other.checkExists().forPath("/curator/persistent");
            return again != null && again.getCzxid() > first.getCzxid();
        });
        node.setData(bytes("still"));
        Checks.eventually("its data", () -> "still".equals(
                new String(other.getData().forPath("/curator/persistent"), UTF_8)));
    }

    private void persistentTtlNode() throws Exception {
        CuratorFramework client = connect();
        PersistentTtlNode node = new PersistentTtlNode(client, "/curator/ttl", 600, bytes("alive"));
        node.start();
        Checks.that(node.waitForInitialCreate(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS), "not created");
        // The recipe touches a child under the container so that the TTL child does not expire.
        int touched = 3;
        Checks.eventually("it is touched", () -> {
            Stat stat = client.checkExists().forPath("/curator/ttl/" + PersistentTtlNode.DEFAULT_CHILD_NODE_NAME);
            return stat != null && stat.getVersion() >= touched;
        });
        Checks.same("alive", new String(client.getData().forPath("/curator/ttl"), UTF_8));
        node.close();
        Checks.eventually("it goes", () -> client.checkExists().forPath("/curator/ttl") == null);
    }

    private void groupMember() throws Exception {
        List<CuratorFramework> clients = several();
        List<GroupMember> members = new ArrayList<>();
        for (CuratorFramework client : clients) {
            GroupMember member = new GroupMember(client, "/curator/group", "m" + members.size());
            member.start();
            members.add(member);
        }
        for (GroupMember member : members) {
            Checks.eventually("all see all", () -> member.getCurrentMembers().size() == CLIENTS);
        }
        // The znode of a member goes with its session.
        clients.get(0).close();
        for (GroupMember member : members.subList(1, CLIENTS)) {
            Checks.eventually("one has left", () -> member.getCurrentMembers().size() == CLIENTS - 1);
        }
        for (GroupMember member : members) {
            member.close();
        }
    }

    private void transaction() throws Exception {
        CuratorFramework client = connect();
        client.create().creatingParentsIfNeeded().forPath("/curator/txn", bytes("0"));
        List<CuratorTransactionResult> results = client.transaction().forOperations(
                client.transactionOp().check().withVersion(0).forPath("/curator/txn"),
                client.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/curator/txn/s"),
                client.transactionOp().setData().forPath("/curator/txn", bytes("1")));
        Checks.same("/curator/txn/s0000000000", results.get(1).getResultPath());
        Checks.same(1, results.get(2).getResultStat().getVersion());
        Checks.fails(KeeperException.Code.NODEEXISTS, () -> client.transaction().forOperations(
                client.transactionOp().setData().forPath("/curator/txn", bytes("2")),
                client.transactionOp().create().forPath("/curator/txn")));
        Checks.same("1", new String(client.getData().forPath("/curator/txn"), UTF_8));
    }

    // Queues, barriers, counters.

    private void queue() throws Exception {
        int n = 100;
        List<CuratorFramework> clients = several();
        List<String> consumed = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch done = new CountDownLatch(n);
        QueueSerializer<String> text = new QueueSerializer<>() {
            @Override
            public byte[] serialize(String item) {
                return bytes(item);
            }

            @Override
            public String deserialize(byte[] data) {
                return new String(data, UTF_8);
            }
        };
        QueueConsumer<String> consumer = new QueueConsumer<>() {
            @Override
            public void consumeMessage(String message) {
                consumed.add(message);
                done.countDown();
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {
                // The consumer has nothing that depends on the connection.
            }
        };
        List<String> produced = new ArrayList<>();
        DistributedQueue<String> producer = Checks.closing(
                QueueBuilder.<String>builder(clients.get(0), null, text, "/curator/queue").buildQueue());
        producer.start();
        for (CuratorFramework client : clients.subList(1, CLIENTS)) {
            Checks.closing(QueueBuilder.builder(client, consumer, text, "/curator/queue")
                    .lockPath("/curator/queuelocks").buildQueue()).start();
        }
        for (int i = 0; i < n; i++) {
            produced.add(String.format("item%03d", i));
            producer.put(produced.get(i));
        }
        Checks.await("all are consumed", done);
        List<String> sorted = new ArrayList<>(consumed);
        Collections.sort(sorted);
        Checks.same(produced, sorted);
    }

    private void barriers() throws Exception {
        List<CuratorFramework> clients = several();
        AtomicInteger arrived = new AtomicInteger();
        AtomicInteger left = new AtomicInteger();
        together(clients, client -> {
            DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(client, "/curator/double", CLIENTS);
            arrived.incrementAndGet();
            Checks.that(barrier.enter(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS), "not entered");
            Checks.same(CLIENTS, arrived.get());
            left.incrementAndGet();
            Checks.that(barrier.leave(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS), "not left");
            Checks.same(CLIENTS, left.get());
        });
        DistributedBarrier single = new DistributedBarrier(clients.get(0), "/curator/single");
        single.setBarrier();
        Checks.that(!single.waitOnBarrier(10, TimeUnit.MILLISECONDS), "the barrier is open");
        together(clients, client -> {
            if (client == clients.get(0)) {
                single.removeBarrier();
            } else {
                Checks.that(new DistributedBarrier(client, "/curator/single")
                        .waitOnBarrier(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS), "the barrier stays closed");
            }
        });
    }

    private void counters() throws Exception {
        List<CuratorFramework> clients = several();
        together(clients, client -> {
            DistributedAtomicLong counter =
                    new DistributedAtomicLong(client, "/curator/long", new RetryNTimes(1000, 1));
            for (int i = 0; i < 10; i++) {
                AtomicValue<Long> value = counter.increment();
                Checks.that(value.succeeded(), "no increment in 1000 tries");
            }
        });
        Checks.same(10L * CLIENTS, new DistributedAtomicLong(clients.get(0), "/curator/long", new RetryNTimes(1, 1))
                .get().postValue());
        SharedCount one = Checks.closing(new SharedCount(clients.get(0), "/curator/shared", 7));
        SharedCount two = Checks.closing(new SharedCount(clients.get(1), "/curator/shared", 7));
        one.start();
        two.start();
        one.setCount(8);
        Checks.eventually("the other sees it", () -> two.getCount() == 8);
        Checks.that(two.trySetCount(two.getVersionedValue(), 9), "no update from the newest version");
        Checks.eventually("the first sees it", () -> one.getCount() == 9);
    }

    private void containers() throws Exception {
        CuratorFramework client = connect();
        client.create().creatingParentContainersIfNeeded().forPath("/curatorbox/a/b", bytes("x"));
        client.delete().forPath("/curatorbox/a/b");
        Checks.eventually("the parents go", () -> client.checkExists().forPath("/curatorbox") == null);
        String path = client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                .forPath("/curator/protected-");
        Checks.that(path.matches("/curator/_c_[0-9a-f-]{36}-protected-[0-9]{10}"), path);
        client.delete().guaranteed().forPath(path);
    }

    private void restart() throws Exception {
        CuratorFramework client = connect();
        CuratorFramework rival = connect();
        InterProcessMutex lock = new InterProcessMutex(client, "/curator/held");
        lock.acquire();
        CuratorCache cache = Checks.closing(CuratorCache.build(rival, "/curator/watched"));
        cache.start();
        LeaderLatch latch = Checks.closing(new LeaderLatch(client, "/curator/led"));
        latch.start();
        Checks.eventually("leadership", latch::hasLeadership);

        Checks.ask("restart");

        client.create().forPath("/curator/watched", bytes("x"));
        Checks.eventually("the cache goes on", () -> cache.size() == 1);
        Checks.that(lock.isAcquiredInThisProcess(), "the lock is lost");
        Checks.that(!new InterProcessMutex(rival, "/curator/held").acquire(50, TimeUnit.MILLISECONDS),
                "two own the lock");
        lock.release();
        Checks.that(new InterProcessMutex(rival, "/curator/held")
                .acquire(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS), "nobody gets the lock");
        Checks.eventually("leadership again", latch::hasLeadership);
    }
}
