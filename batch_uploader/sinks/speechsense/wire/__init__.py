"""The messages and methods of SpeechSense, under their own names.

The messages are made from ``protos/``, in a descriptor pool of their own, so that a process can
import them and the vendor's SDK in any order. Therefore a message, even a Timestamp, has another
class here than in ``google.protobuf`` or the SDK, and must be converted as bytes. Code that looks
up messages by name, such as ``json_format`` for an Any, needs ``POOL``.

``Any`` and ``Message`` are among the names: import those you use, or the package as ``wire``.
"""

from batch_uploader.sinks.speechsense.wire.messages import *  # noqa: F403 - the names are those in protos/
from batch_uploader.sinks.speechsense.wire.methods import *  # noqa: F403 - all of it is for here
from batch_uploader.sinks.speechsense.wire.pool import POOL as POOL
