"""A local SpeechSense: strict, persistent, able to fail on purpose.

It refuses what the service refuses, as far as documented, so that users can test their own
pipelines with it. In a program::

    async with Emulator(EmulatorOptions(store=Path("talks.db"))) as emulator:
        ...  # upload to emulator.address
        emulator.control.faults = Faults(unavailable=0.1)
        print(emulator.control.talks())
"""

from batch_uploader.emulator.control import Control
from batch_uploader.emulator.faults import Faults, LostAnswer, Outage, status_code
from batch_uploader.emulator.rules import Connection
from batch_uploader.emulator.server import API_KEY, CONNECTION, Emulator, EmulatorOptions, serve
from batch_uploader.emulator.store import Talk, stored_talks
from batch_uploader.emulator.tokens import LackedRight, RegisteredKey

__all__ = [
    "API_KEY",
    "CONNECTION",
    "Connection",
    "Control",
    "Emulator",
    "EmulatorOptions",
    "Faults",
    "LackedRight",
    "LostAnswer",
    "Outage",
    "RegisteredKey",
    "Talk",
    "serve",
    "status_code",
    "stored_talks",
]
