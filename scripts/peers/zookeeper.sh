# Apache ZooKeeper 3.9.5: lib/*.jar is the classpath of the server, of the Java client and of
# the command-line tools; conf/ carries the logging configuration and goes in front of it.
fetch() {
	maven_jars "$files/pom.xml" "$out/lib"
	mkdir "$out/conf"
	cp "$files/logback.xml" "$out/conf/"
}
