# Apache Kafka 3.9.2, the last line that keeps its metadata in ZooKeeper: lib/*.jar is the
# classpath of the broker (kafka.Kafka), the tools (org.apache.kafka.tools.*) and the clients.
fetch() {
	maven_jars "$files/pom.xml" "$out/lib"
}
