"""Images of requests as the engine takes them: decoded, upright, and without transparency.

The guard has read the size off the header before; see `guard.image`. Decoding is Pillow's, of four formats
and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from typing import Final

from genesis_stack.engine.interface import Image
from genesis_stack.server.errors import bad_request

_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")


def decoded(url: str, param: str, *, max_pixels: int) -> Image:
    """The first frame of a data: URI's image, turned as its EXIF orientation says, on white.

    Raises:
        HttpError: 400, it is broken or has more than `max_pixels`.
    """
    import PIL.Image
    import PIL.ImageOps

    try:
        data = base64.b64decode(url.partition(",")[2], validate=True)
        with (
            warnings.catch_warnings(action="ignore"),
            PIL.Image.open(io.BytesIO(data), formats=_FORMATS) as file,
        ):
            if file.width * file.height > max_pixels:
                raise bad_request(f"{param}: the image has more than {max_pixels} pixels.", param=param)
            upright = PIL.ImageOps.exif_transpose(file)
            flat = PIL.Image.new("RGBA", upright.size, "white")
            flat.alpha_composite(upright.convert("RGBA"))
            rgb = flat.convert("RGB")
    except (binascii.Error, OSError, SyntaxError, ValueError, EOFError) as exc:
        # What Pillow's decoders raise for broken files.
        raise bad_request(f"{param}: the image is broken.", param=param) from exc
    return Image(rgb.width, rgb.height, rgb.tobytes())
