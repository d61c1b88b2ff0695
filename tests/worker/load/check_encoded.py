"""Opens with Pillow what encode_test.cpp has written to FOLDER/written: check_encoded.py FOLDER

NAME.npy is a picture; NAME.png and NAME.lossless.webp must have its pixels, NAME.QUALITY.webp about those of Pillow's own file.
"""
import io
import pathlib
import sys

import numpy as np
from PIL import Image


def opened(path, grey):
    picture = Image.open(path)
    picture.load()
    if grey and picture.mode == "RGB":  # WebP has no grey
        picture = picture.getchannel(0)
    return np.asarray(picture).astype(int)


def main(folder):
    checked = 0
    for source in sorted((folder / "written").glob("*.npy")):
        wanted = np.load(source)
        grey = wanted.shape[2] == 1
        wanted = wanted[:, :, 0] if grey else wanted
        for kind in ("png", "lossless.webp"):
            got = opened(source.with_suffix(f".{kind}"), grey)
            assert got.shape == wanted.shape and (got == wanted).all(), f"{source.stem}.{kind}"
            checked += 1
        assert Image.open(source.with_suffix(".png")).mode == ("L" if grey else "RGB")
        for quality in (10, 80, 100):
            theirs = io.BytesIO()
            Image.fromarray(wanted).convert("RGB").save(theirs, "webp", quality=quality)
            got, like = opened(source.with_suffix(f".{quality}.webp"), grey), opened(theirs, grey)
            assert got.shape == wanted.shape
            # Other versions of libwebp choose other bits: as close to the picture as Pillow's file, up to 1 of 255 on average.
            ours_off, theirs_off = abs(got - wanted).mean(), abs(like - wanted).mean()
            assert ours_off <= theirs_off + 1, f"{source.stem}.{quality}.webp: {ours_off} and {theirs_off}"
            checked += 1
    assert checked >= 25, checked
    print(f"{checked} files")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
