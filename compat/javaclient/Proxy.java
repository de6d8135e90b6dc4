import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.HashSet;
import java.util.Set;

/** A TCP proxy in front of the server that can take a client's connection away and give it back. */
final class Proxy implements AutoCloseable {
    private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final String host;
    private final int port;
    private final Set<Socket> sockets = new HashSet<>();
    private boolean cut;

    Proxy(String server) throws IOException {
        int colon = server.lastIndexOf(':');
        host = server.substring(0, colon);
        port = Integer.parseInt(server.substring(colon + 1));
        spawn(this::accept);
    }

    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /** Closes every connection and lets no new one through. */
    synchronized void cut() {
        cut = true;
        sockets.forEach(Proxy::closeQuietly);
        sockets.clear();
    }

    synchronized void mend() {
        cut = false;
    }

    @Override
    public void close() throws IOException {
        listener.close();
        cut();
    }

    private void accept() throws IOException {
        for (;;) {
            Socket client = listener.accept();
            Socket server = null;
            synchronized (this) {
                if (!cut) {
                    try {
                        server = new Socket(host, port);
                        sockets.add(client);
                        sockets.add(server);
                    } catch (IOException e) {
                        // The server is down: the client sees its connection closed.
                    }
                }
            }
            if (server == null) {
                closeQuietly(client);
                continue;
            }
            Socket to = server;
            spawn(() -> pump(client, to));
            spawn(() -> pump(to, client));
        }
    }

    private static void pump(Socket from, Socket to) throws IOException {
        try (from; to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            byte[] buffer = new byte[64 << 10];
            for (int n; (n = in.read(buffer)) > 0;) {
                out.write(buffer, 0, n);
            }
        }
    }

    private interface Body {
        void run() throws IOException;
    }

    private static void spawn(Body body) {
        Thread thread = new Thread(() -> {
            try {
                body.run();
            } catch (IOException e) {
                // A closed socket is how these threads end.
            }
        }, "proxy");
        thread.setDaemon(true);
        thread.start();
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // It is closed for us.
        }
    }
}
