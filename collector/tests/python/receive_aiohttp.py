"""An OTLP/HTTP receiver on aiohttp, which decompresses by itself: prints `signal number` for each item: receive_aiohttp.py PORT"""

import sys

from aiohttp import web
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from items import logs, metrics, traces

SIGNALS = {
    "traces": (trace_service_pb2.ExportTraceServiceRequest, traces),
    "metrics": (metrics_service_pb2.ExportMetricsServiceRequest, metrics),
    "logs": (logs_service_pb2.ExportLogsServiceRequest, logs),
}


async def export(request):
    message, show = SIGNALS[request.match_info["signal"]]
    body = await request.read()
    if request.content_type == "application/json":
        # Its ids are in hex, which protobuf's own JSON reads as base64: well formed, and not looked at here.
        show(json_format.Parse(body, message()))
        return web.Response(text="{}", content_type="application/json")
    show(message.FromString(body))
    return web.Response(body=b"", content_type="application/x-protobuf")


app = web.Application(client_max_size=64 << 20)
app.router.add_post("/v1/{signal}", export)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
