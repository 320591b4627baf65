"""A collector of OpenTelemetry's metrics, as a process: HTTP and gRPC, official messages.

Prints the two ports, then each value that it takes as a JSON line. ``refuse``: it refuses all.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as messages
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as service

REFUSES = "refuse" in sys.argv
printing = Lock()


def tell(kind, request):
    for of_resource in request.resource_metrics:
        resource = {each.key: each.value.string_value for each in of_resource.resource.attributes}
        for metric in [each for scope in of_resource.scope_metrics for each in scope.metrics]:
            data = metric.sum if metric.HasField("sum") else metric.gauge
            for point in data.data_points:
                value = point.as_int if point.HasField("as_int") else point.as_double
                labels = {each.key: each.value.string_value for each in point.attributes}
                line = {
                    "by": kind,
                    "resource": resource,
                    "name": metric.name,
                    "unit": metric.unit,
                    "grows": metric.HasField("sum") and metric.sum.is_monotonic,
                    "labels": labels,
                    "value": value,
                }
                with printing:
                    print(json.dumps(line), flush=True)  # noqa: T201


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if REFUSES or self.path != "/v1/metrics":
            self.send_response(403)
            self.end_headers()
            return
        tell("http", messages.ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(messages.ExportMetricsServiceResponse().SerializeToString())

    def log_message(self, *_):
        pass


class Servicer(service.MetricsServiceServicer):
    def Export(self, request, context):  # noqa: N802 - as the service names it
        if REFUSES:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no metrics here")
        tell("grpc", request)
        return messages.ExportMetricsServiceResponse()


def main():
    by_http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    by_grpc = grpc.server(ThreadPoolExecutor(2))
    service.add_MetricsServiceServicer_to_server(Servicer(), by_grpc)
    port = by_grpc.add_insecure_port("127.0.0.1:0")
    by_grpc.start()
    print(by_http.server_port, port, flush=True)  # noqa: T201
    by_http.serve_forever()


if __name__ == "__main__":
    main()
