"""The data path: a FastCGI server for WSGI applications.

One thread for each connection, one request at a time on it, as the server
sends them. What a client does not take makes send() wait, and so the
application; what the application does not read waits at the client.
"""

import logging
import socket
import struct
import sys
import threading
import time
from urllib.parse import unquote_to_bytes, urlsplit

log = logging.getLogger("fastcgi")

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = 1, 2, 3, 4, 5, 6
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
HEADER = struct.Struct("!BBHHBx")  # version, type, request ID, length, padding
KEEP_CONN = 1
RESPONDER, UNKNOWN_ROLE = 1, 3
MOST_PARAMS = 1 << 20  # bytes; the server sends less


class Gone(Exception):
    """The client has left, or what it sends is no FastCGI."""


class Server:
    """Serves application on listener until stop."""

    def __init__(self, listener, application, places):
        self.application = application
        self._listener = listener
        # The pool has at most `places` connections; some may be on their way out.
        self._room = threading.BoundedSemaphore(2 * places)
        self._changed = threading.Condition()
        self._connections = set()
        self._stopping = False
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self, within):
        """Lets running requests go on for `within` seconds, then ends all."""
        deadline = time.monotonic() + within
        with self._changed:
            self._stopping = True
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            for c in self._connections:
                if not c.busy:
                    c.hang_up()
            while any(c.busy for c in self._connections):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            for c in self._connections:
                c.hang_up()
        self._listener.close()

    def _accept(self):
        while True:
            self._room.acquire()
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # stopped
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        c = Connection(sock)
        try:
            with self._changed:
                self._connections.add(c)
            while self._serve_one(c):
                pass
        except Gone:
            pass  # nobody is left to be told
        finally:
            with self._changed:
                self._connections.discard(c)
                c.busy = False
                self._changed.notify_all()
            c.close()
            self._room.release()

    def _serve_one(self, c):
        """Serves one request; says whether there may be another."""
        request = c.next_request()
        if request is None:
            return False
        with self._changed:
            if self._stopping:
                return False
            c.busy = True
        run(self.application, request)
        c.discard_stdin()
        with self._changed:
            c.busy = False
            self._changed.notify_all()
            return request.keep and not self._stopping


class Connection:
    """Reads and writes records."""

    def __init__(self, sock):
        self.busy = False
        self._sock = sock
        self._in = sock.makefile("rb", 64 << 10)
        self._id = 0
        self._stdin_ended = True

    def close(self):
        self._in.close()
        self._sock.close()

    def hang_up(self):
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed already

    def next_request(self):
        """Waits for a request and its params; None when the client is done."""
        params = bytearray()
        keep = None
        while True:
            try:
                if not self._in.peek(1):
                    return None
            except OSError as err:
                raise Gone(str(err)) from err
            kind, request_id, content = self._read()
            if kind == GET_VALUES:
                # Asked of a connection opened ahead of its first request.
                self._write(GET_VALUES_RESULT, 0, pair(b"FCGI_MPXS_CONNS", b"0"))
            elif request_id == 0:
                self._write(UNKNOWN_TYPE, 0, bytes([kind]) + bytes(7))
            elif kind == BEGIN:
                role, flags = struct.unpack_from("!HB", content.ljust(8, b"\0"))
                self._id, keep = request_id, bool(flags & KEEP_CONN)
                if role != RESPONDER:
                    self.end(UNKNOWN_ROLE)
                    return None
            elif kind == PARAMS and request_id == self._id:
                if not content:
                    self._stdin_ended = False
                    return Request(self, dict(pairs(bytes(params))), keep)
                params += content
                if len(params) > MOST_PARAMS:
                    raise Gone("too many params")

    def read_stdin(self):
        """The next piece of the body; b"" at its end."""
        while not self._stdin_ended:
            kind, request_id, content = self._read()
            if request_id != self._id:
                continue
            if kind == ABORT:
                raise Gone("aborted")
            if kind == STDIN:
                self._stdin_ended = not content
                return content
            # Trailers (128) come only to endpoints that say they take them.
        return b""

    def discard_stdin(self):
        while self.read_stdin():
            pass

    def write_stdout(self, data):
        view = memoryview(data)
        while view:
            self._write(STDOUT, self._id, view[:0x8000])
            view = view[0x8000:]

    def end(self, protocol_status=0):
        self._write(STDOUT, self._id, b"")
        self._write(END, self._id, struct.pack("!IB3x", 0, protocol_status))

    def _read(self):
        try:
            header = self._in.read(HEADER.size)
            if len(header) < HEADER.size:
                raise Gone("the connection ended")
            version, kind, request_id, length, padding = HEADER.unpack(header)
            content = self._in.read(length + padding)
        except OSError as err:
            raise Gone(str(err)) from err
        if version != 1 or len(content) < length + padding:
            raise Gone("no whole record came")
        return kind, request_id, content[:length]

    def _write(self, kind, request_id, content):
        try:
            self._sock.sendall(HEADER.pack(1, kind, request_id, len(content), 0) + content)
        except OSError as err:
            raise Gone(str(err)) from err


class Request:
    """One request, as WSGI wants it (PEP 3333)."""

    def __init__(self, connection, params, keep):
        self.keep = keep
        self.id = params.get("REQUEST_ID", "")
        self.begun = False  # something of the answer was sent
        self._connection = connection
        self._head = None
        if "PATH_INFO" not in params:  # a web server's params, made for scripts
            path = unquote_to_bytes(urlsplit(params.get("REQUEST_URI", "/")).path)
            params.update(SCRIPT_NAME="", PATH_INFO=path.decode("latin-1"))
        params.setdefault("QUERY_STRING", "")
        self.environ = params
        self.environ.update({
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if params.get("HTTPS", "off") not in ("", "off") else "http",
            "wsgi.input": Body(connection),
            "wsgi.input_terminated": True,  # it ends where the body ends
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        })

    def start_response(self, status, headers, exc_info=None):
        if exc_info and self.begun:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._head is not None and not exc_info:
            raise AssertionError("start_response was called twice")
        lines = [f"Status: {status}"] + [f"{name}: {value}" for name, value in headers]
        if any("\n" in line or "\r" in line for line in lines):
            raise ValueError("a line break in a header")
        self._head = "\r\n".join(lines + ["", ""]).encode("latin-1")
        return self.write

    def write(self, data):
        """Sends at once, with the head when that has not been sent."""
        if not self.begun:
            if self._head is None:
                raise AssertionError("start_response was not called")
            self.begun = True
            data = self._head + data
        self._connection.write_stdout(data)

    def finish(self):
        if not self.begun:
            self.write(b"")
        self._connection.end()


def run(application, request):
    """Has the application answer; an error of it becomes a 500 and a log line."""
    extra = {"request_id": request.id}
    try:
        pieces = application(request.environ, request.start_response)
        try:
            for piece in pieces:
                if piece:
                    request.write(piece)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        request.finish()
    except Gone:
        raise
    except Exception:
        log.exception("the application failed", extra=extra)
        if request.begun:
            # Without END_REQUEST the answer cannot pass for whole.
            raise Gone("the answer was broken off") from None
        headers = [("Content-Type", "text/plain"), ("Content-Length", "22")]
        request.start_response("500 Internal Server Error", headers, sys.exc_info())
        request.write(b"Internal Server Error\n")
        request.finish()


class Body:
    """wsgi.input: the request's body, read from the connection as it is asked for."""

    def __init__(self, connection):
        self._connection = connection
        self._rest = b""

    def read(self, size=-1):
        """Waits for `size` bytes or the end, as a file does."""
        pieces = []
        while size != 0:
            piece = self.read1(size)
            if not piece:
                break
            pieces.append(piece)
            if size > 0:
                size -= len(piece)
        return b"".join(pieces)

    def read1(self, size=-1):
        """What has come, `size` bytes at most; b"" at the end."""
        piece = self._rest or self._connection.read_stdin()
        size = len(piece) if size < 0 else size
        self._rest = piece[size:]
        return piece[:size]

    def readline(self, size=-1):
        line = b""
        while not line.endswith(b"\n") and len(line) != size:
            piece = self.read1(size - len(line) if size >= 0 else -1)
            if not piece:
                break
            end = piece.find(b"\n") + 1
            if end:
                self._rest = piece[end:] + self._rest
                piece = piece[:end]
            line += piece
        return line

    def readlines(self, hint=-1):
        return list(self)

    def __iter__(self):
        return iter(self.readline, b"")


def pairs(data):
    """Name-value pairs as FastCGI has them; text is latin-1, as in WSGI."""
    at = 0

    def length():
        nonlocal at
        if data[at] < 0x80:
            at += 1
            return data[at - 1]
        at += 4
        return struct.unpack_from("!I", data, at - 4)[0] & 0x7FFFFFFF

    try:
        while at < len(data):
            name, value = length(), length()
            end = at + name + value
            if end > len(data):
                raise Gone("a param is cut off")
            yield data[at:at + name].decode("latin-1"), data[at + name:end].decode("latin-1")
            at = end
    except (IndexError, struct.error):
        raise Gone("a param is cut off") from None


def pair(name, value):
    return bytes([len(name), len(value)]) + name + value
