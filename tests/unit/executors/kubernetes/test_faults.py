"""What it means that a Job could not be created, by what API servers say."""

from __future__ import annotations

import pytest

from api.executors.base import StartError, StartRefused, StartUnknown
from api.executors.kubernetes.client import ApiError
from api.executors.kubernetes.faults import StartForbidden, start_fault


@pytest.mark.parametrize(
    ("status", "message", "fault", "code"),
    [
        (0, "the API server does not answer", StartUnknown, "cannot_start"),
        (409, "Operation cannot be fulfilled on resourcequotas", StartUnknown, "cannot_start"),
        (429, "too many requests", StartUnknown, "cannot_start"),
        (500, "failed calling webhook", StartUnknown, "cannot_start"),
        (503, "etcdserver: leader changed", StartUnknown, "cannot_start"),
        (401, "Unauthorized", StartForbidden, "cluster_refuses"),
        (404, 'namespaces "x" not found', StartForbidden, "cluster_refuses"),
        (403, 'jobs.batch is forbidden: User "x" cannot create resource "jobs"', StartForbidden, "cluster_refuses"),
        (403, "unable to create new content because it is being terminated", StartForbidden, "cluster_refuses"),
        (403, 'jobs.batch "x" is forbidden: exceeded quota: q', StartError, "quota"),
        (403, "admission webhook denied the request: no cost-center", StartRefused, "rejected"),
        (400, "bad", StartRefused, "rejected"),
        (422, "Job is invalid", StartRefused, "rejected"),
    ],
)
def test_what_the_answer_means(status, message, fault, code):
    found = start_fault(ApiError(status, "", message, 7))
    assert (type(found), found.code, str(found)) == (fault, code, message)
    if isinstance(found, StartUnknown):
        assert found.retry_after_seconds == 7
