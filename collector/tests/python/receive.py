"""Receives OTLP/HTTP and decodes it with opentelemetry-proto until COUNT numbered spans are there: receive.py PORT COUNT

It knows gzip and no zstd, so that the sender has to fall back.
"""

import gzip
import http.server
import sys
import threading

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

port, count = int(sys.argv[1]), int(sys.argv[2])
seen = {}
done = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        encoding = self.headers.get("content-encoding", "identity")
        if encoding == "gzip":
            body = gzip.decompress(body)
        elif encoding != "identity":
            self.answer(415, b"")
            return
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            assert names["service.name"] == "python-pos", names
            for scope in resource.scope_spans:
                for span in scope.spans:
                    number = int(span.name)
                    assert span.attributes[0].value.double_value == number * 0.5
                    assert span.events[0].attributes[0].value.int_value == number % 3
                    seen[number] = seen.get(number, 0) + 1
        self.answer(200, ExportTraceServiceResponse().SerializeToString())
        if len(seen) >= count:
            done.set()

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
complete = done.wait(60)
print("received", len(seen), sum(seen.values()), flush=True)
sys.exit(0 if complete else 1)
