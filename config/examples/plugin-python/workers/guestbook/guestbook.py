"""A WSGI application: a guestbook in memory, and an echo for the tests."""

import html
import logging
import threading
from urllib.parse import parse_qs

entries, lock = [], threading.Lock()


def application(environ, start_response):
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if path == "/echo":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return iter(environ["wsgi.input"].read1, b"")
    if path == "/fail":
        raise RuntimeError("as asked")
    if method == "POST":
        form = parse_qs(environ["wsgi.input"].read(4096).decode())
        with lock:
            entries[:] = entries[-99:] + form.get("text", [])
        logging.info("somebody signed", extra={"request_id": environ["REQUEST_ID"]})
        start_response("303 See Other", [("Location", environ["SCRIPT_NAME"] + "/")])
        return [b""]
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    with lock:
        lines = "".join(f"<li>{html.escape(text)}</li>\n" for text in entries)
    return [f"<ul>\n{lines}</ul>\n<form method=post><input name=text><button>Sign</button></form>\n".encode()]
