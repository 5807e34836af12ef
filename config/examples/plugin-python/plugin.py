#!/usr/bin/python3
"""A TQServer plugin in Python: it runs WSGI applications.

The control side of docs/guide/plugin-protocol.md: handshake, lifeline, and the
gRPC service. Requests come by fastcgi.py.
"""

import base64
import datetime
import importlib
import json
import logging
import os
import queue
import signal
import socket
import sys
import threading
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import control_pb2 as wire
import fastcgi

PROTOCOL_VERSION = 1
SCHEMA = {
    "type": "object",
    "required": ["app"],
    "additionalProperties": False,
    "properties": {"app": {"type": "string", "description": "The WSGI application, module:callable, below the worker's folder."}},
}


# --- The plugin: one worker in one process ---

class Plugin:
    """Implements tqserver.plugin.v1.Plugin, one method for each call."""

    def __init__(self):
        self._server = None
        self._ended = threading.Event()
        self._states = queue.Queue(16)  # None ends them

    def describe(self, request, context):
        return wire.DescribeResponse(
            name="wsgi", version="1.0", summary="Runs a WSGI application.",
            settings_schema=json.dumps(SCHEMA).encode())

    def check(self, request, context):
        return wire.CheckResponse(problems=problems(request.worker))

    def run(self, request, context):
        worker = request.worker
        # The host may end the stream instead of calling Stop.
        context.add_callback(lambda: self._stop(0))
        yield wire.State(kind=wire.STATE_KIND_STARTING)
        try:
            application = load(worker)
        except Exception as err:  # whatever the application's modules do
            logging.exception("the application cannot be loaded")
            reason = f"the application cannot be loaded: {type(err).__name__}: {err}"
            yield wire.State(kind=wire.STATE_KIND_FAILED, reason=reason)
            return
        address = os.path.join(worker.runtime_folder, "wsgi.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        # Of a full backlog connect() fails at once; clients that leave and come
        # back are ahead of our threads for a moment.
        listener.listen(128)
        self._server = fastcgi.Server(listener, application, worker.max_workers)
        yield wire.State(kind=wire.STATE_KIND_READY, endpoints=[
            wire.Endpoint(id="wsgi", network="unix", address=address, max_concurrent=worker.max_workers)])
        while state := self._states.get():
            yield state
        os.unlink(address)
        self._ended.set()

    def stop(self, request, context):
        self._stop(request.within_ms / 1000)
        self._ended.wait(5)
        return wire.StopResponse()

    def _stop(self, within):
        server, self._server = self._server, None
        if server:
            server.stop(within)
            self._states.put(None)


def problems(worker):
    """Every mistake in the settings, with its path; nothing is started."""
    try:
        settings = json.loads(worker.settings or b"{}")
    except ValueError as err:
        return [wire.Problem(message=f"no JSON: {err}")]
    found = [wire.Problem(path=name, message="unknown setting; there is app")
             for name in settings if name not in SCHEMA["properties"]]
    app = settings.get("app")
    if not isinstance(app, str) or app.count(":") != 1:
        return found + [wire.Problem(path="app", message="give module:callable, such as shop:application")]
    path = os.path.join(worker.folder, *app.split(":")[0].split("."))
    if not os.path.isfile(path + ".py") and not os.path.isfile(os.path.join(path, "__init__.py")):
        found.append(wire.Problem(path="app", message=f"there is no {path}.py"))
    return found


def load(worker):
    module, name = json.loads(worker.settings)["app"].split(":")
    os.chdir(worker.folder)
    sys.path.insert(0, worker.folder)
    return getattr(importlib.import_module(module), name)


# --- The protocol: what is the same for every plugin ---

def service(plugin):
    """The gRPC handlers; what is not here is answered with UNIMPLEMENTED."""
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    return grpc.method_handlers_generic_handler("tqserver.plugin.v1.Plugin", {
        "Describe": unary(plugin.describe, wire.DescribeRequest.FromString, wire.DescribeResponse.SerializeToString),
        "Check": unary(plugin.check, wire.CheckRequest.FromString, wire.CheckResponse.SerializeToString),
        "Run": stream(plugin.run, wire.RunRequest.FromString, wire.State.SerializeToString),
        "Stop": unary(plugin.stop, wire.StopRequest.FromString, wire.StopResponse.SerializeToString),
    })


def health():
    """grpc.health.v1: the answer is always SERVING, which is field 1 = 1."""
    def check(request, context):
        return b"\x08\x01"
    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})


def credentials(host_certificate):
    """A certificate for this process, and the host's as the only one let in."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256()))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server = grpc.ssl_server_credentials(
        [(pem, certificate.public_bytes(serialization.Encoding.PEM))],
        root_certificates=host_certificate.encode(), require_client_auth=True)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return server, base64.b64encode(der).decode().rstrip("=")


def watch_lifeline():
    """Ends the process when the host is gone; the pipe has nothing to read."""
    lifeline = int(os.environ["TQSERVER_LIFELINE"])
    os.set_inheritable(lifeline, False)  # what we start must not hold it

    def watch():
        while os.read(lifeline, 1):
            pass
        os._exit(0)
    threading.Thread(target=watch, daemon=True).start()


class JSONLines(logging.Formatter):
    """Lines that keep their level and attributes in the server's log."""

    def format(self, record):
        line = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc).isoformat(),
            "level": {"WARNING": "WARN", "CRITICAL": "ERROR"}.get(record.levelname, record.levelname),
            "msg": record.getMessage(),
        }
        if getattr(record, "request_id", ""):
            line["request_id"] = record.request_id
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line)


def main():
    if os.environ.get("TQSERVER_PLUGIN") != "tqserver.plugin.v1":
        sys.exit("This is a plugin of TQServer: name it as a command below plugins: in tqserver.yaml.")
    # A service manager sends these to all processes; the host says when to end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_lifeline()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONLines())
    logging.basicConfig(level=os.environ.get("TQSERVER_LOG_LEVEL", "INFO").split("+")[0].split("-")[0], handlers=[handler])

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((service(Plugin()), health()))
    address = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], f"py{os.getpid()}.sock")
    host_certificate, own = os.environ.get("PLUGIN_CLIENT_CERT"), ""
    if host_certificate:
        tls, own = credentials(host_certificate)
        server.add_secure_port("unix:" + address, tls)
    else:
        server.add_insecure_port("unix:" + address)
    server.start()
    print(f"1|{PROTOCOL_VERSION}|unix|{address}|grpc|{own}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
