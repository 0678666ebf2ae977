"""Prints a line `signal number` for each item of an export."""

import threading

lock = threading.Lock()


def show(signal, number):
    with lock:
        print(signal, number, flush=True)


def traces(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                show("traces", span.name)


def metrics(request):
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.sum.data_points:
                    show("metrics", point.as_int)


def logs(request):
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                show("logs", record.body.string_value)
