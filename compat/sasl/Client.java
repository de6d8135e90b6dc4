import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;

/**
 * Authenticates with SASL, as system properties say, once for each section of the JAAS file that is named, and prints who it is and what its znode's ACL has, or what it is told when it
 * fails. Arguments: host:port and the sections.
 */
public final class Client {
    private final CountDownLatch known = new CountDownLatch(1);
    private volatile KeeperState state;

    public static void main(String[] args) throws Exception {
        for (int i = 1; i < args.length; i++) {
            System.setProperty("zookeeper.sasl.clientconfig", args[i]);
            new Client().run(args[0], "/" + args[i]);
        }
        System.exit(0);
    }

    private void run(String address, String path) throws Exception {
        ZooKeeper zk = new ZooKeeper(address, 30000, this::event);
        if (!known.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("nothing happens");
        }
        System.out.println(path + " " + state);
        if (state == KeeperState.SaslAuthenticated) {
            zk.whoAmI().stream().map(info -> "who " + info.getAuthScheme() + " " + info.getUser()).sorted().forEach(System.out::println);
            zk.create(path, new byte[0], ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            System.out.println("acl " + zk.getACL(path, null).toString().trim());
            zk.setData(path, new byte[1], -1);
        }
        zk.close();
    }

    private void event(WatchedEvent event) {
        if (event.getState() == KeeperState.SaslAuthenticated || event.getState() == KeeperState.AuthFailed) {
            state = event.getState();
            known.countDown();
        }
    }
}
