#!/usr/bin/env python3
"""Records one conversation between a MySQL client and a server.

    record.py LISTEN_HOST:PORT SERVER_HOST:PORT FILE

Waits for one client, relays until either side closes, and writes what each said: records of one byte
(">" from the client, "<" from the server), the length (4 bytes, little endian) and that many bytes.
"""

import select
import socket
import struct
import sys


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main():
    listen, server, path = sys.argv[1:]
    with socket.create_server(address(listen)) as door:
        client, _ = door.accept()
    node = socket.create_connection(address(server))
    sides = {client: (b">", node), node: (b"<", client)}
    with open(path, "wb") as capture:
        while True:
            for side in select.select(list(sides), [], [])[0]:
                mark, other = sides[side]
                data = side.recv(1 << 16)
                if not data:
                    return
                capture.write(mark + struct.pack("<I", len(data)) + data)
                other.sendall(data)


main()
