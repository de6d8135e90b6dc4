# Servers of Apache ZooKeeper before 3.9, members of mixed ensembles: VERSION/lib/*.jar is the classpath and VERSION/conf
# carries the logging configuration, the same as that of 3.9.5.
fetch() {
	local version
	for version in 3.4.14 3.5.10 3.6.4 3.8.4; do
		sed "s/VERSION/$version/" "$files/pom.xml" >"$work/$version.xml"
		maven_jars "$work/$version.xml" "$out/$version/lib"
		mkdir "$out/$version/conf"
		cp "$here/peers/zookeeper/logback.xml" "$out/$version/conf/"
	done
}
