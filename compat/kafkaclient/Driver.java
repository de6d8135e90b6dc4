import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.StringJoiner;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.IntegerDeserializer;
import org.apache.kafka.common.serialization.IntegerSerializer;
import org.apache.zookeeper.ZooKeeper;

/**
 * Drives a Kafka cluster for a test: one command a line on stdin, one line of answer each on
 * stdout, "ok ..." or "error ...". Records are the numbers 0, 1, 2 and so on, so that what was
 * acknowledged and what was consumed can be compared exactly.
 *
 * <pre>
 * brokers N                  waits until the cluster has N brokers
 * controller                 the id of the broker that is the controller
 * epochs                     the zxid of each broker's registration, as id=zxid
 * create TOPIC P R [K=V ...] with P partitions of R replicas, and configs
 * alter TOPIC K=V            sets a config of a topic
 * topic TOPIC                what the cluster knows of it: id, partitions, replicas and the configs of its own
 * insync TOPIC               waits until every replica is in sync
 * produce TOPIC N            starts to send the next N records, about one a millisecond
 * stream TOPIC               starts to send records, about one a millisecond, until halt
 * halt                       ends the stream and waits until every record is acknowledged; how many that are in all
 * follow TOPIC               starts to read all there is and will be
 * followed                   waits until every acknowledged record has been read by follow, and ends that
 * acked N                    waits until N records in all are acknowledged
 * more N                     waits until N more are acknowledged, and as many read by follow
 * consume TOPIC              reads all there is: consumed, lost (acknowledged, not read), unknown (read, never sent)
 * delete TOPIC               returns when brokers and ZooKeeper have forgotten it
 * </pre>
 */
public final class Driver {
    private static final long PATIENCE_SECONDS = 120;

    private final Properties config = new Properties();
    private final Admin admin;
    private final KafkaProducer<Integer, Integer> producer;
    private final String zookeeper;

    // Guarded by this.
    private final BitSet acked = new BitSet();
    private int sent;
    private boolean sending;
    private Exception failure;
    private boolean halted;
    private BitSet followed; // what follow has read
    private boolean ended; // follow is to end
    private Thread follower;

    private Driver(String brokers, String zookeeper) {
        this.zookeeper = zookeeper;
        config.put("bootstrap.servers", brokers);
        config.put("default.api.timeout.ms", "20000");
        config.put("request.timeout.ms", "10000");
        config.put("reconnect.backoff.max.ms", "500");
        // Who has heard of the first broker alone, because the others were still starting, must not depend on it for minutes.
        config.put("metadata.max.age.ms", "2000");
        admin = Admin.create(config);
        Properties p = new Properties();
        p.putAll(config);
        p.put("acks", "all");
        // With more in flight, a new partition's leader that is not ready for the first batch can take the
        // second, and then refuses the retried first one for ever.
        p.put("max.in.flight.requests.per.connection", "1");
        p.put("delivery.timeout.ms", "180000");
        p.put("max.block.ms", "120000");
        producer = new KafkaProducer<>(p, new IntegerSerializer(), new IntegerSerializer());
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 2) {
            System.err.println("usage: Driver brokers zookeeper/chroot");
            System.exit(2);
        }
        Driver driver = new Driver(args[0], args[1]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;) {
            String answer;
            try {
                answer = "ok " + driver.run(line.split(" "));
            } catch (Exception e) {
                answer = "error " + line + ": " + e;
            }
            System.out.println(answer.replace('\n', ' '));
        }
        System.exit(0);
    }

    private String run(String[] c) throws Exception {
        switch (c[0]) {
            case "brokers":
                return brokers(Integer.parseInt(c[1]));
            case "controller":
                return "" + admin.describeCluster().controller().get().id();
            case "epochs":
                return epochs();
            case "create":
                return create(c);
            case "alter":
                return alter(c[1], c[2]);
            case "topic":
                return topic(c[1]);
            case "insync":
                return insync(c[1]);
            case "produce":
                return produce(c[1], Integer.parseInt(c[2]));
            case "stream":
                return produce(c[1], Integer.MAX_VALUE);
            case "halt":
                return halt();
            case "follow":
                return follow(c[1]);
            case "followed":
                return followed();
            case "more":
                return more(Integer.parseInt(c[1]));
            case "acked":
                return acked(Integer.parseInt(c[1]));
            case "consume":
                return consume(c[1]);
            case "delete":
                return delete(c[1]);
            default:
                throw new IllegalArgumentException("no such command");
        }
    }

    /** Polls until the condition holds; what may pass by itself counts as not yet. */
    private static void eventually(Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        Throwable last = null;
        while (System.nanoTime() < end) {
            try {
                if (condition.call()) {
                    return;
                }
            } catch (java.util.concurrent.ExecutionException e) {
                if (!(e.getCause() instanceof RetriableException)) {
                    throw e;
                }
                last = e;
            }
            Thread.sleep(100);
        }
        throw new AssertionFailed("not within " + PATIENCE_SECONDS + " s", last);
    }

    private static final class AssertionFailed extends Exception {
        AssertionFailed(String message, Throwable cause) {
            super(message + (cause == null ? "" : ", last " + cause));
        }
    }

    private String brokers(int n) throws Exception {
        eventually(() -> admin.describeCluster().nodes().get().size() == n);
        return "";
    }

    private String epochs() throws Exception {
        try (ZooKeeper zk = connect()) {
            StringJoiner epochs = new StringJoiner(" ");
            TreeMap<String, Long> sorted = new TreeMap<>();
            for (String id : zk.getChildren("/brokers/ids", false)) {
                sorted.put(id, zk.exists("/brokers/ids/" + id, false).getCzxid());
            }
            sorted.forEach((id, zxid) -> epochs.add(id + "=" + zxid));
            return epochs.toString();
        }
    }

    private ZooKeeper connect() throws Exception {
        ZooKeeper zk = new ZooKeeper(zookeeper, 20_000, event -> { });
        eventually(() -> zk.getState().isConnected());
        return zk;
    }

    private String insync(String topic) throws Exception {
        eventually(() -> {
            TopicDescription t = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            return t.partitions().stream().allMatch(p -> p.isr().size() == p.replicas().size());
        });
        return "";
    }

    private String create(String[] c) throws Exception {
        NewTopic topic = new NewTopic(c[1], Integer.parseInt(c[2]), Short.parseShort(c[3]));
        Map<String, String> configs = new TreeMap<>();
        for (int i = 4; i < c.length; i++) {
            String[] pair = c[i].split("=", 2);
            configs.put(pair[0], pair[1]);
        }
        admin.createTopics(List.of(topic.configs(configs))).all().get();
        return "";
    }

    private String alter(String topic, String config) throws Exception {
        String[] pair = config.split("=", 2);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AlterConfigOp op = new AlterConfigOp(new ConfigEntry(pair[0], pair[1]), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(op))).all().get();
        return "";
    }

    private String topic(String topic) throws Exception {
        TopicDescription t = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        StringJoiner all = new StringJoiner(" ");
        all.add(topic).add(t.topicId().toString());
        t.partitions().forEach(p -> all.add(p.partition() + ":" + p.replicas().stream()
                .map(r -> "" + r.id()).collect(Collectors.joining(","))));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        config.entries().stream()
                .filter(e -> e.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG)
                .map(e -> e.name() + "=" + e.value()).sorted().forEach(all::add);
        return all.toString();
    }

    private String produce(String topic, int n) throws Exception {
        idle();
        int from;
        synchronized (this) {
            from = sent;
            sending = true;
            halted = false;
        }
        Thread thread = new Thread(() -> {
            try {
                for (int i = from; i - from < n; i++) {
                    int record = i;
                    synchronized (this) {
                        if (halted) {
                            break;
                        }
                        sent = i + 1;
                    }
                    producer.send(new ProducerRecord<>(topic, record, record), (metadata, e) -> ack(record, e));
                    Thread.sleep(1); // The rate, so that a fault comes in the middle.
                }
            } catch (Exception e) {
                ack(-1, e);
            }
            synchronized (this) {
                sending = false;
            }
        }, "produce");
        thread.setDaemon(true);
        thread.start();
        return "";
    }

    private String halt() throws Exception {
        synchronized (this) {
            halted = true;
        }
        idle();
        acked(sent);
        return "" + sent;
    }

    /** Waits until nobody sends. */
    private void idle() throws Exception {
        eventually(() -> {
            synchronized (this) {
                return !sending;
            }
        });
    }

    /** Waits for n more acknowledgements after this moment, and for as many records that follow reads. */
    private String more(int n) throws Exception {
        int target;
        synchronized (this) {
            target = acked.cardinality() + n;
        }
        acked(target);
        eventually(() -> {
            synchronized (this) {
                if (failure != null) {
                    throw failure;
                }
                return followed.cardinality() >= target;
            }
        });
        return "";
    }

    private synchronized String follow(String topic) {
        followed = new BitSet();
        follower = new Thread(() -> {
            try (KafkaConsumer<Integer, Integer> consumer = consumer("followers-of-" + topic)) {
                consumer.subscribe(List.of(topic));
                while (true) {
                    for (ConsumerRecord<Integer, Integer> record : consumer.poll(Duration.ofMillis(200))) {
                        synchronized (this) {
                            followed.set(record.value());
                        }
                    }
                    synchronized (this) {
                        if (ended) {
                            return;
                        }
                    }
                }
            } catch (Exception e) {
                ack(-1, e);
            }
        }, "follow");
        follower.setDaemon(true);
        follower.start();
        return "";
    }

    private String followed() throws Exception {
        eventually(() -> {
            synchronized (this) {
                if (failure != null) {
                    throw failure;
                }
                BitSet missing = (BitSet) acked.clone();
                missing.andNot(followed);
                return missing.isEmpty();
            }
        });
        synchronized (this) {
            ended = true;
        }
        follower.join();
        BitSet unknown = (BitSet) followed.clone();
        unknown.clear(0, sent);
        return String.format("followed %d unknown %d", followed.cardinality(), unknown.cardinality());
    }

    private KafkaConsumer<Integer, Integer> consumer(String group) {
        Properties p = new Properties();
        p.putAll(config);
        p.put("group.id", group);
        p.put("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(p, new IntegerDeserializer(), new IntegerDeserializer());
    }

    private synchronized void ack(int record, Exception e) {
        if (e == null) {
            acked.set(record);
        } else if (failure == null) {
            failure = e;
        }
    }

    private String acked(int n) throws Exception {
        eventually(() -> {
            synchronized (this) {
                if (failure != null) {
                    throw failure;
                }
                return acked.cardinality() >= n;
            }
        });
        return "";
    }

    private String consume(String topic) throws Exception {
        BitSet seen = new BitSet();
        int consumed = 0;
        try (KafkaConsumer<Integer, Integer> consumer = consumer("readers-of-" + topic)) {
            List<PartitionInfo> infos = consumer.partitionsFor(topic);
            List<TopicPartition> partitions = infos.stream()
                    .map(i -> new TopicPartition(topic, i.partition())).collect(Collectors.toList());
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            consumer.subscribe(List.of(topic));
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
            boolean more = true;
            while (more) {
                if (System.nanoTime() > deadline) {
                    throw new AssertionFailed("read " + consumed + " of the records up to " + ends, null);
                }
                for (ConsumerRecord<Integer, Integer> record : consumer.poll(Duration.ofMillis(200))) {
                    consumed++;
                    seen.set(record.value());
                }
                more = consumer.assignment().size() < partitions.size();
                for (TopicPartition partition : consumer.assignment()) {
                    more |= consumer.position(partition) < ends.get(partition);
                }
            }
            consumer.commitSync();
        }
        synchronized (this) {
            BitSet lost = (BitSet) acked.clone();
            lost.andNot(seen);
            seen.clear(0, sent);
            return String.format("consumed %d lost %d unknown %d", consumed, lost.cardinality(), seen.cardinality());
        }
    }

    private String delete(String topic) throws Exception {
        admin.deleteTopics(List.of(topic)).all().get();
        eventually(() -> !admin.listTopics().names().get().contains(topic));
        try (ZooKeeper zk = connect()) {
            for (String path : List.of("/brokers/topics/", "/admin/delete_topics/", "/config/topics/")) {
                eventually(() -> zk.exists(path + topic, false) == null);
            }
        }
        return "";
    }
}
