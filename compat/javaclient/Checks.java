import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;

/** Runs checks, prints a line for each, and carries what every check needs. */
final class Checks {
    /** Longer than any wait of a healthy run on a loaded machine. */
    static final long PATIENCE_SECONDS = 60;

    interface Check {
        void run() throws Exception;
    }

    private static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in));
    private static final List<AutoCloseable> OPEN = new ArrayList<>();
    private static int failures;

    private Checks() {
    }

    static void run(String name, Check check) {
        long start = System.nanoTime();
        String verdict = "ok " + name;
        try {
            check.run();
        } catch (Throwable e) {
            failures++;
            StackTraceElement at = e.getStackTrace().length > 0 ? e.getStackTrace()[0] : null;
            for (StackTraceElement frame : e.getStackTrace()) {
                if (frame.getClassName().matches("(Native|Recipes)(\\$.*)?")) {
                    at = frame;
                    break;
                }
            }
            verdict = "FAIL " + name + ": " + e + " at " + at;
        }
        synchronized (OPEN) {
            // The youngest first: a recipe is closed before its client, a client before its proxy.
            for (int i = OPEN.size() - 1; i >= 0; i--) {
                try {
                    OPEN.get(i).close();
                } catch (Exception e) {
                    // A check that wants to see a close fail closes by itself.
                }
            }
            OPEN.clear();
        }
        System.out.println(verdict + " (" + (System.nanoTime() - start) / 1_000_000 + " ms)");
    }

    static int failures() {
        return failures;
    }

    /** Has it closed at the end of the check. */
    static <T extends AutoCloseable> T closing(T it) {
        synchronized (OPEN) {
            OPEN.add(it);
        }
        return it;
    }

    /** Asks the program that started this one to do something with the server, and waits until it is done. */
    static void ask(String what) throws IOException {
        System.out.println("do " + what);
        String answer = IN.readLine();
        if (!"done".equals(answer)) {
            throw new IOException(what + ": " + answer);
        }
    }

    static void same(Object want, Object got) {
        if (!Objects.equals(want, got)) {
            throw new AssertionError("want " + want + ", got " + got);
        }
    }

    static void that(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    static void fails(KeeperException.Code code, Check request) throws Exception {
        try {
            request.run();
        } catch (KeeperException e) {
            same(code, e.code());
            return;
        }
        throw new AssertionError("want " + code + ", but the request succeeds");
    }

    /** Polls until the condition holds. */
    static void eventually(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (!condition.call()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not within " + PATIENCE_SECONDS + " s: " + what);
            }
            Thread.sleep(20);
        }
    }

    static void await(String what, CountDownLatch latch) throws InterruptedException {
        that(latch.await(PATIENCE_SECONDS, TimeUnit.SECONDS), "not within " + PATIENCE_SECONDS + " s: " + what);
    }

    static <T> T await(CompletableFuture<T> future) throws Exception {
        return future.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    /** Events in the order of their delivery. */
    static final class Events implements Watcher {
        private final LinkedBlockingQueue<WatchedEvent> queue = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            queue.add(event);
        }

        /** The next event of a znode, with those of the connection left out. */
        WatchedEvent next() throws InterruptedException {
            for (;;) {
                WatchedEvent event = queue.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
                that(event != null, "no event within " + PATIENCE_SECONDS + " s");
                if (event.getType() != Event.EventType.None) {
                    return event;
                }
            }
        }

        void next(Event.EventType type, String path) throws InterruptedException {
            WatchedEvent event = next();
            same(type + " " + path, event.getType() + " " + event.getPath());
        }

        /** Waits for a change of the connection's state. */
        void state(Event.KeeperState state) throws InterruptedException {
            for (;;) {
                WatchedEvent event = queue.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
                that(event != null, "not " + state + " within " + PATIENCE_SECONDS + " s");
                if (event.getType() == Event.EventType.None && event.getState() == state) {
                    return;
                }
            }
        }

        /**
         * No event of a znode is on its way. The server sends events before later replies, and
         * the client delivers events and callbacks in one thread, so a callback is a fence.
         */
        void none(ZooKeeper zk) throws Exception {
            CountDownLatch fence = new CountDownLatch(1);
            zk.sync("/", (rc, path, ctx) -> fence.countDown(), null);
            await("sync", fence);
            queue.removeIf(event -> event.getType() == Event.EventType.None);
            same("[]", queue.toString());
        }
    }
}
