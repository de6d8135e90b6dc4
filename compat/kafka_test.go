package compat

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quoll/client"
	"quoll/compat/peer"
)

var updateKafka = flag.Bool("update-kafka", false,
	"add what the brokers complain about under Apache ZooKeeper to testdata/kafka-complaints.txt")

// TestKafka runs three Kafka 3.9 brokers on each server through the life of a cluster: topics,
// 10,000 records, a broker and then the server killed in the middle of producing, a deletion.
// No acknowledged record may be lost, and the brokers may complain in their logs about nothing
// that they do not complain about under Apache ZooKeeper: in the control run of this test, or
// in an earlier one that was recorded with
//
//	go test ./compat -run TestKafka/java -update-kafka
func TestKafka(t *testing.T) {
	t.Parallel()
	classes := kafkaDriver(t)
	const record = "testdata/kafka-complaints.txt"
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		known[strings.TrimSuffix(line, "\n")] = true
	}
	peer.Each(t, peer.Options{}, func(t *testing.T, s *peer.Server) {
		for _, c := range runKafka(t, s, classes) {
			if s.Kind() == "java" {
				known[c] = true
			} else if !known[c] {
				t.Errorf("a complaint that Apache ZooKeeper gives no reason for: %s", c)
			}
		}
	})
	if *updateKafka && !t.Failed() {
		var lines []string
		for c := range known {
			lines = append(lines, c+"\n")
		}
		slices.Sort(lines)
		if err := os.WriteFile(record, []byte(strings.Join(lines, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runKafka is the life of a cluster on one server. It returns the kinds of complaints in the
// brokers' logs.
func runKafka(t *testing.T, s *peer.Server, classes string) []string {
	// Listed three times: a Java server can leave a connection unanswered that comes while it
	// starts, and the client gives a connection the session's timeout divided by the addresses.
	k := startKafka(t, classes, 3, []string{s.Addr(), s.Addr(), s.Addr()})
	k.do("brokers 3")
	k.do("create records 6 3")
	k.do("create other 3 3")
	k.do("insync records")
	k.do("produce records 2000")
	k.do("acked 2000")
	k.lap("cluster up, 2,000 records")

	// The controller dies: the others must see its session expire, elect a controller and leaders.
	var controller int
	if _, err := fmt.Sscan(k.do("controller"), &controller); err != nil {
		t.Fatal(err)
	}
	k.do("produce records 3000")
	k.do("acked 2500")
	if err := k.brokers[controller].Kill(); err != nil {
		t.Fatal(err)
	}
	k.do("brokers 2")
	k.do("acked 5000")
	if next := k.do("controller"); next == fmt.Sprint(controller) {
		t.Errorf("broker %s is dead and still the controller", next)
	}
	if err := k.brokers[controller].Start(); err != nil {
		t.Fatal(err)
	}
	k.do("brokers 3")
	k.do("insync records")
	k.lap("a broker killed and back, 5,000 records")

	// The server dies: no session may be lost with it, so no broker registers anew.
	epochs := k.do("epochs")
	k.do("produce records 3000")
	k.do("acked 5500")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	k.do("acked 6000")
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	k.do("acked 8000")
	if again := k.do("epochs"); again != epochs {
		t.Errorf("brokers registered at %s before the server's restart, at %s after it", epochs, again)
	}
	k.do("create after 3 3")
	k.do("insync after")
	k.do("produce records 2000")
	k.do("acked 10000")
	k.lap("the server killed and back, 10,000 records")

	if got, want := k.do("consume records"), "consumed 10000 lost 0 unknown 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	k.do("delete other")
	k.do("delete records")
	for id, broker := range k.brokers {
		k.gone(filepath.Join(broker.Dir, "log"), "records-", id)
	}
	k.lap("consumed and deleted")
	k.stop()

	kinds := map[string]bool{}
	for _, broker := range k.brokers {
		for _, c := range complaints(broker.Log()) {
			kinds[c] = true
		}
	}
	var sorted []string
	for c := range kinds {
		sorted = append(sorted, c)
	}
	slices.Sort(sorted)
	return sorted
}

// TestKafkaEnsemble runs two brokers on an ensemble of three servers. Records are produced and
// consumed all the time while each server is killed and started again, while topics are made and
// configured without it, and while the controller is killed together with the server that leads
// the ensemble. No acknowledged record may be lost, no broker's session may be lost with a server,
// and every server must have the topics as they were made.
func TestKafkaEnsemble(t *testing.T) {
	t.Parallel()
	classes := kafkaDriver(t)
	java, quoll := peer.Kinds[0], peer.Kinds[1]
	for _, ensemble := range []struct {
		name  string
		kinds []peer.Kind
	}{
		{"quoll", []peer.Kind{quoll, quoll, quoll}},
		{"mixed", []peer.Kind{java, quoll, java}},
	} {
		t.Run(ensemble.name, func(t *testing.T) {
			runKafkaEnsemble(t, peer.Ensemble(t, peer.Options{}, ensemble.kinds...), classes)
		})
	}
}

func runKafkaEnsemble(t *testing.T, servers []*peer.Server, classes string) {
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.Addr())
	}
	k := startKafka(t, classes, 2, addrs)
	k.do("brokers 2")
	k.do("create records 4 2 retention.ms=86400000")
	k.do("insync records")
	k.do("follow records")
	k.do("stream records")
	k.do("more 500")
	k.lap("cluster up")

	epochs := k.do("epochs")
	topics := []string{"records"}
	for i, s := range servers {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		// The state goes on without it, through whoever leads now.
		topic := fmt.Sprintf("without-%d", i+1)
		k.do("create " + topic + " 2 2 cleanup.policy=compact")
		k.do(fmt.Sprintf("alter records max.message.bytes=%d", 100_000+i))
		k.do("more 500")
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		k.do("more 500")
		topics = append(topics, topic)
		k.lap(fmt.Sprintf("member %d, %s, killed and back", i+1, s.Kind()))
	}
	if again := k.do("epochs"); again != epochs {
		t.Errorf("brokers registered at %s before the servers were killed, at %s after it", epochs, again)
	}

	var before []string
	for _, topic := range topics {
		before = append(before, k.do("topic "+topic))
	}
	if want := "max.message.bytes=100002 retention.ms=86400000"; !strings.HasSuffix(before[0], want) {
		t.Errorf("%s, want the configs %s", before[0], want)
	}

	// The controller and the leader die at once: the other broker has to notice by way of a new leader.
	var controller int
	if _, err := fmt.Sscan(k.do("controller"), &controller); err != nil {
		t.Fatal(err)
	}
	leader := leads(t, servers)
	if err := k.brokers[controller].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	k.do("brokers 1")
	k.do("more 500")
	if next := k.do("controller"); next == fmt.Sprint(controller) {
		t.Errorf("broker %s is dead and still the controller", next)
	}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	if err := k.brokers[controller].Start(); err != nil {
		t.Fatal(err)
	}
	k.do("brokers 2")
	for _, topic := range topics {
		k.do("insync " + topic)
	}
	k.do("more 500")
	k.lap("controller and leader killed and back")

	sent := k.do("halt")
	if got, want := k.do("followed"), "followed "+sent+" unknown 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := k.do("consume records"), "consumed "+sent+" lost 0 unknown 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for i, topic := range topics {
		if now := k.do("topic " + topic); now != before[i] {
			t.Errorf("the topic was %s, and is %s", before[i], now)
		}
	}
	sameOnAll(t, servers, "/kafka/brokers/topics", "/kafka/config/topics")
	k.lap("compared, " + sent + " records")
	k.stop()
}

// leads is the member that leads the ensemble.
func leads(t *testing.T, servers []*peer.Server) *peer.Server {
	t.Helper()
	for _, s := range servers {
		if answer, err := s.FourLetter("srvr"); err == nil && strings.Contains(answer, "Mode: leader\n") {
			return s
		}
	}
	t.Fatal("no server says that it leads")
	return nil
}

// sameOnAll fails if the servers do not have the same data, and the same znodes, below the roots.
func sameOnAll(t *testing.T, servers []*peer.Server, roots ...string) {
	t.Helper()
	var first []string
	for i, s := range servers {
		c, err := client.Connect(t.Context(), s.Addr(), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Sync(t.Context(), "/"); err != nil {
			t.Fatal(err)
		}
		var all []string
		for paths := slices.Clone(roots); len(paths) > 0; paths = paths[1:] {
			data, stat, err := c.Get(t.Context(), paths[0], false)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%s %+v %s", paths[0], stat, data))
			children, _, err := c.Children(t.Context(), paths[0], false)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(children)
			for _, child := range children {
				paths = append(paths, paths[0]+"/"+child)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if i == 0 {
			first = all
		} else if !slices.Equal(all, first) {
			t.Errorf("member %d has\n%s\nand member 1\n%s", i+1, strings.Join(all, "\n"), strings.Join(first, "\n"))
		}
	}
}

// kafkaDriver compiles the program that drives a cluster; without a Kafka to run, the test is
// skipped aloud.
func kafkaDriver(t *testing.T) (classes string) {
	t.Helper()
	peer.Require(t, "kafka")
	classes = t.TempDir()
	peer.Check(t, peer.Compile("kafka", classes, "kafkaclient/Driver.java"))
	return classes
}

// kafka is a cluster of brokers and the program that drives it.
type kafka struct {
	t       *testing.T
	brokers []*peer.Process // by id
	in      io.Writer
	out     *bufio.Scanner
	last    time.Time
}

// startKafka starts so many brokers that have their state on the servers.
func startKafka(t *testing.T, classes string, brokers int, servers []string) *kafka {
	k := &kafka{t: t, last: time.Now()}
	zookeeper := strings.Join(servers, ",") + "/kafka"
	classpath, err := peer.Classpath("kafka", classes)
	peer.Check(t, err)
	log4j, err := filepath.Abs("kafkaclient/log4j.properties")
	if err != nil {
		t.Fatal(err)
	}
	// Many short-lived JVMs on few cores: quick compilation, no threads for the collector.
	java := []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j.configuration=file:" + log4j, "-cp", classpath}

	var addrs []string
	for id := range brokers {
		port, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		dir := t.TempDir()
		config := filepath.Join(dir, "server.properties")
		lines := fmt.Sprintf(`broker.id=%d
listeners=PLAINTEXT://%s
log.dirs=%s
zookeeper.connect=%s
auto.create.topics.enable=false
offsets.topic.num.partitions=3
offsets.topic.replication.factor=%d
group.initial.rebalance.delay.ms=0
log.segment.delete.delay.ms=1000
controlled.shutdown.retry.backoff.ms=200
num.network.threads=2
num.io.threads=4
log.initial.task.delay.ms=1000
log.cleaner.enable=false
`, id, addr, filepath.Join(dir, "log"), zookeeper, brokers)
		if err := os.WriteFile(config, []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
		broker := &peer.Process{
			Args:    slices.Concat(java, []string{"kafka.Kafka", config}),
			Dir:     dir,
			LogPath: filepath.Join(dir, "broker.log"),
		}
		t.Cleanup(func() {
			broker.Kill()
			peer.ShowLog(t, fmt.Sprintf("broker %d", id), broker)
		})
		if err := broker.Start(); err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, addr)
		k.brokers = append(k.brokers, broker)
	}

	args := slices.Concat(java, []string{"Driver", strings.Join(addrs, ","), zookeeper})
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	log, err := os.Create(filepath.Join(t.TempDir(), "driver.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	k.in, k.out = stdin, bufio.NewScanner(stdout)
	return k
}

// do has the driver carry out one command and returns its answer.
func (k *kafka) do(command string) string {
	k.t.Helper()
	if _, err := fmt.Fprintln(k.in, command); err != nil {
		k.t.Fatal(err)
	}
	if !k.out.Scan() {
		k.t.Fatalf("%s: the driver has ended: %v", command, k.out.Err())
	}
	answer, ok := strings.CutPrefix(k.out.Text(), "ok ")
	if !ok {
		k.t.Fatal(k.out.Text())
	}
	return answer
}

// stop stops the brokers.
func (k *kafka) stop() {
	var stops sync.WaitGroup
	for _, broker := range k.brokers {
		stops.Go(func() {
			if err := broker.Stop(); err != nil {
				k.t.Error(err)
			}
		})
	}
	stops.Wait()
	k.lap("stopped")
}

// gone waits until a broker has removed the directories whose names have the prefix.
func (k *kafka) gone(dir, prefix string, id int) {
	k.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		left, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
		if err != nil {
			k.t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			k.t.Errorf("broker %d keeps %q", id, left)
			return
		}
	}
}

// lap logs how long the part of the run took that ends here.
func (k *kafka) lap(part string) {
	now := time.Now()
	k.t.Logf("%v: %s", now.Sub(k.last).Round(100*time.Millisecond), part)
	k.last = now
}

var (
	complaint = regexp.MustCompile(`^\d{4}-\d\d-\d\d \S+ (WARN|ERROR|FATAL) (.*)$`)
	exception = regexp.MustCompile(`^(Caused by: )?([\w.$]+\.[\w$]*(Exception|Error))\b.*$`)
	// What differs between two runs of the same thing, in the order of replacement.
	volatile = []struct {
		pattern *regexp.Regexp
		name    string
	}{
		{regexp.MustCompile(`[({].*[)}]`), "(...)"}, // dumps of requests and states
		{regexp.MustCompile(`/\S+/\d+/log\b`), "DIR"},
		{regexp.MustCompile(`\b(records|other|after|__consumer_offsets)(-\d+)?\b`), "TOPIC"},
		{regexp.MustCompile(`\b[\w-]{22}\b`), "ID"}, // of a topic, base64
		{regexp.MustCompile(`0x[0-9a-f]+|-?\b\d+\b`), "N"},
		{regexp.MustCompile(`\b(NonExistent|New|Online|Offline)(Partition|Replica)\b`), "STATE"},
		{regexp.MustCompile(`(TOPIC, ?)+TOPIC`), "TOPIC"},
		{regexp.MustCompile(`(N, ?)+N`), "N"},
	}
)

// complaints are the warnings, errors and exceptions of a broker's log, without what differs
// from run to run.
func complaints(log string) []string {
	var kinds []string
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		kind := ""
		if m := complaint.FindStringSubmatch(line); m != nil {
			kind = m[1] + " " + m[2]
		} else if m := exception.FindStringSubmatch(line); m != nil {
			kind = m[1] + m[2]
		} else {
			continue
		}
		for _, v := range volatile {
			kind = v.pattern.ReplaceAllString(kind, v.name)
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

func TestComplaints(t *testing.T) {
	log := `2026-11-21 23:30:29,639 INFO kafka.log.LogManager: fine
2026-11-21 23:32:24,161 ERROR kafka.server.ReplicaManager: [ReplicaManager broker=1] Error on partitions records-2, other-0
org.apache.kafka.common.errors.OutOfOrderSequenceException: Out of order sequence number for producer 0
	at kafka.server.AbstractFetcherThread.doWork(AbstractFetcherThread.scala:116)
Caused by: java.io.IOException: Connection to 2 was disconnected
2026-11-21 23:32:24,161 WARN org.apache.zookeeper.ClientCnxn: Session 0x100001cfbda0003 for server /127.0.0.1:57628 (LOG), dir=/tmp/T1/002/log of wO3YAKjxSgmPjHQzEeJeww
`
	want := []string{
		"ERROR kafka.server.ReplicaManager: [ReplicaManager broker=N] Error on partitions TOPIC",
		"org.apache.kafka.common.errors.OutOfOrderSequenceException",
		"Caused by: java.io.IOException",
		"WARN org.apache.zookeeper.ClientCnxn: Session N for server /N.N.N.N:N (...), dir=DIR of ID",
	}
	if got := complaints(log); !slices.Equal(got, want) {
		t.Errorf("complaints = %q\nwant %q", got, want)
	}
}
