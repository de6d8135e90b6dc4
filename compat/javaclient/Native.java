import static java.nio.charset.StandardCharsets.UTF_8;
import static org.apache.zookeeper.KeeperException.Code.BADVERSION;
import static org.apache.zookeeper.KeeperException.Code.INVALIDACL;
import static org.apache.zookeeper.KeeperException.Code.NOAUTH;
import static org.apache.zookeeper.KeeperException.Code.NOCHILDRENFOREPHEMERALS;
import static org.apache.zookeeper.KeeperException.Code.NODEEXISTS;
import static org.apache.zookeeper.KeeperException.Code.NONODE;
import static org.apache.zookeeper.KeeperException.Code.NOTEMPTY;
import static org.apache.zookeeper.KeeperException.Code.NOWATCHER;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/** The checks of the native client: every request it can send, and what its connection promises. */
final class Native {
    private static final int SESSION_TIMEOUT_MS = 20_000;
    private static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;

    private final String server;

    Native(String server) {
        this.server = server;
    }

    void run() {
        Checks.run("create: every mode", this::createModes);
        Checks.run("create: refusals", this::createRefusals);
        Checks.run("create: containers and TTL nodes go by themselves", this::containersAndTTL);
        Checks.run("data: versions, stat, null, empty and large", this::data);
        Checks.run("delete: refusals", this::delete);
        Checks.run("children: names, numbers, ephemerals", this::children);
        Checks.run("watches: one-shot", this::oneShotWatches);
        Checks.run("watches: persistent", this::persistentWatch);
        Checks.run("watches: persistent recursive", this::recursiveWatch);
        Checks.run("watches: removal", this::removeWatches);
        Checks.run("multi: success", this::multiSuccess);
        Checks.run("multi: failure leaves nothing", this::multiFailure);
        Checks.run("multi: reads", this::multiReads);
        Checks.run("acl: digest", this::digest);
        Checks.run("acl: world, ip and invalid", this::otherACLs);
        Checks.run("acl: a refused scheme ends the session's connection", this::authFailed);
        Checks.run("whoAmI", this::whoAmI);
        Checks.run("config: read", this::config);
        Checks.run("quota: usage is counted", this::quota);
        Checks.run("pipeline: replies in order", this::pipeline);
        Checks.run("chroot", this::chroot);
        Checks.run("session: another connection takes it over", this::takeOver);
        Checks.run("session: a wrong password expires it", this::wrongPassword);
        Checks.run("session: close removes its ephemerals", this::closeSession);
        Checks.run("session: expires without its client", this::expire);
        Checks.run("reconnect: watches of every kind", this::reconnect);
        Checks.run("reconnect: more watches than one packet holds", this::reconnectMany);
        Checks.run("restart: the session, its ephemerals and watches survive", this::restart);
    }

    // Connections.

    private ZooKeeper connect(String address, Checks.Events events) throws Exception {
        ZooKeeper zk = new ZooKeeper(address, SESSION_TIMEOUT_MS, events);
        Checks.closing(zk);
        events.state(KeeperState.SyncConnected);
        return zk;
    }

    private ZooKeeper connect() throws Exception {
        return connect(server, new Checks.Events());
    }

    /** A new connection, and a znode that only this check uses. */
    private ZooKeeper connect(String root) throws Exception {
        ZooKeeper zk = connect();
        make(zk, root);
        return zk;
    }

    private static void make(ZooKeeper zk, String path) throws Exception {
        zk.create(path, bytes("data of " + path), OPEN, CreateMode.PERSISTENT);
    }

    private static byte[] bytes(String s) {
        return s.getBytes(UTF_8);
    }

    private static String text(byte[] data) {
        return data == null ? null : new String(data, UTF_8);
    }

    // Creation.

    private void createModes() throws Exception {
        ZooKeeper zk = connect("/create");
        Stat stat = new Stat();
        Checks.same("/create/p", zk.create("/create/p", bytes("x"), OPEN, CreateMode.PERSISTENT, stat));
        Checks.same(0L, stat.getEphemeralOwner());
        Checks.same(1, stat.getDataLength());
        Checks.same(stat.getCzxid(), stat.getMzxid());
        Checks.same(stat.getCzxid(), stat.getPzxid());
        Checks.same("/create/s0000000001", zk.create("/create/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
        Checks.same("/create/e", zk.create("/create/e", null, OPEN, CreateMode.EPHEMERAL, stat));
        Checks.same(zk.getSessionId(), stat.getEphemeralOwner());
        Checks.same("/create/es0000000003",
                zk.create("/create/es", null, OPEN, CreateMode.EPHEMERAL_SEQUENTIAL, stat));
        Checks.same(zk.getSessionId(), stat.getEphemeralOwner());
        Checks.same("/create/c", zk.create("/create/c", null, OPEN, CreateMode.CONTAINER, stat));
        Checks.same(0L, stat.getEphemeralOwner());
        Checks.same("/create/t",
                zk.create("/create/t", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, stat, 3_600_000));
        Checks.same(0L, stat.getEphemeralOwner());
        Checks.same("/create/ts0000000006",
                zk.create("/create/ts", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, 3_600_000));
        Checks.same(0L, stat.getEphemeralOwner());
        // A name may end in a slash only if a number follows.
        Checks.same("/create/0000000007", zk.create("/create/", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
        Checks.same(8, zk.exists("/create", false).getCversion());
        Checks.same(8, zk.exists("/create", false).getNumChildren());
        // A deletion is no creation: the numbers go on as if nothing had happened.
        zk.delete("/create/p", -1);
        Checks.same("/create/s0000000008", zk.create("/create/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
    }

    private void createRefusals() throws Exception {
        ZooKeeper zk = connect("/refused");
        Checks.fails(NODEEXISTS, () -> make(zk, "/refused"));
        Checks.fails(NONODE, () -> make(zk, "/refused/no/parent"));
        Checks.fails(NODEEXISTS, () -> make(zk, "/"));
        zk.create("/refused/e", null, OPEN, CreateMode.EPHEMERAL);
        Checks.fails(NOCHILDRENFOREPHEMERALS, () -> make(zk, "/refused/e/child"));
        Checks.same(1, zk.getChildren("/refused", false).size());
    }

    private void containersAndTTL() throws Exception {
        ZooKeeper zk = connect("/fleeting");
        zk.create("/fleeting/container", null, OPEN, CreateMode.CONTAINER);
        make(zk, "/fleeting/container/child");
        zk.create("/fleeting/ttl", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 300);
        zk.create("/fleeting/busy", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 300);
        make(zk, "/fleeting/busy/child");
        Checks.eventually("the TTL node goes", () -> zk.exists("/fleeting/ttl", false) == null);
        Checks.that(zk.exists("/fleeting/busy", false) != null, "a TTL node with a child went");
        Checks.that(zk.exists("/fleeting/container", false) != null, "a container with a child went");
        zk.delete("/fleeting/container/child", -1);
        zk.delete("/fleeting/busy/child", -1);
        Checks.eventually("the empty container goes", () -> zk.exists("/fleeting/container", false) == null);
        Checks.eventually("the TTL node without its child goes", () -> zk.exists("/fleeting/busy", false) == null);
    }

    // Data.

    private void data() throws Exception {
        ZooKeeper zk = connect("/data");
        Stat made = zk.exists("/data", false);
        Stat set = zk.setData("/data", bytes("second"), 0);
        Checks.same(1, set.getVersion());
        Checks.same(made.getCzxid(), set.getCzxid());
        Checks.same(made.getCtime(), set.getCtime());
        Checks.that(set.getMzxid() > made.getMzxid(), "mzxid does not grow");
        Checks.that(set.getMtime() >= made.getMtime(), "mtime goes back");
        Checks.same(0, set.getAversion());
        Checks.fails(BADVERSION, () -> zk.setData("/data", null, 0));
        Checks.fails(NONODE, () -> zk.setData("/data/missing", null, -1));
        Checks.fails(NONODE, () -> zk.getData("/data/missing", false, null));
        Stat got = new Stat();
        Checks.same("second", text(zk.getData("/data", false, got)));
        Checks.same(set, got);
        zk.setData("/data", null, -1);
        Checks.same(null, zk.getData("/data", false, got));
        Checks.same(0, got.getDataLength());
        zk.setData("/data", new byte[0], -1);
        Checks.same("", text(zk.getData("/data", false, got)));
        byte[] large = new byte[1_000_000];
        Arrays.fill(large, (byte) 'q');
        Checks.same(large.length, zk.setData("/data", large, 3).getDataLength());
        Checks.that(Arrays.equals(large, zk.getData("/data", false, got)), "large data comes back changed");
        Checks.same(4, got.getVersion());
        make(zk, "/data/\u00e4\u20ac");
        Checks.same(List.of("\u00e4\u20ac"), zk.getChildren("/data", false));
    }

    private void delete() throws Exception {
        ZooKeeper zk = connect("/delete");
        make(zk, "/delete/child");
        Checks.fails(NOTEMPTY, () -> zk.delete("/delete", -1));
        Checks.fails(BADVERSION, () -> zk.delete("/delete/child", 7));
        Checks.fails(NONODE, () -> zk.delete("/delete/other", -1));
        zk.delete("/delete/child", 0);
        Checks.same(null, zk.exists("/delete/child", false));
        Stat parent = zk.exists("/delete", false);
        Checks.same(2, parent.getCversion());
        Checks.same(0, parent.getNumChildren());
    }

    private void children() throws Exception {
        ZooKeeper zk = connect("/children");
        ZooKeeper other = connect();
        for (String name : List.of("a", "b", "a/x", "a/x/y")) {
            make(zk, "/children/" + name);
        }
        zk.create("/children/e1", null, OPEN, CreateMode.EPHEMERAL);
        zk.create("/children/a/e2", null, OPEN, CreateMode.EPHEMERAL);
        other.create("/children/e3", null, OPEN, CreateMode.EPHEMERAL);
        Stat stat = new Stat();
        Checks.same(new TreeSet<>(List.of("a", "b", "e1", "e3")),
                new TreeSet<>(zk.getChildren("/children", false, stat)));
        Checks.same(4, stat.getNumChildren());
        Checks.same(zk.exists("/children/a/e2", false).getCzxid(), zk.exists("/children/a", false).getPzxid());
        Checks.same(7, zk.getAllChildrenNumber("/children"));
        Checks.same(0, zk.getAllChildrenNumber("/children/b"));
        Checks.fails(NONODE, () -> zk.getAllChildrenNumber("/children/none"));
        Checks.same(List.of("/children/a/e2", "/children/e1"), sorted(zk.getEphemerals()));
        Checks.same(List.of("/children/a/e2"), zk.getEphemerals("/children/a"));
        Checks.same(List.of("/children/e3"), other.getEphemerals("/children"));
        Checks.same(List.of(), zk.getEphemerals("/elsewhere"));
        Checks.fails(NONODE, () -> zk.getChildren("/children/none", false));
    }

    private static List<String> sorted(List<String> list) {
        List<String> copy = new ArrayList<>(list);
        Collections.sort(copy);
        return copy;
    }

    // Watches.

    private void oneShotWatches() throws Exception {
        ZooKeeper zk = connect("/once");
        Checks.Events data = new Checks.Events();
        Checks.Events children = new Checks.Events();
        Checks.Events exists = new Checks.Events();
        zk.getData("/once", data, null);
        zk.getChildren("/once", children);
        zk.exists("/once/a", exists);

        make(zk, "/once/a");
        Stat a = zk.exists("/once/a", false);
        WatchedEvent created = exists.next();
        Checks.same(EventType.NodeCreated, created.getType());
        Checks.same("/once/a", created.getPath());
        Checks.same(a.getCzxid(), created.getZxid());
        children.next(EventType.NodeChildrenChanged, "/once");
        data.none(zk);

        zk.setData("/once", null, -1);
        zk.setData("/once", null, -1);
        data.next(EventType.NodeDataChanged, "/once");
        data.none(zk);

        // A deletion fires the data and the child watches of the znode and the child watches of its parent.
        zk.getData("/once/a", data, null);
        zk.getChildren("/once/a", children);
        zk.getChildren("/once", exists);
        zk.delete("/once/a", -1);
        data.next(EventType.NodeDeleted, "/once/a");
        children.next(EventType.NodeDeleted, "/once/a");
        exists.next(EventType.NodeChildrenChanged, "/once");

        // One watcher that waits for data and for children of one znode hears of its end once.
        make(zk, "/once/b");
        zk.getData("/once/b", data, null);
        zk.getChildren("/once/b", data);
        zk.delete("/once/b", -1);
        data.next(EventType.NodeDeleted, "/once/b");
        data.none(zk);

        // A refused read leaves no watch.
        Checks.fails(NONODE, () -> zk.getData("/once/c", data, null));
        make(zk, "/once/c");
        data.none(zk);
        children.none(zk);
        exists.none(zk);
    }

    private void persistentWatch() throws Exception {
        ZooKeeper zk = connect("/persistent");
        Checks.Events events = new Checks.Events();
        zk.addWatch("/persistent", events, AddWatchMode.PERSISTENT);
        for (int i = 0; i < 2; i++) {
            zk.setData("/persistent", null, -1);
            events.next(EventType.NodeDataChanged, "/persistent");
            make(zk, "/persistent/child");
            events.next(EventType.NodeChildrenChanged, "/persistent");
            make(zk, "/persistent/child/deep");
            zk.setData("/persistent/child", null, -1);
            events.none(zk);
            zk.delete("/persistent/child/deep", -1);
            zk.delete("/persistent/child", -1);
            events.next(EventType.NodeChildrenChanged, "/persistent");
        }
        zk.delete("/persistent", -1);
        events.next(EventType.NodeDeleted, "/persistent");
        make(zk, "/persistent");
        events.next(EventType.NodeCreated, "/persistent");
        events.none(zk);
    }

    private void recursiveWatch() throws Exception {
        ZooKeeper zk = connect("/recursive");
        Checks.Events events = new Checks.Events();
        zk.addWatch("/recursive", events, AddWatchMode.PERSISTENT_RECURSIVE);
        make(zk, "/recursive/a");
        events.next(EventType.NodeCreated, "/recursive/a");
        make(zk, "/recursive/a/b");
        events.next(EventType.NodeCreated, "/recursive/a/b");
        zk.setData("/recursive/a/b", null, -1);
        events.next(EventType.NodeDataChanged, "/recursive/a/b");
        zk.multi(List.of(Op.setData("/recursive", null, -1), Op.delete("/recursive/a/b", -1)));
        events.next(EventType.NodeDataChanged, "/recursive");
        events.next(EventType.NodeDeleted, "/recursive/a/b");
        zk.delete("/recursive/a", -1);
        events.next(EventType.NodeDeleted, "/recursive/a");
        make(zk, "/recursively");
        events.none(zk);
        zk.delete("/recursive", -1);
        events.next(EventType.NodeDeleted, "/recursive");
        make(zk, "/recursive");
        events.next(EventType.NodeCreated, "/recursive");
        events.none(zk);
    }

    private void removeWatches() throws Exception {
        ZooKeeper zk = connect("/removal");
        Checks.Events data = new Checks.Events();
        Checks.Events children = new Checks.Events();
        Checks.Events persistent = new Checks.Events();
        Checks.Events recursive = new Checks.Events();
        zk.getData("/removal", data, null);
        zk.getChildren("/removal", children);
        zk.addWatch("/removal", persistent, AddWatchMode.PERSISTENT);
        make(zk, "/removal/r");
        persistent.next(EventType.NodeChildrenChanged, "/removal");
        children.next(EventType.NodeChildrenChanged, "/removal");
        zk.getChildren("/removal", children);
        zk.addWatch("/removal/r", recursive, AddWatchMode.PERSISTENT_RECURSIVE);

        Checks.fails(NOWATCHER, () -> zk.removeWatches("/removal", new Checks.Events(), WatcherType.Any, false));
        Checks.fails(NOWATCHER, () -> zk.removeWatches("/removal", data, WatcherType.Children, false));
        Checks.fails(NOWATCHER, () -> zk.removeAllWatches("/removal/none", WatcherType.Any, false));

        zk.removeWatches("/removal", data, WatcherType.Data, false);
        data.next(EventType.DataWatchRemoved, "/removal");
        zk.removeWatches("/removal", children, WatcherType.Children, false);
        children.next(EventType.ChildWatchRemoved, "/removal");
        zk.setData("/removal", null, -1);
        persistent.next(EventType.NodeDataChanged, "/removal");
        zk.removeWatches("/removal", persistent, WatcherType.Any, false);
        persistent.next(EventType.PersistentWatchRemoved, "/removal");
        zk.setData("/removal/r", null, -1);
        recursive.next(EventType.NodeDataChanged, "/removal/r");
        zk.removeAllWatches("/removal/r", WatcherType.Any, false);
        recursive.next(EventType.PersistentWatchRemoved, "/removal/r");

        zk.multi(List.of(
                Op.setData("/removal", null, -1),
                Op.setData("/removal/r", null, -1),
                Op.create("/removal/r/x", null, OPEN, CreateMode.PERSISTENT)));
        for (Checks.Events events : List.of(data, children, persistent, recursive)) {
            events.none(zk);
        }

        // The typed removal of 3.9: one kind goes, the other stays.
        zk.addWatch("/removal", persistent, AddWatchMode.PERSISTENT);
        zk.getData("/removal", persistent, null);
        zk.removeWatches("/removal", persistent, WatcherType.Persistent, false);
        persistent.next(EventType.PersistentWatchRemoved, "/removal");
        zk.setData("/removal", null, -1);
        persistent.next(EventType.NodeDataChanged, "/removal");
        zk.setData("/removal", null, -1);
        persistent.none(zk);
    }

    // Multi.

    private void multiSuccess() throws Exception {
        ZooKeeper zk = connect("/multi");
        List<OpResult> results = zk.multi(List.of(
                Op.check("/multi", 0),
                Op.create("/multi/a", bytes("1"), OPEN, CreateMode.PERSISTENT),
                Op.create("/multi/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL),
                Op.create("/multi/t", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, 3_600_000),
                Op.setData("/multi/a", bytes("2"), 0),
                Op.create("/multi/a/b", null, OPEN, CreateMode.CONTAINER),
                Op.delete("/multi/a/b", -1)));
        Checks.same(7, results.size());
        Checks.that(results.get(0) instanceof OpResult.CheckResult, "the first result is no CheckResult");
        Checks.same("/multi/a", ((OpResult.CreateResult) results.get(1)).getPath());
        Checks.same("/multi/s0000000001", ((OpResult.CreateResult) results.get(2)).getPath());
        Checks.same("/multi/t", ((OpResult.CreateResult) results.get(3)).getPath());
        Stat set = ((OpResult.SetDataResult) results.get(4)).getStat();
        Checks.same(1, set.getVersion());
        Checks.same("/multi/a/b", ((OpResult.CreateResult) results.get(5)).getPath());
        Checks.that(results.get(6) instanceof OpResult.DeleteResult, "the last result is no DeleteResult");
        // All of it is one transaction.
        Stat a = zk.exists("/multi/a", false);
        Checks.same(a.getCzxid(), a.getMzxid());
        Checks.same(a.getCzxid(), a.getPzxid());
        Checks.same(a.getCzxid(), zk.exists("/multi", false).getPzxid());
        zk.transaction().setData("/multi", bytes("t"), -1).delete("/multi/t", -1).commit();
        Checks.same("t", text(zk.getData("/multi", false, null)));
        Checks.same(List.of(), zk.multi(List.of()));
    }

    private void multiFailure() throws Exception {
        ZooKeeper zk = connect("/multifail");
        Checks.Events events = new Checks.Events();
        zk.addWatch("/multifail", events, AddWatchMode.PERSISTENT_RECURSIVE);
        Stat before = zk.exists("/multifail", false);
        try {
            zk.multi(List.of(
                    Op.create("/multifail/a", null, OPEN, CreateMode.PERSISTENT),
                    Op.setData("/multifail/a", bytes("x"), 0),
                    Op.check("/multifail", 99),
                    Op.delete("/multifail/none", -1)));
            throw new AssertionError("the multi succeeds");
        } catch (KeeperException e) {
            Checks.same(BADVERSION, e.code());
            List<Integer> codes = e.getResults().stream()
                    .map(r -> ((OpResult.ErrorResult) r).getErr()).collect(Collectors.toList());
            Checks.same(List.of(0, 0, BADVERSION.intValue(),
                    KeeperException.Code.RUNTIMEINCONSISTENCY.intValue()), codes);
        }
        Checks.same(before, zk.exists("/multifail", false));
        Checks.same(null, zk.exists("/multifail/a", false));
        events.none(zk);
    }

    private void multiReads() throws Exception {
        ZooKeeper zk = connect("/multiread");
        make(zk, "/multiread/a");
        List<OpResult> results = zk.multi(List.of(
                Op.getData("/multiread"), Op.getChildren("/multiread"), Op.getData("/multiread/none")));
        Checks.same("data of /multiread", text(((OpResult.GetDataResult) results.get(0)).getData()));
        Checks.same(zk.exists("/multiread", false), ((OpResult.GetDataResult) results.get(0)).getStat());
        Checks.same(List.of("a"), ((OpResult.GetChildrenResult) results.get(1)).getChildren());
        Checks.same(NONODE.intValue(), ((OpResult.ErrorResult) results.get(2)).getErr());
    }

    // Access.

    private void digest() throws Exception {
        ZooKeeper zk = connect("/digest");
        ZooKeeper stranger = connect();
        zk.addAuthInfo("digest", bytes("ann:secret"));
        zk.create("/digest/mine", bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Id ann = new Id("digest", DigestAuthenticationProvider.generateDigest("ann:secret"));
        Stat stat = new Stat();
        Checks.same(Arrays.asList(new ACL(Perms.ALL, ann)), zk.getACL("/digest/mine", stat));
        Checks.same(0, stat.getAversion());
        Checks.fails(NOAUTH, () -> stranger.getData("/digest/mine", false, null));
        Checks.fails(NOAUTH, () -> stranger.setData("/digest/mine", null, -1));
        Checks.fails(NOAUTH, () -> stranger.getChildren("/digest/mine", false));
        Checks.fails(NOAUTH, () -> make(stranger, "/digest/mine/x"));
        Checks.fails(NOAUTH, () -> stranger.getACL("/digest/mine", stat));
        Checks.fails(NOAUTH, () -> stranger.exists("/digest/mine", false));
        stranger.addAuthInfo("digest", bytes("ann:wrong"));
        Checks.fails(NOAUTH, () -> stranger.getData("/digest/mine", false, null));
        stranger.addAuthInfo("digest", bytes("ann:secret"));
        Checks.same("x", text(stranger.getData("/digest/mine", false, null)));

        // Reading is given to all: a stranger sees who else has rights, but not the hash.
        List<ACL> shared = Arrays.asList(new ACL(Perms.ALL, ann), new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE));
        Checks.same(1, zk.setACL("/digest/mine", shared, 0).getAversion());
        Checks.fails(BADVERSION, () -> zk.setACL("/digest/mine", shared, 0));
        ZooKeeper reader = connect();
        Checks.same("x", text(reader.getData("/digest/mine", false, null)));
        Checks.fails(NOAUTH, () -> reader.setData("/digest/mine", null, -1));
        Checks.same(Arrays.asList(new ACL(Perms.ALL, new Id("digest", "ann:x")),
                new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE)), reader.getACL("/digest/mine", stat));

        // Deletion is a right on the parent.
        zk.create("/digest/closed", null, Ids.READ_ACL_UNSAFE, CreateMode.PERSISTENT);
        Checks.fails(NOAUTH, () -> make(zk, "/digest/closed/x"));
        zk.delete("/digest/closed", -1);
        reader.delete("/digest/mine", -1);
    }

    private void otherACLs() throws Exception {
        ZooKeeper zk = connect("/acl");
        zk.create("/acl/ip", null, Arrays.asList(new ACL(Perms.READ, new Id("ip", "127.0.0.0/8"))), CreateMode.PERSISTENT);
        Checks.same(null, zk.getData("/acl/ip", false, null));
        Checks.fails(NOAUTH, () -> zk.setData("/acl/ip", null, -1));
        zk.create("/acl/far", null, Arrays.asList(new ACL(Perms.ALL, new Id("ip", "10.1.2.3"))), CreateMode.PERSISTENT);
        Checks.fails(NOAUTH, () -> zk.getData("/acl/far", false, null));
        Checks.fails(INVALIDACL, () -> zk.create("/acl/none", null, Collections.emptyList(), CreateMode.PERSISTENT));
        Checks.fails(INVALIDACL, () -> zk.create("/acl/none", null,
                Arrays.asList(new ACL(Perms.ALL, new Id("nonsense", "x"))), CreateMode.PERSISTENT));
        Checks.fails(INVALIDACL, () -> zk.create("/acl/none", null,
                Arrays.asList(new ACL(Perms.ALL, new Id("ip", "not an address"))), CreateMode.PERSISTENT));
        // Whoever has shown no identity has none to give rights to.
        Checks.fails(INVALIDACL, () -> zk.create("/acl/none", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        Checks.fails(INVALIDACL, () -> zk.setACL("/acl", Collections.emptyList(), -1));
        Checks.fails(NONODE, () -> zk.setACL("/acl/none", OPEN, -1));
        Checks.fails(NONODE, () -> zk.getACL("/acl/none", null));
    }

    private void authFailed() throws Exception {
        Checks.Events events = new Checks.Events();
        ZooKeeper zk = connect(server, events);
        zk.addAuthInfo("nonsense", bytes("x"));
        events.state(KeeperState.AuthFailed);
        Checks.fails(KeeperException.Code.AUTHFAILED, () -> zk.exists("/", false));
    }

    private void whoAmI() throws Exception {
        ZooKeeper zk = connect();
        Checks.same("[ip 127.0.0.1]", names(zk.whoAmI()));
        zk.addAuthInfo("digest", bytes("ann:secret"));
        Checks.same("[digest ann, ip 127.0.0.1]", names(zk.whoAmI()));
    }

    private static String names(List<ClientInfo> infos) {
        return infos.stream().map(i -> i.getAuthScheme() + " " + i.getUser()).sorted()
                .collect(Collectors.toList()).toString();
    }

    // The server's own znodes.

    private void config() throws Exception {
        ZooKeeper zk = connect();
        Stat stat = new Stat();
        // A standalone server has the znode, and nothing to say in it.
        Checks.same("", text(zk.getConfig(false, stat)));
        Checks.same(0L, stat.getMzxid());
        Checks.same(new TreeSet<>(List.of("config", "quota")), new TreeSet<>(zk.getChildren("/zookeeper", false)));
        Checks.fails(NOAUTH, () -> zk.setData("/zookeeper/config", null, -1));
    }

    private void quota() throws Exception {
        ZooKeeper zk = connect("/counted");
        make(zk, "/zookeeper/quota/counted");
        zk.create("/zookeeper/quota/counted/zookeeper_limits", bytes("count=10,bytes=1000"), OPEN,
                CreateMode.PERSISTENT);
        zk.create("/zookeeper/quota/counted/zookeeper_stats", bytes("count=1,bytes=16"), OPEN,
                CreateMode.PERSISTENT);
        zk.create("/counted/a", bytes("12345"), OPEN, CreateMode.PERSISTENT);
        zk.setData("/counted/a", bytes("123"), -1);
        zk.create("/counted/a/b", bytes("1"), OPEN, CreateMode.PERSISTENT);
        zk.delete("/counted/a/b", -1);
        Checks.same("count=2,bytes=19",
                text(zk.getData("/zookeeper/quota/counted/zookeeper_stats", false, null)));
    }

    // The connection.

    private void pipeline() throws Exception {
        ZooKeeper zk = connect("/pipeline");
        int n = 2000;
        CountDownLatch done = new CountDownLatch(2 * n);
        List<String> replies = Collections.synchronizedList(new ArrayList<>());
        for (int i = 0; i < n; i++) {
            zk.create("/pipeline/", bytes("x" + i), OPEN, CreateMode.PERSISTENT_SEQUENTIAL, (rc, path, ctx, name) -> {
                replies.add(rc + " " + name);
                done.countDown();
            }, null);
            // A read behind a write of its own session sees that write.
            String path = String.format("/pipeline/%010d", i);
            zk.getData(path, false, (rc, p, ctx, data, stat) -> {
                replies.add(rc + " " + text(data));
                done.countDown();
            }, null);
        }
        Checks.await("the replies", done);
        for (int i = 0; i < n; i++) {
            Checks.same(String.format("0 /pipeline/%010d", i), replies.get(2 * i));
            Checks.same("0 x" + i, replies.get(2 * i + 1));
        }
    }

    private void chroot() throws Exception {
        ZooKeeper zk = connect("/root");
        Checks.Events events = new Checks.Events();
        ZooKeeper inner = connect(server + "/root/inner", events);
        Checks.fails(NONODE, () -> make(inner, "/a"));
        make(zk, "/root/inner");
        inner.addWatch("/", events, AddWatchMode.PERSISTENT_RECURSIVE);
        Checks.same("/a", inner.create("/a", null, OPEN, CreateMode.EPHEMERAL));
        events.next(EventType.NodeCreated, "/a");
        Checks.same(List.of("/root/inner/a"), inner.getEphemerals("/"));
        Checks.that(zk.exists("/root/inner/a", false) != null, "the znode is somewhere else");
        Checks.same(List.of("a"), inner.getChildren("/", false));
    }

    private void takeOver() throws Exception {
        Checks.Events events = new Checks.Events();
        ZooKeeper first = connect(server, events);
        first.create("/taken", null, OPEN, CreateMode.EPHEMERAL);
        Checks.Events secondEvents = new Checks.Events();
        ZooKeeper second = Checks.closing(new ZooKeeper(server, SESSION_TIMEOUT_MS, secondEvents,
                first.getSessionId(), first.getSessionPasswd()));
        secondEvents.state(KeeperState.SyncConnected);
        Checks.same(first.getSessionId(), second.getSessionId());
        events.state(KeeperState.Disconnected);
        Checks.same(first.getSessionId(), second.exists("/taken", false).getEphemeralOwner());
        second.close();
        events.state(KeeperState.Expired);
        Checks.same(null, connect().exists("/taken", false));
    }

    private void wrongPassword() throws Exception {
        ZooKeeper zk = connect();
        zk.create("/guarded", null, OPEN, CreateMode.EPHEMERAL);
        Checks.Events events = new Checks.Events();
        Checks.closing(new ZooKeeper(server, SESSION_TIMEOUT_MS, events, zk.getSessionId(), new byte[16]));
        events.state(KeeperState.Expired);
        // The server takes the rightful connection for abandoned and closes it; its session lives on.
        Checks.eventually("the connection is back", () -> {
            try {
                return zk.exists("/guarded", false) != null;
            } catch (KeeperException.ConnectionLossException e) {
                return false;
            }
        });
    }

    private void closeSession() throws Exception {
        ZooKeeper zk = connect("/closing");
        ZooKeeper leaving = connect();
        Checks.Events events = new Checks.Events();
        zk.addWatch("/closing", events, AddWatchMode.PERSISTENT_RECURSIVE);
        leaving.create("/closing/a", null, OPEN, CreateMode.EPHEMERAL);
        leaving.create("/closing/b", null, OPEN, CreateMode.EPHEMERAL);
        events.next(EventType.NodeCreated, "/closing/a");
        events.next(EventType.NodeCreated, "/closing/b");
        leaving.close();
        TreeSet<String> gone = new TreeSet<>();
        for (int i = 0; i < 2; i++) {
            WatchedEvent event = events.next();
            Checks.same(EventType.NodeDeleted, event.getType());
            gone.add(event.getPath());
        }
        Checks.same(new TreeSet<>(List.of("/closing/a", "/closing/b")), gone);
        Checks.same(List.of(), zk.getChildren("/closing", false));
    }

    private void expire() throws Exception {
        ZooKeeper zk = connect("/expiry");
        Proxy proxy = Checks.closing(new Proxy(server));
        Checks.Events events = new Checks.Events();
        ZooKeeper lost = Checks.closing(new ZooKeeper(proxy.address(), 100, events));
        events.state(KeeperState.SyncConnected);
        Checks.same(4000, lost.getSessionTimeout());
        lost.create("/expiry/e", null, OPEN, CreateMode.EPHEMERAL);
        Checks.Events watch = new Checks.Events();
        zk.exists("/expiry/e", watch);
        proxy.cut();
        events.state(KeeperState.Disconnected);
        watch.next(EventType.NodeDeleted, "/expiry/e");
        proxy.mend();
        events.state(KeeperState.Expired);
    }

    private void reconnect() throws Exception {
        ZooKeeper zk = connect("/away");
        for (String name : List.of("data", "gone", "children", "quiet", "persistent", "recursive")) {
            make(zk, "/away/" + name);
        }
        Proxy proxy = Checks.closing(new Proxy(server));
        Checks.Events events = new Checks.Events();
        ZooKeeper lost = connect(proxy.address(), events);
        lost.create("/away/e", null, OPEN, CreateMode.EPHEMERAL);
        lost.getData("/away/data", true, null);
        lost.getData("/away/gone", true, null);
        lost.getChildren("/away/children", true);
        lost.exists("/away/new", true);
        lost.exists("/away/never", true);
        lost.getData("/away/quiet", true, null);
        Checks.Events persistent = new Checks.Events();
        lost.addWatch("/away/persistent", persistent, AddWatchMode.PERSISTENT);
        Checks.Events recursive = new Checks.Events();
        lost.addWatch("/away/recursive", recursive, AddWatchMode.PERSISTENT_RECURSIVE);

        proxy.cut();
        events.state(KeeperState.Disconnected);
        zk.setData("/away/data", null, -1);
        zk.delete("/away/gone", -1);
        make(zk, "/away/children/c");
        make(zk, "/away/new");
        zk.setData("/away/persistent", null, -1);
        make(zk, "/away/recursive/missed");
        proxy.mend();
        events.state(KeeperState.SyncConnected);

        TreeSet<String> seen = new TreeSet<>();
        for (int i = 0; i < 4; i++) {
            WatchedEvent event = events.next();
            seen.add(event.getType() + " " + event.getPath());
        }
        Checks.same(new TreeSet<>(List.of("NodeDataChanged /away/data", "NodeDeleted /away/gone",
                "NodeChildrenChanged /away/children", "NodeCreated /away/new")), seen);
        events.none(lost);
        Checks.that(zk.exists("/away/e", false) != null, "the ephemeral znode is gone");

        // What did not fire is still set, and what fires for ever does so again.
        zk.setData("/away/quiet", null, -1);
        events.next(EventType.NodeDataChanged, "/away/quiet");
        make(zk, "/away/never");
        events.next(EventType.NodeCreated, "/away/never");
        zk.setData("/away/persistent", null, -1);
        persistent.next(EventType.NodeDataChanged, "/away/persistent");
        make(zk, "/away/recursive/seen");
        recursive.next(EventType.NodeCreated, "/away/recursive/seen");
        for (Checks.Events e : List.of(events, persistent, recursive)) {
            e.none(lost);
        }
    }

    private void reconnectMany() throws Exception {
        ZooKeeper zk = connect("/many");
        // The client splits its watches into packets of 128 KB; these fill four.
        String name = "/many/" + "n".repeat(500);
        int n = 1000;
        Proxy proxy = Checks.closing(new Proxy(server));
        Checks.Events events = new Checks.Events();
        ZooKeeper lost = connect(proxy.address(), events);
        CountDownLatch set = new CountDownLatch(n);
        for (int i = 0; i < n; i++) {
            lost.exists(name + i, true, (rc, path, ctx, stat) -> set.countDown(), null);
        }
        Checks.await("the watches", set);
        proxy.cut();
        events.state(KeeperState.Disconnected);
        make(zk, name + 0);
        make(zk, name + (n - 1));
        proxy.mend();
        events.state(KeeperState.SyncConnected);
        TreeSet<String> seen = new TreeSet<>(List.of(events.next().getPath(), events.next().getPath()));
        Checks.same(new TreeSet<>(List.of(name + 0, name + (n - 1))), seen);
        events.none(lost);
        make(zk, name + (n / 2));
        events.next(EventType.NodeCreated, name + (n / 2));
    }

    private void restart() throws Exception {
        Checks.Events events = new Checks.Events();
        ZooKeeper zk = connect(server, events);
        make(zk, "/restart");
        zk.addAuthInfo("digest", bytes("ann:secret"));
        zk.create("/restart/mine", bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        zk.create("/restart/e", null, OPEN, CreateMode.EPHEMERAL);
        zk.create("/restart/t", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 3_600_000);
        zk.create("/restart/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL);
        Stat before = zk.exists("/restart", true);
        zk.getChildren("/restart", true);
        long session = zk.getSessionId();

        Checks.ask("restart");
        events.state(KeeperState.Disconnected);
        events.state(KeeperState.SyncConnected);

        Checks.same(session, zk.getSessionId());
        Checks.same(before, zk.exists("/restart", false));
        Checks.same(session, zk.exists("/restart/e", false).getEphemeralOwner());
        Checks.same(List.of("/restart/e"), zk.getEphemerals());
        Checks.same("x", text(zk.getData("/restart/mine", false, null)));
        Checks.same("[digest ann, ip 127.0.0.1]", names(zk.whoAmI()));
        Checks.fails(NOAUTH, () -> connect().getData("/restart/mine", false, null));
        Checks.same("/restart/s0000000004", zk.create("/restart/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
        events.next(EventType.NodeChildrenChanged, "/restart");
        zk.setData("/restart", null, 0);
        events.next(EventType.NodeDataChanged, "/restart");
        zk.close();
        Checks.same(null, connect().exists("/restart/e", false));
    }
}
