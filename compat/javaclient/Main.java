/**
 * Exercises a server with the Java client 3.9.5 and with Curator's recipes. Prints one line for
 * each check, "ok name (n ms)" or "FAIL name: reason (n ms)", and exits with 1 if one failed.
 *
 * <p>The server needs extendedTypesEnabled=true, and -Dznode.container.checkIntervalMs=200 so that
 * containers and expired TTL nodes go soon. A line "do restart" on stdout asks whoever started
 * this program to kill the server with SIGKILL, start it again and answer "done" on stdin.
 */
public final class Main {
    private Main() {
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            System.err.println("usage: Main host:port");
            System.exit(2);
        }
        new Native(args[0]).run();
        new Recipes(args[0]).run();
        System.exit(Checks.failures() == 0 ? 0 : 1);
    }
}
