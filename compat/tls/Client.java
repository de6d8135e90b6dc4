import java.util.Collections;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;

/**
 * Uses a server over TLS, which the system properties configure, and prints what it finds, one line each. Arguments: host:port and the path of a znode to make. The server must
 * be there.
 */
public final class Client {
    public static void main(String[] args) throws Exception {
        ZooKeeper zk = new ZooKeeper(args[0], 30000, Client::ignore);
        try {
            zk.whoAmI().stream().map(info -> "who " + info.getAuthScheme() + " " + info.getUser()).sorted().forEach(System.out::println);
            zk.create(args[1], new byte[100_000], ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            System.out.println("length " + zk.getData(args[1], false, null).length);
            try {
                zk.setACL(args[1], ZooDefs.Ids.CREATOR_ALL_ACL, -1);
            } catch (KeeperException e) {
                System.out.println("setACL " + e.code());
            }
            System.out.println("acl " + zk.getACL(args[1], null));
            for (String id : new String[] {"CN=a;O=b", "CN=<", ""}) {
                try {
                    zk.create(args[1] + "/x", null, Collections.singletonList(new ACL(31, new Id("x509", id))), CreateMode.EPHEMERAL_SEQUENTIAL);
                    System.out.println("id OK " + id);
                } catch (KeeperException e) {
                    System.out.println("id " + e.code() + " " + id);
                }
            }
        } finally {
            zk.close();
        }
    }

    private static void ignore(WatchedEvent event) {
    }
}
