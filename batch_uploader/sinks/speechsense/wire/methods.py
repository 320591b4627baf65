"""The paths of the methods that this project calls or serves; each is declared in ``protos/``.

Their requests and responses are in the service's definition there.
"""

from typing import Final

__all__ = [
    "CREATE_IAM_TOKEN",
    "GET",
    "GET_OPERATION",
    "SEARCH",
    "UPLOAD",
    "UPLOAD_AS_STREAM",
    "UPLOAD_BADGE",
    "UPLOAD_TEXT",
]

UPLOAD: Final = "/yandex.cloud.speechsense.v1.TalkService/Upload"
UPLOAD_AS_STREAM: Final = "/yandex.cloud.speechsense.v1.TalkService/UploadAsStream"
UPLOAD_TEXT: Final = "/yandex.cloud.speechsense.v1.TalkService/UploadText"
UPLOAD_BADGE: Final = "/yandex.cloud.speechsense.v1.TalkService/UploadBadge"
SEARCH: Final = "/yandex.cloud.speechsense.v1.TalkService/Search"
GET: Final = "/yandex.cloud.speechsense.v1.TalkService/Get"

CREATE_IAM_TOKEN: Final = "/yandex.cloud.iam.v1.IamTokenService/Create"  # noqa: S105 - a path
GET_OPERATION: Final = "/yandex.cloud.operation.OperationService/Get"
