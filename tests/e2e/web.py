"""A web server for a folder. Python's own looks up the name of its address
first, which takes as long as a resolver does that nobody answers.

web.py ADDRESS PORT FOLDER
"""
import functools
import http.server
import socket
import socketserver
import sys


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, address, port, folder,
                 handler=http.server.SimpleHTTPRequestHandler):
        self.address_family = socket.AF_INET6 if ":" in address \
            else socket.AF_INET
        super().__init__((address, port),
                         functools.partial(handler, directory=folder))

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


if __name__ == "__main__":
    Server(sys.argv[1], int(sys.argv[2]), sys.argv[3]).serve_forever()
