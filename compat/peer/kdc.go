package peer

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quoll/sasl"
)

// Realm is the realm of a [KDC].
const Realm = "QUOLL.TEST"

// KDC is one of MIT Kerberos on the loopback interface, with its own database, that ends with the test.
type KDC struct {
	dir, usr string
	env      []string
}

// StartKDC makes a realm with the principals, each with a keytab of the name of its first part.
func StartKDC(t testing.TB, principals ...string) *KDC {
	t.Helper()
	root, err := Path("krb5")
	Check(t, err)
	k := &KDC{dir: t.TempDir(), usr: filepath.Join(root, "usr")}
	libs, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-*"))
	Check(t, err)
	more, err := filepath.Glob(filepath.Join(root, "lib/*-linux-*"))
	Check(t, err)
	if len(libs) == 0 {
		t.Fatal("no libraries in " + root)
	}
	port, err := FreePort()
	Check(t, err)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	k.write(t, "krb5.conf", fmt.Sprintf(`[libdefaults]
	default_realm = %s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	rdns = false
	udp_preference_limit = 1
[realms]
	%s = {
		kdc = %s
	}
[domain_realm]
	localhost = %s
`, Realm, Realm, addr, Realm))
	k.write(t, "kdc.conf", fmt.Sprintf(`[kdcdefaults]
	kdc_listen = %s
	kdc_tcp_listen = %s
[realms]
	%s = {
		database_name = %s
		key_stash_file = %s
		supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal aes256-cts-hmac-sha384-192:normal aes128-cts-hmac-sha256-128:normal
	}
[dbmodules]
	db_module_dir = %s
[logging]
	kdc = STDERR
`, addr, addr, Realm, k.File("principal"), k.File("stash"), filepath.Join(libs[0], "krb5/plugins/kdb")))
	k.env = []string{"KRB5_CONFIG=" + k.File("krb5.conf"), "KRB5_KDC_PROFILE=" + k.File("kdc.conf"), "LD_LIBRARY_PATH=" + strings.Join(append(libs, more...), ":")}
	k.Tool(t, "sbin/kdb5_util", "create", "-s", "-r", Realm, "-P", "master")
	for _, p := range principals {
		name, _, _ := strings.Cut(p, "/")
		k.Tool(t, "sbin/kadmin.local", "-r", Realm, "-q", "addprinc -randkey "+p)
		k.Tool(t, "sbin/kadmin.local", "-r", Realm, "-q", "ktadd -k "+k.File(name+".keytab")+" "+p)
	}
	server := &Process{
		Args: []string{filepath.Join(k.usr, "sbin/krb5kdc"), "-n", "-r", Realm}, Env: k.env, Dir: k.dir, LogPath: k.File("kdc.log"),
		Ready: func() error {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err
		},
	}
	t.Cleanup(func() {
		server.Kill()
		ShowLog(t, "the KDC", server)
	})
	Check(t, server.Start())
	return k
}

// File is the path of a file of its: krb5.conf, and a keytab for each principal.
func (k *KDC) File(name string) string { return filepath.Join(k.dir, name) }

func (k *KDC) write(t testing.TB, name, text string) {
	t.Helper()
	Check(t, os.WriteFile(k.File(name), []byte(text), 0o600))
}

// Tool runs a program of Kerberos.
func (k *KDC) Tool(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(k.usr, name), args...)
	cmd.Env = append(os.Environ(), k.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
}

// Section is one of a JAAS file, for a principal.
func (k *KDC) Section(name, principal string) string {
	first, _, _ := strings.Cut(principal, "/")
	return fmt.Sprintf("%s {\n  com.sun.security.auth.module.Krb5LoginModule required\n    useKeyTab=true keyTab=%q storeKey=true useTicketCache=false principal=%q;\n};\n", name, k.File(first+".keytab"), principal)
}

// Exchange is a client's side of an exchange with a service, as the section Client of a JAAS file says, and with the settings of a krb5.conf.
func (k *KDC) Exchange(conf, section, service string) (sasl.Exchange, error) {
	kerberos, err := sasl.ReadKerberos(conf)
	if err != nil {
		return nil, err
	}
	file, err := sasl.ParseFile("client.conf", section, func(string) (string, bool) { return "", false })
	if err != nil {
		return nil, err
	}
	login, err := file.Login("Client", kerberos)
	if err != nil {
		return nil, err
	}
	return login.Client("", "", service)
}
