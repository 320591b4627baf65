"""This machine: what gRPC and the workers need of it."""

from batch_uploader.app.doctor.diagnosis import Sign, fail, warn, well
from batch_uploader.app.doctor.patient import Patient, in_thread
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.text import plural
from batch_uploader.host.resources import spare_descriptors
from batch_uploader.sinks.speechsense.resources import (
    descriptors_for,
    require_resources,
    uploads_within,
)


async def machine(patient: Patient) -> Sign:
    """Whether there are descriptors, threads and memory enough."""
    spare = spare_descriptors()
    try:
        await in_thread(require_resources)
    except ConfigError as error:
        return fail("too_few_resources", error.problem, *error.hints)
    wanted = patient.concurrency
    if spare is not None and (possible := uploads_within(spare)) < wanted:
        return warn(
            "too_few_descriptors",
            f"{spare} files may be open: enough for {plural(possible, 'upload')} at once, not for"
            f" {wanted}",
            f"raise the limit: ulimit -n {max(1024, descriptors_for(wanted) * 2)}, or LimitNOFILE="
            " in a systemd unit",
        )
    return well(f"open files, threads and memory for {plural(wanted, 'upload')} at once")
