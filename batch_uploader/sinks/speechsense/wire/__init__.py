"""The messages and the methods of SpeechSense, under their own names.

The messages are made from ``protos/`` and live in a descriptor pool of their own, so a process can
import them and the vendor's SDK in either order. The price: a message, even a Timestamp, is of
another class here than in ``google.protobuf`` or the SDK, and goes from one to the other as bytes.
Whatever looks up messages by name, such as ``json_format`` at an Any, has to be handed ``POOL``.

``Any`` and ``Message`` are among the names: import those you use, or the package as ``wire``.
"""

from batch_uploader.sinks.speechsense.wire.messages import *  # noqa: F403 - the names are those in protos/
from batch_uploader.sinks.speechsense.wire.methods import *  # noqa: F403 - all of it is for here
from batch_uploader.sinks.speechsense.wire.pool import POOL as POOL
