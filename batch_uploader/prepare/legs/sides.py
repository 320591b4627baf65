"""On which side the agent of a recording is, by its metadata: pure."""

from typing import Final

from batch_uploader.core.directions import FALSE, IN, OUT, TRUE
from batch_uploader.core.model import Defect, Metadata
from batch_uploader.prepare.legs.rules import Channels, LegRules, Side, Speaker, SpeakerColumn

_OUTGOING: Final = "direction_outgoing"
_DIRECTIONS: Final = ("direction", "call_type")


def crossed_legs(
    path: str, metadata: Metadata, legs: LegRules, channels: Channels
) -> bool | Defect:
    """Whether the first leg belongs to the right channel."""
    return _crossed(path, metadata, legs.speaker, channels.agent)


def crossed_channels(path: str, metadata: Metadata, channels: Channels) -> bool | Defect:
    """Whether the channels of what is stereo already are to be swapped."""
    return _crossed(path, metadata, channels.left, channels.agent)


def _crossed(
    path: str, metadata: Metadata, first: Speaker | SpeakerColumn | None, wanted: Side | None
) -> bool | Defect:
    if wanted is None or first is None:
        return False
    agent_first = _agent_first(path, metadata, first)
    if isinstance(agent_first, Defect):
        return agent_first
    return agent_first is not (wanted is Side.LEFT)


def _agent_first(path: str, metadata: Metadata, first: Speaker | SpeakerColumn) -> bool | Defect:
    who = _speaker(path, metadata, first) if isinstance(first, SpeakerColumn) else first
    if isinstance(who, Defect):
        return who
    if who in {Speaker.AGENT, Speaker.CLIENT}:
        return who is Speaker.AGENT
    outgoing = _outgoing(metadata)
    if outgoing is None:
        return Defect(
            path,
            "direction-unknown",
            "it is not known whether the call went out, and the agent's side depends on that",
            f"have the metadata say it in {_OUTGOING} (true, false) or direction (in, out), or say"
            ' who is heard there in all calls: "agent" or "client" in [legs] or [stereo]',
        )
    return outgoing is (who is Speaker.CALLER)


def _speaker(path: str, metadata: Metadata, first: SpeakerColumn) -> Speaker | Defect:
    told = metadata.said(first.column)
    if (found := first.speaker(told)) is not None:
        return found
    return Defect(
        path,
        "side-unknown",
        f"its {first.column} is {told!r}, which does not say who is heard where"
        if told
        else f"it has no {first.column}, which says on which side the agent is",
        "add the value in [legs] or [stereo], or correct the metadata",
        field=first.column,
    )


def _outgoing(metadata: Metadata) -> bool | None:
    """Whether the call went out, None if the metadata do not say."""
    told = metadata.fields.get(_OUTGOING, "").strip().casefold()
    if told in TRUE | FALSE:
        return told in TRUE
    for name in _DIRECTIONS:
        said = metadata.said(name).casefold()
        if said in OUT | IN:
            return said in OUT
    return None
