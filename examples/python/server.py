"""A plain HTTP server from Python's standard library.

Nothing in here knows about Lambda: the lambdapeer binary beside it does that part.
"""

import json
import os
import select
import signal
import socket
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CHUNK = 64 * 1024


class Environment:
    """What this process knows of itself. It lives as long as its Lambda environment, over many requests."""

    def __init__(self):
        self.name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME") or str(uuid.uuid4())
        self.in_flight = 0
        self.served = 0
        self.changed = threading.Condition()

    def __enter__(self):
        with self.changed:
            self.in_flight += 1

    def __exit__(self, *_):
        with self.changed:
            self.in_flight -= 1
            self.served += 1
            self.changed.notify_all()

    def state(self):
        with self.changed:
            return {
                "language": "python",
                "environment": self.name,
                "in_flight": self.in_flight,
                "served": self.served,
            }

    def wait_until_idle(self, timeout):
        with self.changed:
            self.changed.wait_for(lambda: self.in_flight == 0, timeout)


environment = Environment()


class BadQuery(Exception):
    """A query parameter that cannot be used; its text says why."""


class Handler(BaseHTTPRequestHandler):
    """One instance serves one connection, in a thread of its own."""

    protocol_version = "HTTP/1.1"  # connections are kept and used again
    disable_nagle_algorithm = True  # or the body waits for the client to acknowledge the head

    def do_GET(self):
        url = urlsplit(self.path)
        self.query = parse_qs(url.query, keep_blank_values=True)
        if url.path == "/":
            self.ready()
            return
        with environment:
            self.body = self.read_body()
            try:
                self.route(url.path)
                for _ in self.body:  # what the route left unread would look like the next request
                    pass
            except ConnectionError:  # the client left: nobody to tell
                self.close_connection = True

    do_POST = do_PUT = do_GET

    def route(self, path):
        try:
            self.routes.get(path, Handler.not_found)(self)
        except BadQuery as error:
            self.answer(400, error=str(error))

    def ready(self):
        """The readiness check: lambdapeer sends no request before this answers."""
        self.send_response(204)
        self.end_headers()

    def hello(self):
        self.answer(200, message="Hello from Python")

    def sleep(self):
        ms = self.whole("ms", default=100, most=60_000)
        self.pause(ms / 1000)
        self.answer(200, slept_ms=ms)

    def echo(self):
        """Sends the body back while it arrives: it may be larger than memory."""
        self.send_response(200)
        self.send_header("Content-Type", self.headers.get("Content-Type", "application/octet-stream"))
        length = self.headers.get("Content-Length")
        if length is None:
            self.start_chunks()
            for piece in self.body:
                self.write_chunk(piece)
            self.write_chunk(b"")
        else:
            self.send_header("Content-Length", length)
            self.end_headers()
            for piece in self.body:
                self.wfile.write(piece)

    def stream(self):
        events = self.whole("n", default=5, most=1000)
        ms = self.whole("ms", default=500, most=60_000)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.start_chunks()
        for event in range(1, events + 1):
            if event > 1:
                self.pause(ms / 1000)
            data = json.dumps({"event": event, **environment.state()})
            self.write_chunk(f"data: {data}\n\n".encode())
        self.write_chunk(b"")

    def not_found(self):
        self.answer(404, error="no such path, try one of / " + " ".join(self.routes))

    routes = {"/hello": hello, "/sleep": sleep, "/echo": echo, "/stream": stream}

    def pause(self, seconds):
        """Waits. Raises ConnectionError if the client leaves first: its connection then has an end to read."""
        until = time.monotonic() + seconds
        readable, _, _ = select.select([self.connection], [], [], seconds)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise ConnectionError("the client left")
        time.sleep(max(0, until - time.monotonic()))

    def answer(self, status, **body):
        payload = json.dumps({**body, **environment.state()}).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def whole(self, name, default, most):
        """Returns a query parameter that must be a whole number from 0 to most."""
        text = self.query.get(name, [str(default)])[0]
        if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) > most:
            raise BadQuery(f"{name}: must be a whole number from 0 to {most}, got {json.dumps(text)}")
        return int(text)

    def read_body(self):
        """Yields the request's body in pieces. http.server leaves the framing to us."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield from self.read_exactly(size)
                self.rfile.readline()  # the end of the chunk
            while self.rfile.readline().strip():  # trailers
                pass
        else:
            yield from self.read_exactly(int(self.headers.get("Content-Length", 0)))

    def read_exactly(self, size):
        while size > 0:
            piece = self.rfile.read1(min(size, CHUNK))
            if not piece:
                raise ConnectionError("the client left in the middle of its body")
            size -= len(piece)
            yield piece

    def start_chunks(self):
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def write_chunk(self, piece):
        """Writes one piece of an answer of unknown length; an empty one ends it."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def log_message(self, *_):
        pass  # a line per request says little and costs time


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that wait to be accepted; the default of 5 drops bursts


def main():
    server = Server(("", int(os.environ.get("PORT", "8080"))), Handler)

    def stop(*_):
        """On SIGTERM, answer what is in flight, then leave."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # we are leaving already
        threading.Thread(target=server.shutdown).start()  # it waits for serve_forever, which is below us here

    signal.signal(signal.SIGTERM, stop)
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    environment.wait_until_idle(timeout=10)


if __name__ == "__main__":
    main()
