"""Pictures resized and encoded by Pillow, for the tests of resize and encode_…; called by make_references.py.

resized.tsv: npy with a uint8 picture [H, W, C], height, width, filter, npy with Image.resize((width, height), filter)
plain.tsv: the same without antialias: torch's interpolate along x, then along y, each rounded to bytes; for lanczos Pillow
encoded.tsv: npy with a picture, quality, the JPEG that Pillow's save(quality=…) writes
"""
import numpy as np
import torch
from PIL import Image

FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


def pictures(china):
    generator = np.random.default_rng(4)
    noise = Image.fromarray(generator.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    edges = Image.fromarray((generator.integers(0, 2, (29, 37, 3)) * 255).astype(np.uint8))
    return {"photo": china.resize((123, 91)), "grey": china.convert("L").resize((86, 64)), "noise": noise, "edges": edges,
            "pixel": noise.crop((3, 3, 4, 4)), "column": noise.crop((5, 0, 6, 48))}


def saved(name, array):
    np.save(name, np.ascontiguousarray(array))
    return name


def as_array(picture):
    array = np.asarray(picture)
    return array.reshape(*array.shape[:2], -1)


def write_resized(made, table):
    for name, picture in made.items():
        source = saved(f"resize_{name}.npy", as_array(picture))
        for height, width in ((45, 60), (91, 123), (200, 310), (1, 1), (30, 123), (91, 40), (500, 7)):
            for how, pillow in FILTERS.items():
                result = saved(f"resize_{name}_{height}_{width}_{how}.npy", as_array(picture.resize((width, height), pillow)))
                table.write(f"{source}\t{height}\t{width}\t{how}\t{result}\n")
    wide = Image.fromarray(np.random.default_rng(6).integers(0, 256, (3, 4000, 3), dtype=np.uint8))
    source = saved("resize_wide.npy", as_array(wide))
    for how, pillow in FILTERS.items(): # more than a thousand coefficients per pixel
        table.write(f"{source}\t2\t13\t{how}\t{saved(f'resize_wide_{how}.npy', as_array(wide.resize((13, 2), pillow)))}\n")


def interpolated(pixels, height, width, how):
    """Two passes of torch's interpolate over [H, W, C] bytes, halves rounded upwards."""
    values = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].double()
    for size in ((values.shape[2], width), (height, width)):
        values = torch.nn.functional.interpolate(values, size, mode=how, align_corners=False, antialias=False)
        values = (values + 0.5).floor().clamp(0, 255)
    return values[0].permute(1, 2, 0).to(torch.uint8).numpy()


def write_plain(made, table):
    for name in ("photo", "grey", "noise", "edges", "column"):
        picture = made[name]
        for how in ("bilinear", "bicubic"):
            for height, width in ((43, 59), (19, 31), (199, 307), (1, 1)):  # no common factors: hardly a value lies between two bytes
                result = saved(f"plain_{name}_{height}_{width}_{how}.npy", interpolated(as_array(picture), height, width, how))
                table.write(f"resize_{name}.npy\t{height}\t{width}\t{how}\t{result}\n")
        # Half the size takes every second sample of a resize that moves the picture by half a pixel.
        width, height = picture.width // 2, picture.height // 2
        even = picture.crop((0, 0, width * 2, height * 2))
        if width == 0:
            continue
        source = saved(f"resize_{name}_even.npy", as_array(even))
        moved = even.resize((even.width - 1, even.height - 1), Image.LANCZOS, box=(0.5, 0.5, even.width - 0.5, even.height - 0.5))
        result = saved(f"plain_{name}_lanczos.npy", as_array(moved)[::2, ::2])
        table.write(f"{source}\t{height}\t{width}\tlanczos\t{result}\n")


def write_encoded(made, table):
    for name, picture in made.items():
        for quality in (1, 50, 90, 100):
            picture.save(f"encoded_{name}_{quality}.jpg", quality=quality)
            table.write(f"resize_{name}.npy\t{quality}\tencoded_{name}_{quality}.jpg\n")


def write(china):
    made = pictures(china)
    for name, writer in (("resized.tsv", write_resized), ("plain.tsv", write_plain), ("encoded.tsv", write_encoded)):
        with open(name, "w") as table:
            writer(made, table)
