"""The messages and enums, each by its name without the package; their types are in the stub.

An enum has its values as attributes, ``UserRole.USER_ROLE_CLIENT``, and ``Name`` and ``Value``.
"""

from batch_uploader.sinks.speechsense.wire.pool import load

_types = load(__package__)
globals().update(_types)
__all__ = list(_types)
