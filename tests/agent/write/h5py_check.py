"""Opens a result file as its users do, with h5py (and h5dump where it is installed), and checks every value.

h5py_check.py MAKE_SAMPLE: runs it on a temporary folder; what item i holds is defined in samples.hpp.
"""
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy as np

N = 50


def fails(item):
    return item % 11 == 3


def expected_values(item, count, dtype):
    values = (item * 7 + np.arange(count)) % 100
    return (values % 2 if dtype == np.bool_ else values).astype(dtype)


def check_fixed(results):
    names = ["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool"]
    for name in names:
        data = results["fixed_" + name]
        assert data.dtype == np.dtype(name), (name, data.dtype)
        assert data.shape == (N, 2, 3), data.shape
        assert data.chunks is None
        for item in range(N):
            row = data[item].ravel()
            if not fails(item):
                np.testing.assert_array_equal(row, expected_values(item, 6, np.dtype(name)))
            elif np.dtype(name).kind == "f":
                assert np.isnan(row).all()
            else:
                assert not row.any()
    assert results["scalar"].shape == (N,)
    assert results["nothing"].shape == (N, 0)


def check_ragged(results):
    for name, dtype, width in [("boxes", np.float32, 4), ("codes", np.int64, 1)]:
        values, offsets = results[name]["values"], results[name]["offsets"]
        assert values.dtype == dtype and offsets.dtype == np.uint64 and offsets.shape == (N + 1,)
        assert offsets[0] == 0 and offsets[N] == len(values)
        for item in range(N):
            row = values[offsets[item]:offsets[item + 1]].ravel()
            count = 0 if fails(item) else item % 4
            np.testing.assert_array_equal(row, expected_values(item, count * width, dtype))


def check_text(file):
    text = file["results/text"].asstr()
    for item in range(N):
        expected = "" if fails(item) or item % 5 == 0 else f'문장 {item}\n"x"'
        assert text[item] == expected, (text[item], expected)
    paths = file["items/path"]
    info = h5py.check_string_dtype(paths.dtype)
    assert info.encoding == "utf-8" and info.length is None
    for item in range(N):
        expected = [b"/plain%d", b'/new\nline "quoted" %d', "/한국어 ".encode() + b"%d", b"/bytes\xff\xfe%d"][item % 4] % item
        assert paths[item] == expected, (paths[item], expected)
    assert paths.asstr(errors="surrogateescape")[3] == "/bytes\udcff\udcfe3"
    for item in range(N):
        assert file["items/error"].asstr()[item] == (f"not a picture: item {item}" if fails(item) else "")
    assert file["items/label"].asstr()[4] == "label 1"
    assert file["items/manifest_seconds"].asstr()[7] == "7"
    assert file["items/a_b"].attrs["manifest_column"] == "a/b"


def check_items(file):
    status = file["items/status"]
    assert status.dtype == np.uint8
    assert h5py.check_enum_dtype(status.dtype) == {"pending": 0, "ok": 1, "failed": 2}
    np.testing.assert_array_equal(status[:], [2 if fails(i) else 1 for i in range(N)])
    for name, dtype in [("attempts", np.uint16), ("rank", np.int32), ("seconds", np.float32), ("flags", np.uint8), ("crc32c", np.uint32)]:
        assert file["items"][name].dtype == dtype and file["items"][name].shape == (N,)
    assert (file["items/rank"][:] == 1).all() and (file["items/seconds"][:] == 0.25).all()


def check_attributes(file):
    expected = dict(schema="mgpu/1", job="infer", command="mgpu_run infer --input x", config='{"batch-size": 4}', version="0.1.0",
                    model="model.pt", model_sha256="abc", started="2025-01-01T00:00:00Z", finished="2025-01-01T00:00:10Z", complete=1,
                    world_size=3, resumes=0, identity="")
    found = dict(file.attrs)
    assert len(found.pop("run")) == 16  # another number every time
    assert found == expected, found


def check_ranks(file):
    ranks = file["ranks"][:]
    assert list(ranks["rank"]) == [0, 1] and list(ranks["host"]) == [b"node1", b"node1"]
    assert list(ranks["uuid"]) == [b"", b"GPU-1"] and list(ranks["items"]) == [5, 5] and list(ranks["busy_s"]) == [1.5, 1.5]
    assert {"device", "load_wait_s", "write_wait_s", "grant_wait_s", "load_s", "wall_s", "open_s", "memory_bytes"} <= set(ranks.dtype.names)


def main(make_sample):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([make_sample, folder], check=True, timeout=60)
        path = folder + "/sample.h5"
        with h5py.File(path) as file:
            check_attributes(file)
            check_items(file)
            check_fixed(file["results"])
            check_ragged(file["results"])
            check_text(file)
            check_ranks(file)
        for tool in ["h5dump", "h5ls"]:
            if shutil.which(tool):
                arguments = [tool, path] if tool == "h5dump" else [tool, "-r", path]
                shown = subprocess.run(arguments, check=True, timeout=60, capture_output=True).stdout
                assert b"status" in shown and b"fixed_float16" in shown
    print("h5py", h5py.version.version, "with HDF5", h5py.version.hdf5_version, "reads every value")


if __name__ == "__main__":
    main(sys.argv[1])
