/*
 * Uses the multi-threaded C client of ZooKeeper against one server.
 *
 * Usage: main HOST:PORT. Each test prints "ok NAME" or "FAIL NAME: TEXT"; the exit status is 1 if one
 * failed. The server must allow extended types and sessions of two seconds.
 *
 * main HOST:PORT ghost PATH TIMEOUT creates an ephemeral znode in a session of so many milliseconds, writes
 * the session's clientid_t to standard output and leaves without closing the session.
 */
#define THREADED
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <zookeeper/zookeeper.h>

enum {
	PATIENCE = 30, /* seconds for anything that a server has to do */
	TIMEOUT = 10000, /* milliseconds of a session */
	MAX_EVENTS = 64,
	MAX_PATH = 512,
};

static const char *program, *hosts;

/* The first failed check of a test ends it. Checks run on the main thread only. */
static jmp_buf failed;
static char failure[1024];

static void fail(int line, const char *format, ...)
{
	int n = snprintf(failure, sizeof failure, "line %d: ", line);
	va_list args;
	va_start(args, format);
	vsnprintf(failure + n, sizeof failure - n, format, args);
	va_end(args);
	longjmp(failed, 1);
}

#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__, "%s", #condition))
#define RC(call, want) check_rc(__LINE__, #call, (call), (want))
#define OK(call) RC(call, ZOK)
#define STRING(got, want) check_string(__LINE__, (got), (want))

static void check_rc(int line, const char *call, int got, int want)
{
	if (got != want)
		fail(line, "%s: %d %s, not %d %s", call, got, zerror(got), want, zerror(want));
}

static void check_string(int line, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		fail(line, "\"%s\", not \"%s\"", got, want);
}

/* One lock and one condition for everything that the client's threads report. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static struct timespec deadline(void)
{
	struct timespec at;
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += PATIENCE;
	return at;
}

/* Waits, with the lock held, until the int is at least want. */
static void await(int line, const int *value, int want, const char *what)
{
	struct timespec at = deadline();
	while (*value < want)
		if (pthread_cond_timedwait(&changed, &lock, &at) == ETIMEDOUT) {
			pthread_mutex_unlock(&lock);
			fail(line, "no %s within %d s", what, PATIENCE);
		}
}

/* What a watcher has seen. */
struct watch {
	int count, taken;
	struct {
		int type;
		char path[MAX_PATH];
	} events[MAX_EVENTS];
};

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context)
{
	struct watch *w = context;
	(void)zh;
	(void)state;
	/* Lost and restored connections are told to every watcher. */
	if (type == ZOO_SESSION_EVENT)
		return;
	pthread_mutex_lock(&lock);
	if (w->count < MAX_EVENTS) {
		w->events[w->count].type = type;
		snprintf(w->events[w->count].path, MAX_PATH, "%s", path);
		w->count++;
	}
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void expect_event(int line, struct watch *w, int type, const char *path)
{
	pthread_mutex_lock(&lock);
	await(line, &w->count, w->taken + 1, "event");
	int i = w->taken++;
	pthread_mutex_unlock(&lock);
	if (w->events[i].type != type || strcmp(w->events[i].path, path) != 0)
		fail(line, "event %d on %s, not %d on %s", w->events[i].type, w->events[i].path, type, path);
}

#define EVENT(w, type, path) expect_event(__LINE__, (w), (type), (path))

/* A session with the watch of the calls that only have a flag for it. */
struct session {
	zhandle_t *zh;
	int connected, expired, lost; /* how often */
	struct watch watch;
};

static void session_watcher(zhandle_t *zh, int type, int state, const char *path, void *context)
{
	struct session *s = context;
	if (type != ZOO_SESSION_EVENT) {
		watcher(zh, type, state, path, &s->watch);
		return;
	}
	pthread_mutex_lock(&lock);
	if (state == ZOO_CONNECTED_STATE)
		s->connected++;
	else if (state == ZOO_EXPIRED_SESSION_STATE)
		s->expired++;
	else if (state == ZOO_CONNECTING_STATE)
		s->lost++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void await_session(int line, int *what, int want, const char *name)
{
	pthread_mutex_lock(&lock);
	await(line, what, want, name);
	pthread_mutex_unlock(&lock);
}

/* Sessions are few and short, so a test that fails may leave its own. */
static struct session *open_at(const char *where, const clientid_t *id, int timeout)
{
	struct session *s = calloc(1, sizeof *s);
	s->zh = zookeeper_init(where, session_watcher, timeout, id, s, 0);
	CHECK(s->zh != NULL);
	return s;
}

static struct session *open_session(void)
{
	struct session *s = open_at(hosts, NULL, TIMEOUT);
	await_session(__LINE__, &s->connected, 1, "session");
	return s;
}

static void close_session(struct session *s)
{
	OK(zookeeper_close(s->zh));
	free(s);
}

/* Cuts every connection of this process to the server. */
static void drop(void)
{
	int port = atoi(strrchr(hosts, ':') + 1);
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_storage peer;
		socklen_t size = sizeof peer;
		if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0)
			continue;
		int there = peer.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&peer)->sin6_port
		                                       : ((struct sockaddr_in *)&peer)->sin_port;
		if (ntohs(there) == port)
			shutdown(fd, SHUT_RDWR);
	}
}

/* Repeats a call that may meet a lost connection. */
#define RETRY(rc, call)                                                                                      \
	do {                                                                                                 \
		time_t until = time(NULL) + PATIENCE;                                                        \
		while (((rc) = (call)) == ZCONNECTIONLOSS || (rc) == ZOPERATIONTIMEOUT) {                    \
			CHECK(time(NULL) < until);                                                           \
			usleep(10000);                                                                       \
		}                                                                                            \
	} while (0)

static struct session *c; /* of the running test */
static char root[MAX_PATH]; /* its znode */

/* One of some buffers with a path below the test's znode. */
static const char *at(const char *format, ...)
{
	static char buffers[8][MAX_PATH];
	static int next;
	char *buffer = buffers[next++ % 8];
	int n = snprintf(buffer, MAX_PATH, "%s", root);
	va_list args;
	va_start(args, format);
	vsnprintf(buffer + n, MAX_PATH - n, format, args);
	va_end(args);
	return buffer;
}

static int make(const char *path, int mode)
{
	return zoo_create(c->zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, mode, NULL, 0);
}

static void create_modes(void)
{
	char path[MAX_PATH];
	struct Stat stat;
	OK(zoo_create(c->zh, at("/p"), "x", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, path, sizeof path));
	STRING(path, at("/p"));
	OK(zoo_create2(c->zh, at("/e"), "12345", 5, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, path, sizeof path, &stat));
	CHECK(stat.ephemeralOwner == zoo_client_id(c->zh)->client_id);
	CHECK(stat.dataLength == 5 && stat.version == 0 && stat.czxid == stat.mzxid && stat.czxid == stat.pzxid);
	OK(zoo_create(c->zh, at("/s"), NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL, path, sizeof path));
	STRING(path, at("/s0000000002"));
	OK(zoo_create(c->zh, at("/es"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL_SEQUENTIAL, path, sizeof path));
	STRING(path, at("/es0000000003"));
	OK(zoo_create2(c->zh, at("/c"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_CONTAINER, path, sizeof path, &stat));
	STRING(path, at("/c"));
	CHECK(stat.ephemeralOwner == 0);
	OK(zoo_create2_ttl(c->zh, at("/t"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 3600000, path, sizeof path, &stat));
	STRING(path, at("/t"));
	CHECK(stat.ephemeralOwner == 0);
	OK(zoo_create_ttl(c->zh, at("/ts"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL, 3600000, path, sizeof path));
	STRING(path, at("/ts0000000006"));
	OK(make(at("/\xc3\xa4\xe4\xb8\xad"), ZOO_PERSISTENT));

	RC(make(at("/p"), ZOO_PERSISTENT), ZNODEEXISTS);
	RC(make(at("/none/c"), ZOO_PERSISTENT), ZNONODE);
	RC(make(at("/e/c"), ZOO_PERSISTENT), ZNOCHILDRENFOREPHEMERALS);
	RC(make(at("//"), ZOO_PERSISTENT), ZBADARGUMENTS);
	RC(zoo_delete(c->zh, root, -1), ZNOTEMPTY);
	RC(zoo_delete(c->zh, at("/p"), 1), ZBADVERSION);
	OK(zoo_delete(c->zh, at("/p"), 0));
	RC(zoo_delete(c->zh, at("/p"), -1), ZNONODE);
}

static void data(void)
{
	struct Stat stat, set;
	OK(zoo_exists(c->zh, root, 0, &stat));
	CHECK(stat.version == 0);
	OK(zoo_set2(c->zh, root, "one", 3, 0, &set));
	CHECK(set.version == 1 && set.mzxid > set.czxid && set.dataLength == 3);
	RC(zoo_set(c->zh, root, "two", 3, 0), ZBADVERSION);
	RC(zoo_set(c->zh, at("/none"), "", 0, -1), ZNONODE);
	char buffer[16];
	int size = sizeof buffer;
	OK(zoo_get(c->zh, root, 0, buffer, &size, &stat));
	CHECK(size == 3 && memcmp(buffer, "one", 3) == 0);
	CHECK(stat.mzxid == set.mzxid && stat.czxid == set.czxid && stat.pzxid == set.pzxid && stat.version == 1);
	CHECK(stat.mtime == set.mtime && stat.ctime == set.ctime && stat.mtime >= stat.ctime && stat.dataLength == 3);

	/* No data is not the same as empty data; both are allowed. */
	OK(zoo_set(c->zh, root, NULL, -1, -1));
	size = sizeof buffer;
	OK(zoo_get(c->zh, root, 0, buffer, &size, NULL));
	CHECK(size == -1);
	OK(zoo_set(c->zh, root, "", 0, -1));
	size = sizeof buffer;
	OK(zoo_get(c->zh, root, 0, buffer, &size, NULL));
	CHECK(size == 0);

	int large = (1 << 20) - 1024;
	char *out = malloc(large), *in = malloc(large);
	for (int i = 0; i < large; i++)
		out[i] = (char)(i * 31);
	OK(zoo_set(c->zh, root, out, large, -1));
	size = large;
	OK(zoo_get(c->zh, root, 0, in, &size, NULL));
	CHECK(size == large && memcmp(in, out, large) == 0);
	free(in);
	free(out);
}

static void too_large(void)
{
	int size = 2 << 20, rc;
	char *out = calloc(1, size);
	RC(zoo_set(c->zh, root, out, size, -1), ZCONNECTIONLOSS);
	free(out);
	RETRY(rc, zoo_exists(c->zh, root, 0, NULL));
	OK(rc);
}

static void children(void)
{
	for (int i = 0; i < 50; i++)
		OK(make(at("/child-%02d", i), ZOO_PERSISTENT));
	struct String_vector names;
	struct Stat stat;
	OK(zoo_get_children2(c->zh, root, 0, &names, &stat));
	CHECK(names.count == 50 && stat.numChildren == 50 && stat.cversion == 50);
	deallocate_String_vector(&names);
	OK(zoo_get_children(c->zh, at("/child-07"), 0, &names));
	CHECK(names.count == 0);
	deallocate_String_vector(&names);
	RC(zoo_get_children(c->zh, at("/none"), 0, &names), ZNONODE);
}

static void watches(void)
{
	struct session *other = open_session();
	const char *node = at("/n");
	static struct watch exists, get, list, gone;
	struct String_vector names;
	char buffer[8];
	int size = sizeof buffer;

	RC(zoo_wexists(c->zh, node, watcher, &exists, NULL), ZNONODE);
	OK(zoo_wget_children(c->zh, root, watcher, &list, &names));
	deallocate_String_vector(&names);
	OK(zoo_create(other->zh, node, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
	EVENT(&exists, ZOO_CREATED_EVENT, node);
	EVENT(&list, ZOO_CHILD_EVENT, root);

	OK(zoo_wget(c->zh, node, watcher, &get, buffer, &size, NULL));
	OK(zoo_wexists(c->zh, node, watcher, &exists, NULL));
	OK(zoo_set(other->zh, node, "1", 1, -1));
	EVENT(&get, ZOO_CHANGED_EVENT, node);
	EVENT(&exists, ZOO_CHANGED_EVENT, node);

	struct Stat stat;
	OK(zoo_wget_children2(c->zh, node, watcher, &gone, &names, &stat));
	deallocate_String_vector(&names);
	OK(zoo_exists(c->zh, node, 1, &stat)); /* the session's own watcher */
	OK(zoo_delete(other->zh, node, -1));
	EVENT(&gone, ZOO_DELETED_EVENT, node);
	EVENT(&c->watch, ZOO_DELETED_EVENT, node);
	CHECK(exists.count == 2 && get.count == 1 && list.count == 1 && gone.count == 1 && c->watch.count == 1);
	close_session(other);
}

static void remove_watches(void)
{
	const char *node = at("/n");
	static struct watch one, two;
	OK(make(node, 0));
	RC(zoo_remove_watches(c->zh, node, ZWATCHTYPE_ANY, watcher, &one, 0), ZNOWATCHER);
	char buffer[8];
	int size = sizeof buffer;
	OK(zoo_wget(c->zh, node, watcher, &one, buffer, &size, NULL));
	OK(zoo_wexists(c->zh, node, watcher, &two, NULL));
	OK(zoo_remove_watches(c->zh, node, ZWATCHTYPE_DATA, watcher, &one, 0));
	OK(zoo_set(c->zh, node, "1", 1, -1));
	EVENT(&two, ZOO_CHANGED_EVENT, node);
	CHECK(one.count == 0 || one.events[0].type == ZOO_NOTWATCHING_EVENT);
	struct String_vector names;
	OK(zoo_wget_children(c->zh, node, watcher, &two, &names));
	deallocate_String_vector(&names);
	OK(zoo_remove_all_watches(c->zh, node, ZWATCHTYPE_CHILD, 0));
	RC(zoo_remove_all_watches(c->zh, node, ZWATCHTYPE_ANY, 0), ZNOWATCHER);
}

static void multi(void)
{
	const char *a = at("/a"), *b = at("/b"), *s = at("/a/s");
	char created[MAX_PATH], sequence[MAX_PATH];
	struct Stat stat;
	zoo_op_t ops[6];
	zoo_op_result_t results[6];
	zoo_create_op_init(&ops[0], a, "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, created, sizeof created);
	zoo_create_op_init(&ops[1], s, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL, sequence, sizeof sequence);
	zoo_set_op_init(&ops[2], a, "2", 1, 0, &stat);
	zoo_check_op_init(&ops[3], a, 1);
	zoo_create_op_init(&ops[4], b, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
	zoo_delete_op_init(&ops[5], b, 0);
	OK(zoo_multi(c->zh, 6, ops, results));
	for (int i = 0; i < 6; i++)
		OK(results[i].err);
	STRING(created, a);
	STRING(sequence, at("/a/s0000000000"));
	CHECK(stat.version == 1);

	zoo_set_op_init(&ops[0], a, "3", 1, -1, &stat);
	zoo_check_op_init(&ops[1], a, 1);
	zoo_delete_op_init(&ops[2], b, -1);
	RC(zoo_multi(c->zh, 3, ops, results), ZBADVERSION);
	OK(results[0].err);
	RC(results[1].err, ZBADVERSION);
	RC(results[2].err, ZRUNTIMEINCONSISTENCY);
	char buffer[8];
	int size = sizeof buffer;
	OK(zoo_get(c->zh, a, 0, buffer, &size, NULL));
	CHECK(size == 1 && buffer[0] == '2');
	OK(zoo_multi(c->zh, 0, ops, results));
}

/* Completions count here; each checks its own answer and the order. */
static struct {
	int done, bad, next;
} async;

static void completed(int good)
{
	pthread_mutex_lock(&lock);
	async.bad += !good;
	async.done++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void on_created(int rc, const char *path, const void *context)
{
	char want[16];
	int i = (int)(long)context;
	snprintf(want, sizeof want, "/%04d", i);
	completed(rc == ZOK && i == async.next++ && strcmp(strrchr(path, '/'), want) == 0);
}

static void on_data(int rc, const char *value, int size, const struct Stat *stat, const void *context)
{
	char want[16];
	int i = (int)(long)context, n = snprintf(want, sizeof want, "%d", i);
	completed(rc == ZOK && i == async.next++ && size == n && memcmp(value, want, n) == 0 && stat->dataLength == n);
}

static void on_stat(int rc, const struct Stat *stat, const void *context)
{
	completed(rc == (int)(long)context && (rc != ZOK || stat->version == 1));
}

static void on_children(int rc, const struct String_vector *names, const struct Stat *stat, const void *context)
{
	completed(rc == ZOK && names->count == (int)(long)context && stat->numChildren == names->count);
}

static void on_acl(int rc, struct ACL_vector *acl, struct Stat *stat, const void *context)
{
	(void)context;
	completed(rc == ZOK && acl->count == 1 && acl->data[0].perms == ZOO_PERM_ALL && strcmp(acl->data[0].id.scheme, "world") == 0 && stat->aversion == 0);
}

static void on_string(int rc, const char *value, const void *context)
{
	completed(rc == ZOK && strcmp(value, context) == 0);
}

static void on_void(int rc, const void *context)
{
	completed(rc == (int)(long)context);
}

static void asynchronous(void)
{
	enum { COUNT = 500 };
	memset(&async, 0, sizeof async);
	for (long i = 0; i < COUNT; i++) {
		char value[16];
		int n = snprintf(value, sizeof value, "%ld", i);
		OK(zoo_acreate(c->zh, at("/%04ld", i), value, n, &ZOO_OPEN_ACL_UNSAFE, 0, on_created, (void *)i));
	}
	await_session(__LINE__, &async.done, COUNT, "answers to creates");
	CHECK(async.bad == 0);
	async.next = 0;
	for (long i = 0; i < COUNT; i++)
		OK(zoo_aget(c->zh, at("/%04ld", i), 0, on_data, (void *)i));
	await_session(__LINE__, &async.done, 2 * COUNT, "answers to gets");
	CHECK(async.bad == 0);

	memset(&async, 0, sizeof async);
	OK(zoo_aset(c->zh, at("/0000"), "", 0, 0, on_stat, (void *)ZOK));
	OK(zoo_aset(c->zh, at("/0000"), "", 0, 0, on_stat, (void *)(long)ZBADVERSION));
	OK(zoo_aexists(c->zh, at("/none"), 0, on_stat, (void *)(long)ZNONODE));
	OK(zoo_aget_children2(c->zh, root, 0, on_children, (void *)(long)COUNT));
	OK(zoo_aget_acl(c->zh, root, on_acl, NULL));
	OK(zoo_async(c->zh, root, on_string, root));
	OK(zoo_adelete(c->zh, at("/0001"), 0, on_void, (void *)ZOK));
	OK(zoo_adelete(c->zh, at("/0001"), 0, on_void, (void *)(long)ZNONODE));
	zoo_op_t ops[2];
	zoo_op_result_t results[2];
	const char *gone[2] = {at("/0002"), at("/0003")};
	zoo_delete_op_init(&ops[0], gone[0], 0);
	zoo_delete_op_init(&ops[1], gone[1], 0);
	OK(zoo_amulti(c->zh, 2, ops, results, on_void, (void *)ZOK));
	await_session(__LINE__, &async.done, 9, "answers");
	CHECK(async.bad == 0);
}

static void acls(void)
{
	struct session *alice = open_session(), *mallory = open_session();
	const char *secret = at("/secret");
	memset(&async, 0, sizeof async);
	OK(zoo_add_auth(alice->zh, "digest", "alice:pw", 8, on_void, (void *)ZOK));
	OK(zoo_add_auth(mallory->zh, "digest", "alice:no", 8, on_void, (void *)ZOK));
	await_session(__LINE__, &async.done, 2, "authentication");
	CHECK(async.bad == 0);

	OK(zoo_create(alice->zh, secret, "x", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
	struct ACL_vector acl;
	struct Stat stat;
	OK(zoo_get_acl(alice->zh, secret, &acl, &stat));
	CHECK(acl.count == 1 && acl.data[0].perms == ZOO_PERM_ALL);
	STRING(acl.data[0].id.scheme, "digest");
	CHECK(strncmp(acl.data[0].id.id, "alice:", 6) == 0 && strlen(acl.data[0].id.id) == 6 + 28);

	char buffer[8];
	int size = sizeof buffer;
	RC(zoo_get(mallory->zh, secret, 0, buffer, &size, NULL), ZNOAUTH);
	RC(zoo_set(mallory->zh, secret, "", 0, -1), ZNOAUTH);
	RC(zoo_create(mallory->zh, at("/secret/c"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZNOAUTH);
	RC(zoo_set_acl(mallory->zh, secret, -1, &ZOO_OPEN_ACL_UNSAFE), ZNOAUTH);
	OK(zoo_set_acl(alice->zh, secret, 0, &ZOO_READ_ACL_UNSAFE));
	size = sizeof buffer;
	OK(zoo_get(mallory->zh, secret, 0, buffer, &size, NULL));
	RC(zoo_set(alice->zh, secret, "", 0, -1), ZNOAUTH);
	deallocate_ACL_vector(&acl);

	struct ACL_vector none = {0, NULL};
	RC(zoo_create(c->zh, at("/n"), "", 0, &none, 0, NULL, 0), ZINVALIDACL);
	RC(zoo_create(c->zh, at("/n"), "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0), ZINVALIDACL);

	/* An unknown scheme ends the session. */
	memset(&async, 0, sizeof async);
	OK(zoo_add_auth(mallory->zh, "nobody", "knows", 5, on_void, (void *)(long)ZAUTHFAILED));
	await_session(__LINE__, &async.done, 1, "refusal");
	CHECK(async.bad == 0);
	CHECK(zoo_state(mallory->zh) == ZOO_AUTH_FAILED_STATE);
	close_session(alice);
	zookeeper_close(mallory->zh);
}

static void chroot_path(void)
{
	char where[MAX_PATH * 2], path[MAX_PATH];
	snprintf(where, sizeof where, "%s%s", hosts, root);
	struct session *inner = open_at(where, NULL, TIMEOUT);
	await_session(__LINE__, &inner->connected, 1, "session");
	static struct watch w;
	RC(zoo_wexists(inner->zh, "/x", watcher, &w, NULL), ZNONODE);
	OK(zoo_create(inner->zh, "/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path));
	STRING(path, "/x");
	EVENT(&w, ZOO_CREATED_EVENT, "/x");
	OK(zoo_exists(c->zh, at("/x"), 0, NULL));
	close_session(inner);
}

static void reconnect(void)
{
	struct session *other = open_session();
	static struct watch get, exists, list;
	const char *node = at("/n"), *later = at("/later");
	int64_t id = zoo_client_id(c->zh)->client_id;
	struct Stat stat;
	struct String_vector names;
	int rc, size = 0;
	OK(make(node, 0));
	OK(make(at("/e"), ZOO_EPHEMERAL));
	OK(zoo_wget(c->zh, node, watcher, &get, NULL, &size, NULL));
	RC(zoo_wexists(c->zh, later, watcher, &exists, NULL), ZNONODE);
	OK(zoo_wget_children(c->zh, root, watcher, &list, &names));
	deallocate_String_vector(&names);
	for (int i = 1; i <= 3; i++) {
		drop();
		await_session(__LINE__, &c->connected, 1 + i, "new connection");
		await_session(__LINE__, &other->connected, 1 + i, "new connection");
	}
	CHECK(zoo_client_id(c->zh)->client_id == id && zoo_recv_timeout(c->zh) == TIMEOUT);
	RETRY(rc, zoo_set(other->zh, node, "1", 1, -1));
	OK(rc);
	EVENT(&get, ZOO_CHANGED_EVENT, node);
	OK(zoo_create(other->zh, later, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
	EVENT(&exists, ZOO_CREATED_EVENT, later);
	EVENT(&list, ZOO_CHILD_EVENT, root);
	OK(zoo_exists(c->zh, at("/e"), 0, &stat));
	CHECK(stat.ephemeralOwner == id);
	close_session(other);
}

/* The identity of a session that a process has left behind with an ephemeral znode. */
static clientid_t ghost_session(const char *path, const char *timeout)
{
	int ends[2], status;
	clientid_t id;
	CHECK(pipe(ends) == 0);
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		execl(program, program, hosts, "ghost", path, timeout, NULL);
		_exit(127);
	}
	close(ends[1]);
	ssize_t n = read(ends[0], &id, sizeof id);
	close(ends[0]);
	CHECK(waitpid(child, &status, 0) == child && status == 0 && n == sizeof id);
	return id;
}

static int ghost(const char *path, int timeout)
{
	if (setjmp(failed)) {
		fprintf(stderr, "%s\n", failure);
		return 1;
	}
	c = open_at(hosts, NULL, timeout);
	await_session(__LINE__, &c->connected, 1, "session");
	OK(make(path, ZOO_EPHEMERAL));
	CHECK(write(STDOUT_FILENO, zoo_client_id(c->zh), sizeof(clientid_t)) == sizeof(clientid_t));
	_exit(0);
}

static void reattach(void)
{
	static struct watch w;
	const char *node = at("/e");
	clientid_t id = ghost_session(node, "10000");
	OK(zoo_wexists(c->zh, node, watcher, &w, NULL));
	clientid_t wrong = id;
	wrong.passwd[0] ^= 1;
	struct session *thief = open_at(hosts, &wrong, TIMEOUT);
	await_session(__LINE__, &thief->expired, 1, "refusal of a wrong password");
	RC(zoo_exists(thief->zh, root, 0, NULL), ZINVALIDSTATE);
	zookeeper_close(thief->zh);

	struct session *heir = open_at(hosts, &id, TIMEOUT);
	await_session(__LINE__, &heir->connected, 1, "session taken over");
	CHECK(zoo_client_id(heir->zh)->client_id == id.client_id);
	struct Stat stat;
	OK(zoo_exists(heir->zh, node, 0, &stat));
	CHECK(stat.ephemeralOwner == id.client_id && w.count == 0);
	close_session(heir);
	EVENT(&w, ZOO_DELETED_EVENT, node);

	struct session *late = open_at(hosts, &id, TIMEOUT);
	await_session(__LINE__, &late->expired, 1, "refusal of a closed session");
	zookeeper_close(late->zh);
}

static void expiry(void)
{
	static struct watch w;
	const char *node = at("/e");
	clientid_t id = ghost_session(node, "2000");
	struct Stat stat;
	OK(zoo_wexists(c->zh, node, watcher, &w, &stat));
	CHECK(stat.ephemeralOwner == id.client_id);
	EVENT(&w, ZOO_DELETED_EVENT, node);
	RC(zoo_exists(c->zh, node, 0, NULL), ZNONODE);
}

static void configuration(void)
{
	char buffer[4096];
	int size = sizeof buffer;
	struct Stat stat;
	OK(zoo_getconfig(c->zh, 0, buffer, &size, &stat));
	CHECK(size <= 0 && stat.version == 0);
	size = sizeof buffer;
	RC(zoo_reconfig(c->zh, NULL, "1", NULL, -1, buffer, &size, &stat), ZRECONFIGDISABLED);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"create_modes", create_modes},
	{"data", data},
	{"too_large", too_large},
	{"children", children},
	{"watches", watches},
	{"remove_watches", remove_watches},
	{"multi", multi},
	{"asynchronous", asynchronous},
	{"acls", acls},
	{"chroot", chroot_path},
	{"reconnect", reconnect},
	{"reattach", reattach},
	{"expiry", expiry},
	{"configuration", configuration},
};

int main(int argc, char **argv)
{
	static int bad;
	program = argv[0];
	if (argc != 2 && argc != 5) {
		fprintf(stderr, "usage: %s HOST:PORT\n", program);
		return 2;
	}
	hosts = argv[1];
	zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
	if (argc == 5)
		return ghost(argv[3], atoi(argv[4]));
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
		if (setjmp(failed) == 0) {
			snprintf(root, sizeof root, "/c-%s-%d", tests[i].name, (int)getpid());
			c = open_session();
			OK(make(root, ZOO_PERSISTENT));
			tests[i].run();
			close_session(c);
			printf("ok %s\n", tests[i].name);
		} else {
			printf("FAIL %s: %s\n", tests[i].name, failure);
			bad = 1;
		}
		fflush(stdout);
	}
	return bad;
}
