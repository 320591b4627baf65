"""Uploads a directory of call recordings to Yandex SpeechSense exactly once.

The names below are the library: ``upload_directory`` uploads with one call, ``Uploader`` takes a
source, a sink and a ledger. They are imported when first used, so that the command line starts
fast.
"""

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch_uploader.app.attention import AttentionKind
    from batch_uploader.app.check import check_directory
    from batch_uploader.app.decisions import PathDecision, Resolution, read_decisions
    from batch_uploader.app.directory import directory_uploader, upload_directory
    from batch_uploader.app.doctor.diagnosis import Diagnosis, Health
    from batch_uploader.app.doctor.examination import diagnose
    from batch_uploader.app.duplicates import (
        DuplicateExample,
        DuplicateGroup,
        possible_duplicates,
    )
    from batch_uploader.app.history import directory_runs
    from batch_uploader.app.inspection import CheckSummary, Finding, Inspection
    from batch_uploader.app.manifest import export_manifest
    from batch_uploader.app.places import Places
    from batch_uploader.app.rebuild import Rebuilt, rebuild_ledger
    from batch_uploader.app.resolve import Resolved, resolve_recordings
    from batch_uploader.app.search import Searched, search_doubts
    from batch_uploader.app.status import ConnectionStatus, DirectoryStatus, directory_status
    from batch_uploader.app.uploader import Uploader
    from batch_uploader.core.errors import (
        ConfigError,
        LedgerError,
        LedgerLocked,
        SourceError,
        UploaderError,
    )
    from batch_uploader.core.identity import Cause
    from batch_uploader.core.model import (
        Container,
        Ending,
        Failure,
        Outcome,
        PassedOver,
        Summary,
    )
    from batch_uploader.core.states import Status, Verdict
    from batch_uploader.ledgers.manifest import Format
    from batch_uploader.ledgers.memory import MemoryLedger
    from batch_uploader.ledgers.sqlite import SqliteLedger
    from batch_uploader.pace import Timetable
    from batch_uploader.pace.retry import RetryPolicy
    from batch_uploader.prepare.about.foreign import DeclaredSidecar, SidecarFormat
    from batch_uploader.prepare.about.lookups import LookupSpec
    from batch_uploader.prepare.about.rules import MetadataRules
    from batch_uploader.prepare.about.tables.spec import RowMatch, TableSpec
    from batch_uploader.prepare.audio import AudioRules, EndMark, RawFormat
    from batch_uploader.prepare.callid import CallIds
    from batch_uploader.prepare.filters import Filters, Sample
    from batch_uploader.prepare.rules import Rules, SidecarMode
    from batch_uploader.prepare.sidecar import FieldType, Kind, Schema
    from batch_uploader.run.options import RunOptions
    from batch_uploader.run.stats import RunStats
    from batch_uploader.sinks.memory import MemorySink
    from batch_uploader.sinks.speechsense.channel import Endpoint, Proxy, Security
    from batch_uploader.sinks.speechsense.commands import ApiKeyCommand, IamTokenCommand
    from batch_uploader.sinks.speechsense.credentials import (
        ApiKey,
        Credentials,
        IamToken,
        IamTokenFile,
        ServiceAccountKey,
    )
    from batch_uploader.sinks.speechsense.evidence import Unavailable
    from batch_uploader.sinks.speechsense.sink import SpeechSenseSink
    from batch_uploader.sinks.speechsense.vm_metadata import VmMetadataToken
    from batch_uploader.sources.directory import DirectorySource
    from batch_uploader.sources.memory import MemorySource
    from batch_uploader.ui.logbridge import LogListener

__version__ = "0.1.0"

__all__ = [
    "ApiKey",
    "ApiKeyCommand",
    "AttentionKind",
    "AudioRules",
    "CallIds",
    "Cause",
    "CheckSummary",
    "ConfigError",
    "ConnectionStatus",
    "Container",
    "Credentials",
    "DeclaredSidecar",
    "Diagnosis",
    "DirectorySource",
    "DirectoryStatus",
    "DuplicateExample",
    "DuplicateGroup",
    "EndMark",
    "Ending",
    "Endpoint",
    "Failure",
    "FieldType",
    "Filters",
    "Finding",
    "Format",
    "Health",
    "IamToken",
    "IamTokenCommand",
    "IamTokenFile",
    "Inspection",
    "Kind",
    "LedgerError",
    "LedgerLocked",
    "LogListener",
    "LookupSpec",
    "MemoryLedger",
    "MemorySink",
    "MemorySource",
    "MetadataRules",
    "Outcome",
    "PassedOver",
    "PathDecision",
    "Places",
    "Proxy",
    "RawFormat",
    "Rebuilt",
    "Resolution",
    "Resolved",
    "RetryPolicy",
    "RowMatch",
    "Rules",
    "RunOptions",
    "RunStats",
    "Sample",
    "Schema",
    "Searched",
    "Security",
    "ServiceAccountKey",
    "SidecarFormat",
    "SidecarMode",
    "SourceError",
    "SpeechSenseSink",
    "SqliteLedger",
    "Status",
    "Summary",
    "TableSpec",
    "Timetable",
    "Unavailable",
    "Uploader",
    "UploaderError",
    "Verdict",
    "VmMetadataToken",
    "check_directory",
    "diagnose",
    "directory_runs",
    "directory_status",
    "directory_uploader",
    "export_manifest",
    "possible_duplicates",
    "read_decisions",
    "rebuild_ledger",
    "resolve_recordings",
    "search_doubts",
    "upload_directory",
]

_MODULES = {
    "run.options": ("RunOptions",),
    "run.stats": ("RunStats",),
    "prepare.rules": ("Rules", "SidecarMode"),
    "ledgers.memory": ("MemoryLedger",),
    "ledgers.sqlite": ("SqliteLedger",),
    "core.errors": (
        "ConfigError",
        "LedgerError",
        "LedgerLocked",
        "SourceError",
        "UploaderError",
    ),
    "core.identity": ("Cause",),
    "core.model": ("Container", "Ending", "Failure", "Outcome", "PassedOver", "Summary"),
    "core.states": ("Status", "Verdict"),
    "pace": ("Timetable",),
    "prepare.about.foreign": ("DeclaredSidecar", "SidecarFormat"),
    "prepare.about.lookups": ("LookupSpec",),
    "prepare.about.rules": ("MetadataRules",),
    "prepare.about.tables.spec": ("RowMatch", "TableSpec"),
    "prepare.audio": ("AudioRules", "EndMark", "RawFormat"),
    "prepare.callid": ("CallIds",),
    "prepare.filters": ("Filters", "Sample"),
    "pace.retry": ("RetryPolicy",),
    "prepare.sidecar": ("FieldType", "Kind", "Schema"),
    "sinks.memory": ("MemorySink",),
    "sinks.speechsense.channel": ("Endpoint", "Proxy", "Security"),
    "sinks.speechsense.commands": ("ApiKeyCommand", "IamTokenCommand"),
    "sinks.speechsense.credentials": (
        "ApiKey",
        "Credentials",
        "IamToken",
        "IamTokenFile",
        "ServiceAccountKey",
    ),
    "sinks.speechsense.evidence": ("Unavailable",),
    "sinks.speechsense.sink": ("SpeechSenseSink",),
    "sinks.speechsense.vm_metadata": ("VmMetadataToken",),
    "sources.directory": ("DirectorySource",),
    "sources.memory": ("MemorySource",),
    "ledgers.manifest": ("Format",),
    "app.duplicates": ("DuplicateExample", "DuplicateGroup", "possible_duplicates"),
    "app.manifest": ("export_manifest",),
    "app.places": ("Places",),
    "app.rebuild": ("Rebuilt", "rebuild_ledger"),
    "app.decisions": ("PathDecision", "Resolution", "read_decisions"),
    "app.resolve": ("Resolved", "resolve_recordings"),
    "app.search": ("Searched", "search_doubts"),
    "app.attention": ("AttentionKind",),
    "app.history": ("directory_runs",),
    "app.status": ("ConnectionStatus", "DirectoryStatus", "directory_status"),
    "app.check": ("check_directory",),
    "app.inspection": ("CheckSummary", "Finding", "Inspection"),
    "app.doctor.diagnosis": ("Diagnosis", "Health"),
    "app.doctor.examination": ("diagnose",),
    "app.directory": ("directory_uploader", "upload_directory"),
    "app.uploader": ("Uploader",),
    "ui.logbridge": ("LogListener",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def _silence_grpc() -> None:
    """Remove the environment variables that make gRPC log, before gRPC is imported and reads them.

    A trace shows the authorization header of each request, and a log line may repeat it in a peer's
    text. Handshakes and closed connections are reported in our errors, and logs of gRPC would break
    the display. Has no effect if gRPC is already imported.
    """
    loud = [name for name in ("GRPC_TRACE", "GRPC_VERBOSITY") if os.environ.get(name)]
    if os.environ.pop("GRPC_VERBOSITY", "").upper() in {"ERROR", "NONE"}:
        loud.remove("GRPC_VERBOSITY")
    os.environ.pop("GRPC_TRACE", None)
    os.environ["GRPC_VERBOSITY"] = "NONE"
    if loud and sys.stderr is not None:
        names = " and ".join(loud)
        with suppress(OSError, ValueError):
            sys.stderr.write(f"hint: {names} ignored; gRPC would print the credentials\n")


_silence_grpc()


def __getattr__(name: str) -> object:
    """Import a name of the library when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
