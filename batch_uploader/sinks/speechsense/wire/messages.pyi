# Made by protos/generate.py from the definitions beside it. Do not edit.

import datetime as _datetime
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Literal as _Literal, TypeVar as _TypeVar, final as _final

from google.protobuf.descriptor import Descriptor as _Descriptor, EnumDescriptor as _EnumDescriptor
from google.protobuf.internal import well_known_types as _mixins
from google.protobuf.internal.containers import (
    RepeatedCompositeFieldContainer as _Messages,
    RepeatedScalarFieldContainer as _Scalars,
    ScalarMap as _ScalarMap,
)
from google.protobuf.message import Message as _Message

_E = _TypeVar("_E")

class _Enum(type):
    """An enum is one object that names its values; the values are plain integers."""

    DESCRIPTOR: _EnumDescriptor
    def Name(cls, number: int) -> str: ...
    def Value(cls: type[_E], name: str) -> _E: ...
    def keys(cls) -> list[str]: ...
    def values(cls: type[_E]) -> list[_E]: ...
    def items(cls: type[_E]) -> list[tuple[str, _E]]: ...

# google/protobuf/duration.proto

@_final
class Duration(_Message, _mixins.Duration):
    DESCRIPTOR: _Descriptor
    seconds: int
    nanos: int
    def __init__(
        self,
        *,
        seconds: int | None = ...,
        nanos: int | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['seconds', 'nanos']) -> None: ...

# google/rpc/error_details.proto

@_final
class RetryInfo(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def retry_delay(self) -> Duration: ...
    def __init__(
        self,
        *,
        retry_delay: Duration | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['retry_delay']) -> bool: ...
    def ClearField(self, field_name: _Literal['retry_delay']) -> None: ...

@_final
class BadRequest(_Message):
    DESCRIPTOR: _Descriptor
    @_final
    class FieldViolation(_Message):
        DESCRIPTOR: _Descriptor
        field: str
        description: str
        def __init__(
            self,
            *,
            field: str | None = ...,
            description: str | None = ...,
        ) -> None: ...
        def ClearField(self, field_name: _Literal['field', 'description']) -> None: ...
    @property
    def field_violations(self) -> _Messages[BadRequest.FieldViolation]: ...
    def __init__(
        self,
        *,
        field_violations: _Iterable[BadRequest.FieldViolation] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['field_violations']) -> None: ...

# google/protobuf/any.proto

@_final
class Any(_Message, _mixins.Any):
    DESCRIPTOR: _Descriptor
    type_url: str
    value: bytes
    def __init__(
        self,
        *,
        type_url: str | None = ...,
        value: bytes | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['type_url', 'value']) -> None: ...

# google/rpc/status.proto

@_final
class Status(_Message):
    DESCRIPTOR: _Descriptor
    code: int
    message: str
    @property
    def details(self) -> _Messages[Any]: ...
    def __init__(
        self,
        *,
        code: int | None = ...,
        message: str | None = ...,
        details: _Iterable[Any] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['code', 'message', 'details']) -> None: ...

# google/protobuf/timestamp.proto

@_final
class Timestamp(_Message, _mixins.Timestamp):
    DESCRIPTOR: _Descriptor
    seconds: int
    nanos: int
    def __init__(
        self,
        *,
        seconds: int | None = ...,
        nanos: int | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['seconds', 'nanos']) -> None: ...

# yandex/cloud/iam/v1/iam_token_service.proto

@_final
class CreateIamTokenRequest(_Message):
    DESCRIPTOR: _Descriptor
    jwt: str
    def __init__(
        self,
        *,
        jwt: str | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['jwt', 'identity']) -> bool: ...
    def WhichOneof(self, oneof_group: _Literal['identity']) -> _Literal['jwt'] | None: ...
    def ClearField(self, field_name: _Literal['jwt', 'identity']) -> None: ...

@_final
class CreateIamTokenResponse(_Message):
    DESCRIPTOR: _Descriptor
    iam_token: str
    @property
    def expires_at(self) -> Timestamp: ...
    def __init__(
        self,
        *,
        iam_token: str | None = ...,
        expires_at: Timestamp | _datetime.datetime | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['expires_at']) -> bool: ...
    def ClearField(self, field_name: _Literal['iam_token', 'expires_at']) -> None: ...

# yandex/cloud/operation/operation.proto

@_final
class Operation(_Message):
    DESCRIPTOR: _Descriptor
    id: str
    description: str
    @property
    def created_at(self) -> Timestamp: ...
    created_by: str
    @property
    def modified_at(self) -> Timestamp: ...
    done: bool
    @property
    def metadata(self) -> Any: ...
    @property
    def error(self) -> Status: ...
    @property
    def response(self) -> Any: ...
    def __init__(
        self,
        *,
        id: str | None = ...,
        description: str | None = ...,
        created_at: Timestamp | _datetime.datetime | None = ...,
        created_by: str | None = ...,
        modified_at: Timestamp | _datetime.datetime | None = ...,
        done: bool | None = ...,
        metadata: Any | None = ...,
        error: Status | None = ...,
        response: Any | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['created_at', 'modified_at', 'metadata', 'error', 'response', 'result']) -> bool: ...
    def WhichOneof(self, oneof_group: _Literal['result']) -> _Literal['error', 'response'] | None: ...
    def ClearField(self, field_name: _Literal['id', 'description', 'created_at', 'created_by', 'modified_at', 'done', 'metadata', 'error', 'response', 'result']) -> None: ...

# yandex/cloud/operation/operation_service.proto

@_final
class GetOperationRequest(_Message):
    DESCRIPTOR: _Descriptor
    operation_id: str
    def __init__(
        self,
        *,
        operation_id: str | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['operation_id']) -> None: ...

# yandex/cloud/speechsense/v1/analysis/statistics_common.proto

@_final
class AudioSegmentBoundaries(_Message):
    DESCRIPTOR: _Descriptor
    start_time_ms: int
    end_time_ms: int
    duration_seconds: int
    def __init__(
        self,
        *,
        start_time_ms: int | None = ...,
        end_time_ms: int | None = ...,
        duration_seconds: int | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['start_time_ms', 'end_time_ms', 'duration_seconds']) -> None: ...

# yandex/cloud/speechsense/v1/analysis/conversation_statistics.proto

@_final
class ConversationStatistics(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def conversation_boundaries(self) -> AudioSegmentBoundaries: ...
    def __init__(
        self,
        *,
        conversation_boundaries: AudioSegmentBoundaries | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['conversation_boundaries']) -> bool: ...
    def ClearField(self, field_name: _Literal['conversation_boundaries']) -> None: ...

# yandex/cloud/speechsense/v1/audio.proto

@_final
class RawAudio(_Message):
    DESCRIPTOR: _Descriptor
    class AudioEncoding(int, metaclass=_Enum):
        AUDIO_ENCODING_UNSPECIFIED: _ClassVar[RawAudio.AudioEncoding]
        AUDIO_ENCODING_LINEAR16_PCM: _ClassVar[RawAudio.AudioEncoding]
    AUDIO_ENCODING_UNSPECIFIED: _ClassVar[RawAudio.AudioEncoding]
    AUDIO_ENCODING_LINEAR16_PCM: _ClassVar[RawAudio.AudioEncoding]
    audio_encoding: RawAudio.AudioEncoding
    sample_rate_hertz: int
    audio_channel_count: int
    def __init__(
        self,
        *,
        audio_encoding: RawAudio.AudioEncoding | None = ...,
        sample_rate_hertz: int | None = ...,
        audio_channel_count: int | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['audio_encoding', 'sample_rate_hertz', 'audio_channel_count']) -> None: ...

@_final
class ContainerAudio(_Message):
    DESCRIPTOR: _Descriptor
    class ContainerAudioType(int, metaclass=_Enum):
        CONTAINER_AUDIO_TYPE_UNSPECIFIED: _ClassVar[ContainerAudio.ContainerAudioType]
        CONTAINER_AUDIO_TYPE_WAV: _ClassVar[ContainerAudio.ContainerAudioType]
        CONTAINER_AUDIO_TYPE_OGG_OPUS: _ClassVar[ContainerAudio.ContainerAudioType]
        CONTAINER_AUDIO_TYPE_MP3: _ClassVar[ContainerAudio.ContainerAudioType]
    CONTAINER_AUDIO_TYPE_UNSPECIFIED: _ClassVar[ContainerAudio.ContainerAudioType]
    CONTAINER_AUDIO_TYPE_WAV: _ClassVar[ContainerAudio.ContainerAudioType]
    CONTAINER_AUDIO_TYPE_OGG_OPUS: _ClassVar[ContainerAudio.ContainerAudioType]
    CONTAINER_AUDIO_TYPE_MP3: _ClassVar[ContainerAudio.ContainerAudioType]
    container_audio_type: ContainerAudio.ContainerAudioType
    def __init__(
        self,
        *,
        container_audio_type: ContainerAudio.ContainerAudioType | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['container_audio_type']) -> None: ...

@_final
class AudioMetadata(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def raw_audio(self) -> RawAudio: ...
    @property
    def container_audio(self) -> ContainerAudio: ...
    def __init__(
        self,
        *,
        raw_audio: RawAudio | None = ...,
        container_audio: ContainerAudio | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['raw_audio', 'container_audio', 'AudioFormat']) -> bool: ...
    def WhichOneof(self, oneof_group: _Literal['AudioFormat']) -> _Literal['raw_audio', 'container_audio'] | None: ...
    def ClearField(self, field_name: _Literal['raw_audio', 'container_audio', 'AudioFormat']) -> None: ...

@_final
class AudioChunk(_Message):
    DESCRIPTOR: _Descriptor
    data: bytes
    def __init__(
        self,
        *,
        data: bytes | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['data']) -> None: ...

@_final
class AudioStreamingRequest(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def audio_metadata(self) -> AudioMetadata: ...
    @property
    def chunk(self) -> AudioChunk: ...
    def __init__(
        self,
        *,
        audio_metadata: AudioMetadata | None = ...,
        chunk: AudioChunk | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['audio_metadata', 'chunk', 'AudioEvent']) -> bool: ...
    def WhichOneof(self, oneof_group: _Literal['AudioEvent']) -> _Literal['audio_metadata', 'chunk'] | None: ...
    def ClearField(self, field_name: _Literal['audio_metadata', 'chunk', 'AudioEvent']) -> None: ...

@_final
class AudioRequest(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def audio_metadata(self) -> AudioMetadata: ...
    @property
    def audio_data(self) -> AudioChunk: ...
    def __init__(
        self,
        *,
        audio_metadata: AudioMetadata | None = ...,
        audio_data: AudioChunk | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['audio_metadata', 'audio_data']) -> bool: ...
    def ClearField(self, field_name: _Literal['audio_metadata', 'audio_data']) -> None: ...

# google/protobuf/wrappers.proto

@_final
class DoubleValue(_Message):
    DESCRIPTOR: _Descriptor
    value: float
    def __init__(
        self,
        *,
        value: float | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['value']) -> None: ...

@_final
class Int64Value(_Message):
    DESCRIPTOR: _Descriptor
    value: int
    def __init__(
        self,
        *,
        value: int | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['value']) -> None: ...

# yandex/cloud/speechsense/v1/search.proto

class SortOrder(int, metaclass=_Enum):
    SORT_ORDER_UNSPECIFIED: _ClassVar[SortOrder]
    SORT_ORDER_ASC: _ClassVar[SortOrder]
    SORT_ORDER_DESC: _ClassVar[SortOrder]

@_final
class Filter(_Message):
    DESCRIPTOR: _Descriptor
    key: str
    @property
    def any_match(self) -> AnyMatchFilter: ...
    @property
    def int_range(self) -> IntRangeFilter: ...
    @property
    def double_range(self) -> DoubleRangeFilter: ...
    @property
    def date_range(self) -> DateRangeFilter: ...
    @property
    def duration_range(self) -> DurationRangeFilter: ...
    @property
    def boolean_match(self) -> BooleanFilter: ...
    inverse: bool
    @property
    def channel_number(self) -> Int64Value: ...
    def __init__(
        self,
        *,
        key: str | None = ...,
        any_match: AnyMatchFilter | None = ...,
        int_range: IntRangeFilter | None = ...,
        double_range: DoubleRangeFilter | None = ...,
        date_range: DateRangeFilter | None = ...,
        duration_range: DurationRangeFilter | None = ...,
        boolean_match: BooleanFilter | None = ...,
        inverse: bool | None = ...,
        channel_number: Int64Value | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['any_match', 'int_range', 'double_range', 'date_range', 'duration_range', 'boolean_match', 'channel_number', 'filter']) -> bool: ...
    def WhichOneof(self, oneof_group: _Literal['filter']) -> _Literal['any_match', 'int_range', 'double_range', 'date_range', 'duration_range', 'boolean_match'] | None: ...
    def ClearField(self, field_name: _Literal['key', 'any_match', 'int_range', 'double_range', 'date_range', 'duration_range', 'boolean_match', 'inverse', 'channel_number', 'filter']) -> None: ...

@_final
class Query(_Message):
    DESCRIPTOR: _Descriptor
    text: str
    inverse: bool
    @property
    def channel_number(self) -> Int64Value: ...
    def __init__(
        self,
        *,
        text: str | None = ...,
        inverse: bool | None = ...,
        channel_number: Int64Value | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['channel_number']) -> bool: ...
    def ClearField(self, field_name: _Literal['text', 'inverse', 'channel_number']) -> None: ...

@_final
class AnyMatchFilter(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def values(self) -> _Scalars[str]: ...
    def __init__(
        self,
        *,
        values: _Iterable[str] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['values']) -> None: ...

@_final
class BoundsInclusive(_Message):
    DESCRIPTOR: _Descriptor
    from_inclusive: bool
    to_inclusive: bool
    def __init__(
        self,
        *,
        from_inclusive: bool | None = ...,
        to_inclusive: bool | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['from_inclusive', 'to_inclusive']) -> None: ...

@_final
class IntRangeFilter(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def from_value(self) -> Int64Value: ...
    @property
    def to_value(self) -> Int64Value: ...
    @property
    def bounds_inclusive(self) -> BoundsInclusive: ...
    def __init__(
        self,
        *,
        from_value: Int64Value | None = ...,
        to_value: Int64Value | None = ...,
        bounds_inclusive: BoundsInclusive | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['from_value', 'to_value', 'bounds_inclusive']) -> bool: ...
    def ClearField(self, field_name: _Literal['from_value', 'to_value', 'bounds_inclusive']) -> None: ...

@_final
class DoubleRangeFilter(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def from_value(self) -> DoubleValue: ...
    @property
    def to_value(self) -> DoubleValue: ...
    @property
    def bounds_inclusive(self) -> BoundsInclusive: ...
    def __init__(
        self,
        *,
        from_value: DoubleValue | None = ...,
        to_value: DoubleValue | None = ...,
        bounds_inclusive: BoundsInclusive | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['from_value', 'to_value', 'bounds_inclusive']) -> bool: ...
    def ClearField(self, field_name: _Literal['from_value', 'to_value', 'bounds_inclusive']) -> None: ...

@_final
class DateRangeFilter(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def from_value(self) -> Timestamp: ...
    @property
    def to_value(self) -> Timestamp: ...
    @property
    def bounds_inclusive(self) -> BoundsInclusive: ...
    def __init__(
        self,
        *,
        from_value: Timestamp | _datetime.datetime | None = ...,
        to_value: Timestamp | _datetime.datetime | None = ...,
        bounds_inclusive: BoundsInclusive | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['from_value', 'to_value', 'bounds_inclusive']) -> bool: ...
    def ClearField(self, field_name: _Literal['from_value', 'to_value', 'bounds_inclusive']) -> None: ...

@_final
class DurationRangeFilter(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def from_value(self) -> Duration: ...
    @property
    def to_value(self) -> Duration: ...
    @property
    def bounds_inclusive(self) -> BoundsInclusive: ...
    def __init__(
        self,
        *,
        from_value: Duration | None = ...,
        to_value: Duration | None = ...,
        bounds_inclusive: BoundsInclusive | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['from_value', 'to_value', 'bounds_inclusive']) -> bool: ...
    def ClearField(self, field_name: _Literal['from_value', 'to_value', 'bounds_inclusive']) -> None: ...

@_final
class BooleanFilter(_Message):
    DESCRIPTOR: _Descriptor
    value: bool
    def __init__(
        self,
        *,
        value: bool | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['value']) -> None: ...

@_final
class SortData(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def fields(self) -> _Messages[SortField]: ...
    def __init__(
        self,
        *,
        fields: _Iterable[SortField] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['fields']) -> None: ...

@_final
class SortField(_Message):
    DESCRIPTOR: _Descriptor
    field: str
    order: SortOrder
    position: int
    def __init__(
        self,
        *,
        field: str | None = ...,
        order: SortOrder | None = ...,
        position: int | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['field', 'order', 'position']) -> None: ...

# yandex/cloud/speechsense/v1/talk.proto

class FieldType(int, metaclass=_Enum):
    FIELD_TYPE_UNSPECIFIED: _ClassVar[FieldType]
    FIELD_TYPE_STRING: _ClassVar[FieldType]
    FIELD_TYPE_NUMBER: _ClassVar[FieldType]
    FIELD_TYPE_DECIMAL: _ClassVar[FieldType]
    FIELD_TYPE_BOOLEAN: _ClassVar[FieldType]
    FIELD_TYPE_DATE: _ClassVar[FieldType]
    FIELD_TYPE_JSON: _ClassVar[FieldType]

class ProcessingState(int, metaclass=_Enum):
    PROCESSING_STATE_UNSPECIFIED: _ClassVar[ProcessingState]
    PROCESSING_STATE_NOT_STARTED: _ClassVar[ProcessingState]
    PROCESSING_STATE_PROCESSING: _ClassVar[ProcessingState]
    PROCESSING_STATE_SUCCESS: _ClassVar[ProcessingState]
    PROCESSING_STATE_FAILED: _ClassVar[ProcessingState]

class Algorithm(int, metaclass=_Enum):
    ALGORITHM_UNSPECIFIED: _ClassVar[Algorithm]
    ALGORITHM_SPEECHKIT: _ClassVar[Algorithm]
    ALGORITHM_YGPT: _ClassVar[Algorithm]
    ALGORITHM_CLASSIFIER: _ClassVar[Algorithm]
    ALGORITHM_SUMMARIZATION: _ClassVar[Algorithm]
    ALGORITHM_EMBEDDING: _ClassVar[Algorithm]
    ALGORITHM_STATISTICS: _ClassVar[Algorithm]
    ALGORITHM_ASSISTANT: _ClassVar[Algorithm]

@_final
class Talk(_Message):
    DESCRIPTOR: _Descriptor
    id: str
    organization_id: str
    space_id: str
    connection_id: str
    @property
    def project_ids(self) -> _Scalars[str]: ...
    created_by: str
    @property
    def created_at(self) -> Timestamp: ...
    modified_by: str
    @property
    def modified_at(self) -> Timestamp: ...
    @property
    def talk_fields(self) -> _Messages[Field]: ...
    @property
    def conversation_statistics(self) -> ConversationStatistics: ...
    @property
    def talk_state(self) -> TalkState: ...
    def __init__(
        self,
        *,
        id: str | None = ...,
        organization_id: str | None = ...,
        space_id: str | None = ...,
        connection_id: str | None = ...,
        project_ids: _Iterable[str] | None = ...,
        created_by: str | None = ...,
        created_at: Timestamp | _datetime.datetime | None = ...,
        modified_by: str | None = ...,
        modified_at: Timestamp | _datetime.datetime | None = ...,
        talk_fields: _Iterable[Field] | None = ...,
        conversation_statistics: ConversationStatistics | None = ...,
        talk_state: TalkState | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['created_at', 'modified_at', 'conversation_statistics', 'talk_state']) -> bool: ...
    def ClearField(self, field_name: _Literal['id', 'organization_id', 'space_id', 'connection_id', 'project_ids', 'created_by', 'created_at', 'modified_by', 'modified_at', 'talk_fields', 'conversation_statistics', 'talk_state']) -> None: ...

@_final
class Field(_Message):
    DESCRIPTOR: _Descriptor
    name: str
    value: str
    type: FieldType
    def __init__(
        self,
        *,
        name: str | None = ...,
        value: str | None = ...,
        type: FieldType | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['name', 'value', 'type']) -> None: ...

@_final
class TalkState(_Message):
    DESCRIPTOR: _Descriptor
    processing_state: ProcessingState
    @property
    def algorithm_processing_infos(self) -> _Messages[AlgorithmProcessingInfo]: ...
    def __init__(
        self,
        *,
        processing_state: ProcessingState | None = ...,
        algorithm_processing_infos: _Iterable[AlgorithmProcessingInfo] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['processing_state', 'algorithm_processing_infos']) -> None: ...

@_final
class AlgorithmProcessingInfo(_Message):
    DESCRIPTOR: _Descriptor
    algorithm: Algorithm
    processing_state: ProcessingState
    def __init__(
        self,
        *,
        algorithm: Algorithm | None = ...,
        processing_state: ProcessingState | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['algorithm', 'processing_state']) -> None: ...

# google/protobuf/field_mask.proto

@_final
class FieldMask(_Message, _mixins.FieldMask):
    DESCRIPTOR: _Descriptor
    @property
    def paths(self) -> _Scalars[str]: ...
    def __init__(
        self,
        *,
        paths: _Iterable[str] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['paths']) -> None: ...

# yandex/cloud/speechsense/v1/text.proto

@_final
class TextContent(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def messages(self) -> _Messages[Message]: ...
    def __init__(
        self,
        *,
        messages: _Iterable[Message] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['messages']) -> None: ...

@_final
class Message(_Message):
    DESCRIPTOR: _Descriptor
    user_id: str
    @property
    def timestamp(self) -> Timestamp: ...
    @property
    def text(self) -> TextPayload: ...
    def __init__(
        self,
        *,
        user_id: str | None = ...,
        timestamp: Timestamp | _datetime.datetime | None = ...,
        text: TextPayload | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['timestamp', 'text', 'payload']) -> bool: ...
    def WhichOneof(self, oneof_group: _Literal['payload']) -> _Literal['text'] | None: ...
    def ClearField(self, field_name: _Literal['user_id', 'timestamp', 'text', 'payload']) -> None: ...

@_final
class TextPayload(_Message):
    DESCRIPTOR: _Descriptor
    text: str
    def __init__(
        self,
        *,
        text: str | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['text']) -> None: ...

# yandex/cloud/speechsense/v1/talk_service.proto

class UserRole(int, metaclass=_Enum):
    USER_ROLE_UNSPECIFIED: _ClassVar[UserRole]
    USER_ROLE_OPERATOR: _ClassVar[UserRole]
    USER_ROLE_CLIENT: _ClassVar[UserRole]
    USER_ROLE_BOT: _ClassVar[UserRole]

@_final
class StreamTalkRequest(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def metadata(self) -> TalkMetadata: ...
    @property
    def audio(self) -> AudioStreamingRequest: ...
    def __init__(
        self,
        *,
        metadata: TalkMetadata | None = ...,
        audio: AudioStreamingRequest | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['metadata', 'audio', 'Event']) -> bool: ...
    def WhichOneof(self, oneof_group: _Literal['Event']) -> _Literal['metadata', 'audio'] | None: ...
    def ClearField(self, field_name: _Literal['metadata', 'audio', 'Event']) -> None: ...

@_final
class UploadTalkRequest(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def metadata(self) -> TalkMetadata: ...
    @property
    def audio(self) -> AudioRequest: ...
    talk_id: str
    def __init__(
        self,
        *,
        metadata: TalkMetadata | None = ...,
        audio: AudioRequest | None = ...,
        talk_id: str | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['metadata', 'audio']) -> bool: ...
    def ClearField(self, field_name: _Literal['metadata', 'audio', 'talk_id']) -> None: ...

@_final
class UploadTalkResponse(_Message):
    DESCRIPTOR: _Descriptor
    talk_id: str
    def __init__(
        self,
        *,
        talk_id: str | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['talk_id']) -> None: ...

@_final
class UploadTextRequest(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def metadata(self) -> TalkMetadata: ...
    @property
    def text_content(self) -> TextContent: ...
    talk_id: str
    def __init__(
        self,
        *,
        metadata: TalkMetadata | None = ...,
        text_content: TextContent | None = ...,
        talk_id: str | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['metadata', 'text_content']) -> bool: ...
    def ClearField(self, field_name: _Literal['metadata', 'text_content', 'talk_id']) -> None: ...

@_final
class UploadTextResponse(_Message):
    DESCRIPTOR: _Descriptor
    talk_id: str
    def __init__(
        self,
        *,
        talk_id: str | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['talk_id']) -> None: ...

@_final
class TalkMetadata(_Message):
    DESCRIPTOR: _Descriptor
    connection_id: str
    @property
    def fields(self) -> _ScalarMap[str, str]: ...
    @property
    def users(self) -> _Messages[UserMetadata]: ...
    def __init__(
        self,
        *,
        connection_id: str | None = ...,
        fields: _Mapping[str, str] | None = ...,
        users: _Iterable[UserMetadata] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['connection_id', 'fields', 'users']) -> None: ...

@_final
class UserMetadata(_Message):
    DESCRIPTOR: _Descriptor
    id: str
    role: UserRole
    @property
    def fields(self) -> _ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        id: str | None = ...,
        role: UserRole | None = ...,
        fields: _Mapping[str, str] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['id', 'role', 'fields']) -> None: ...

@_final
class SearchTalkRequest(_Message):
    DESCRIPTOR: _Descriptor
    organization_id: str
    space_id: str
    connection_id: str
    project_id: str
    @property
    def filters(self) -> _Messages[Filter]: ...
    @property
    def query(self) -> Query: ...
    page_size: int
    page_token: str
    @property
    def sort_data(self) -> SortData: ...
    def __init__(
        self,
        *,
        organization_id: str | None = ...,
        space_id: str | None = ...,
        connection_id: str | None = ...,
        project_id: str | None = ...,
        filters: _Iterable[Filter] | None = ...,
        query: Query | None = ...,
        page_size: int | None = ...,
        page_token: str | None = ...,
        sort_data: SortData | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['query', 'sort_data']) -> bool: ...
    def ClearField(self, field_name: _Literal['organization_id', 'space_id', 'connection_id', 'project_id', 'filters', 'query', 'page_size', 'page_token', 'sort_data']) -> None: ...

@_final
class SearchTalkResponse(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def talk_ids(self) -> _Scalars[str]: ...
    talks_count: int
    next_page_token: str
    def __init__(
        self,
        *,
        talk_ids: _Iterable[str] | None = ...,
        talks_count: int | None = ...,
        next_page_token: str | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['talk_ids', 'talks_count', 'next_page_token']) -> None: ...

@_final
class GetTalkRequest(_Message):
    DESCRIPTOR: _Descriptor
    organization_id: str
    space_id: str
    connection_id: str
    project_id: str
    @property
    def talk_ids(self) -> _Scalars[str]: ...
    @property
    def results_mask(self) -> FieldMask: ...
    def __init__(
        self,
        *,
        organization_id: str | None = ...,
        space_id: str | None = ...,
        connection_id: str | None = ...,
        project_id: str | None = ...,
        talk_ids: _Iterable[str] | None = ...,
        results_mask: FieldMask | None = ...,
    ) -> None: ...
    def HasField(self, field_name: _Literal['results_mask']) -> bool: ...
    def ClearField(self, field_name: _Literal['organization_id', 'space_id', 'connection_id', 'project_id', 'talk_ids', 'results_mask']) -> None: ...

@_final
class GetTalkResponse(_Message):
    DESCRIPTOR: _Descriptor
    @property
    def talk(self) -> _Messages[Talk]: ...
    def __init__(
        self,
        *,
        talk: _Iterable[Talk] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['talk']) -> None: ...

@_final
class UploadBadgeMetadata(_Message):
    DESCRIPTOR: _Descriptor
    badge_id: str
    def __init__(
        self,
        *,
        badge_id: str | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['badge_id']) -> None: ...

@_final
class UploadBadgeResponse(_Message):
    DESCRIPTOR: _Descriptor
    badge_id: str
    @property
    def talk_ids(self) -> _Scalars[str]: ...
    def __init__(
        self,
        *,
        badge_id: str | None = ...,
        talk_ids: _Iterable[str] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: _Literal['badge_id', 'talk_ids']) -> None: ...
