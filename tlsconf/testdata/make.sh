#!/bin/sh
# Makes the stores of this directory anew with keytool. They are for tests alone; the certificates are good for a hundred years.
set -eu
cd "$(dirname "$0")"
rm -f ./*.p12 ./*.jks ./*.pem
kt() { keytool "$@" -storepass changeit -noprompt; }
pair() { # file, type, common name
	kt -genkeypair -keystore "$1" -storetype "$2" -alias key -keyalg EC -dname "CN=$3" -keypass changeit -validity 36500 -ext SAN=IP:127.0.0.1
	kt -exportcert -rfc -keystore "$1" -alias key -file "$1.pem"
}
pair server.p12 PKCS12 server
pair client.p12 PKCS12 client-p12
pair client.jks JKS client-jks
for name in client.p12 client.jks; do
	kt -importcert -keystore trust-clients.p12 -storetype PKCS12 -alias "$name" -file "$name.pem"
done
kt -importcert -keystore trust-server.jks -storetype JKS -alias server -file server.p12.pem
# The key with PBES2, as a key store in PEM has it.
openssl pkcs12 -in server.p12 -passin pass:changeit -nodes -nocerts | openssl pkcs8 -topk8 -v2 aes256 -v2prf hmacWithSHA256 -passout pass:changeit -out server.pem
cat server.p12.pem >> server.pem
