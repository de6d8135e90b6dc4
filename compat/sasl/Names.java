import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import javax.security.auth.callback.Callback;
import javax.security.sasl.AuthorizeCallback;
import org.apache.zookeeper.server.auth.KerberosName;
import org.apache.zookeeper.server.auth.SaslServerCallbackHandler;

/** Reads rules, tab, whether to remove host and realm, tab, and a user from each line, and prints what ZooKeeper calls the user. */
public final class Names {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String[] words = line.split("\t", -1);
            System.out.println(name(words[0], words[1], words[2]));
        }
    }

    private static String name(String rules, String remove, String user) {
        System.setProperty("zookeeper.security.auth_to_local", rules);
        System.setProperty("zookeeper.kerberos.removeHostFromPrincipal", String.valueOf(remove.contains("host")));
        System.setProperty("zookeeper.kerberos.removeRealmFromPrincipal", String.valueOf(remove.contains("realm")));
        try {
            KerberosName.setConfiguration();
        } catch (Exception e) {
            return "no rules";
        }
        AuthorizeCallback callback = new AuthorizeCallback(user, user);
        try {
            new SaslServerCallbackHandler(new HashMap<>()).handle(new Callback[] {callback});
        } catch (Exception e) {
            return "thrown";
        }
        return "id " + callback.getAuthorizedID();
    }
}
