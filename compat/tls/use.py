"""Uses a server over TLS with kazoo and prints what it finds, one line each.

Usage: use.py HOST:PORT CA [CERTIFICATE KEY]
"""

import sys

from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL

address, ca, certificate, key = (sys.argv[1:] + [None, None])[:4]
zk = KazooClient(hosts=address, use_ssl=True, ca=ca, certfile=certificate, keyfile=key)
zk.start(timeout=30)
zk.create("/kazoo", b"x" * 100000)
print("length", len(zk.get("/kazoo")[0]))
if certificate:
    zk.set_acls("/kazoo", CREATOR_ALL_ACL)
print("acl", [(a.perms, a.id.scheme, a.id.id) for a in zk.get_acls("/kazoo")[0]])
zk.delete("/kazoo")
zk.stop()
zk.close()
