# Curator 5.9.0 on the Java client 3.9.5: lib/*.jar is a complete classpath for client programs.
fetch() {
	maven_jars "$files/pom.xml" "$out/lib"
}
