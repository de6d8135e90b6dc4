"""Authenticates with DIGEST-MD5 and prints what it finds, then loses its connection and goes on with its session.

Usage: use.py HOST:PORT USER PASSWORD PATH
"""

import socket
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError
from kazoo.security import CREATOR_ALL_ACL

address, user, password, path = sys.argv[1:]
zk = KazooClient(hosts=address, sasl_options={"mechanism": "DIGEST-MD5", "username": user, "password": password})
try:
    zk.start(timeout=30)
    zk.create(path, b"x", acl=CREATOR_ALL_ACL)
except AuthFailedError:
    print("AuthFailed")
    sys.exit(0)
print("acl", [(a.perms, a.id.scheme, a.id.id) for a in zk.get_acls(path)[0]])
zk.set(path, b"y")
session = zk.client_id[0]
zk.create(path + "/e", ephemeral=True)
zk._connection._socket.shutdown(socket.SHUT_RDWR)
zk.retry(zk.set, path, b"z")
print("renewed", zk.client_id[0] == session, zk.exists(path + "/e").ephemeralOwner == session)
zk.stop()
zk.close()
