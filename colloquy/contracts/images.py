"""Pictures that a caller uploads once and refers to afterwards."""

from colloquy.contracts.content import ImageUrl
from colloquy.contracts.contract import Contract


class ImageUpload(Contract):
    """The JSON form of an upload: the picture as a `data:` URL (or `https:`, where allowed)."""

    image: ImageUrl


class UploadedImage(Contract):
    """`ref` stands wherever an image URL may stand, for the tenant that uploaded it."""

    ref: str
    media_type: str
    width: int
    height: int
    bytes: int
    request_id: str
