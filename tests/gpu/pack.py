"""Packs what `./dev gpu check` needs on a machine with a GPU and without this project: `pack.py BUILD ARCHIVE`.

The archive holds the stripped programs, the shared libraries they need beyond glibc, LibTorch and CUDA (those are the machine's own: PyTorch
of the same version), Open MPI, nvJPEG, and the scripts of the checks. FFmpeg links large encoders and renderers that no decoding needs;
empty libraries with the same symbols stand in for them, so that the archive stays small.
"""

import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
SITE = next((VENV / "lib").glob("python3*/site-packages"))
PROGRAMS = ("bin/mgpu_run", "bin/mgpu_worker")
TESTS = ("worker_collective_cuda_test",)
SCRIPTS = ("tests/gpu", "tests/e2e/conftest.py", "tests/e2e/training.py", "jobs/train/digits.py")
MOST_BYTES = 64 * 2**20
CHECK = """#!/bin/sh
# The checks of this archive, with a Python that has PyTorch 2.11, torchvision, h5py, Pillow and scikit-learn.
exec "${MGPU_PYTHON:-python3}" "$(dirname "$0")/source/tests/gpu/check.py" "$(dirname "$0")" "$@"
"""

# What every machine has, or has in its PyTorch.
FOREIGN = re.compile(r"/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|util|stdc\+\+|gcc_s)\.so\.[0-9]+)$")
# Encoders, renderers and protocols that libavcodec and libavformat are linked with and decoding never calls. (Whatever can recognise a file, as libgme and
# libopenmpt do, is called for each file and stays.)
UNUSED = re.compile(r"/lib(x264|x265|SvtAv1Enc|rav1e|aom|vpx|dav1d|codec2|rsvg-2|cairo|cairo-gobject|pango[a-z0-9.-]*|gdk_pixbuf-2.0|jxl[a-z_]*|hwy|xvidcore|"
                    r"icudata|icuuc|xml2|glib-2.0|gio-2.0|gobject-2.0|gmodule-2.0|harfbuzz|X11|Xext|xcb[a-z0-9-]*|zmq|srt-gnutls|ssh-gcrypt|gnutls|p11-kit|unistring|"
                    r"freetype|fontconfig|pixman-1|rabbitmq|bluray|chromaprint|va[a-z0-9-]*|vdpau|mfx|OpenCL|theora[a-z]*|shine|twolame|vorbisenc|mp3lame|openjp2)\.so[^/]*$")


def libraries_of(file):
    """Every shared library a program needs, resolved."""
    text = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=True).stdout
    if "not found" in text:
        raise SystemExit(f"{file}: a library is missing:\n{text}")
    return {pathlib.Path(found) for found in re.findall(r"=> (/\S+)", text)}


def soname(file):
    text = subprocess.run(["readelf", "-dW", str(file)], capture_output=True, text=True, check=True).stdout
    found = re.search(r"SONAME.*\[(.*)\]", text)
    return found.group(1) if found else file.name


def symbols(file):
    """Names a library asks for, and {name: (type, version, size)} of those it offers."""
    wanted, offered = set(), {}
    text = subprocess.run(["readelf", "--dyn-syms", "-W", str(file)], capture_output=True, text=True, check=True).stdout
    for fields in (line.split() for line in text.splitlines()):
        if len(fields) < 8 or not re.fullmatch(r"\d+:", fields[0]):
            continue
        name, _, version = fields[7].partition("@")
        if fields[6] == "UND":
            wanted.add(name)
        else:
            offered[name] = (fields[3], version.lstrip("@"), int(fields[2], 0))
    return wanted, offered


def stand_in(library, wanted, out):
    """An empty library with those symbols of `library` that anything kept asks for."""
    code, by_version = "", collections.defaultdict(list)
    for name, (kind, version, size) in sorted(symbols(library)[1].items()):
        if name in wanted and re.fullmatch(r"\w+", name):
            code += f"char {name}[{max(size, 8)}];\n" if kind == "OBJECT" else f"int {name}(void) {{ return 0; }}\n"
            by_version[version].append(name)
    with tempfile.TemporaryDirectory() as folder:
        source, versions = pathlib.Path(folder, "stand_in.c"), pathlib.Path(folder, "versions")
        source.write_text(code)
        versions.write_text("".join(f"{version} {{ global: {' '.join(name + ';' for name in names)} }};\n" for version, names in by_version.items() if version))
        command = ["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{soname(library)}", str(source), "-o", str(out / soname(library))]
        if versions.read_text():
            command.append(f"-Wl,--version-script={versions}")
        subprocess.run(command, check=True)


def copy_stripped(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["strip", "--strip-unneeded", "-o", str(target), str(source)], check=True)


def copy_open_mpi(target):
    for name in ("mpirun", "prte", "prted", "prterun", "ompirun_wrapper", "ompi_info", "prte_info"):
        if (VENV / "bin" / name).exists():
            target.joinpath("bin").mkdir(parents=True, exist_ok=True)
            shutil.copy2(VENV / "bin" / name, target / "bin" / name)
    for name in ("openmpi", "pmix", "prte"):
        for place in ("lib", "share"):
            if (VENV / place / name).is_dir():
                shutil.copytree(VENV / place / name, target / place / name)
    for library in (VENV / "lib").glob("lib*.so*"):
        shutil.copy2(library, target / "lib" / library.name)
    (target / "etc").mkdir()
    for settings in (VENV / "etc").glob("*.conf"):
        shutil.copy2(settings, target / "etc")


def main(build, archive):
    build, archive = pathlib.Path(build), pathlib.Path(archive).resolve()
    with tempfile.TemporaryDirectory(prefix="mgpu_pack_") as scratch:
        pack = pathlib.Path(scratch, "mgpu_gpu")
        programs = [build / name for name in PROGRAMS] + [next(build.rglob(name)) for name in TESTS]
        for program in programs:
            copy_stripped(program, pack / "bin" / program.name)
        copy_open_mpi(pack)
        found = set().union(*(libraries_of(program) for program in programs))
        for listed in re.findall(r"^(lib[\w.+-]+)$", pathlib.Path(__file__).with_name("loaded_later.txt").read_text(), re.M):
            found.update(library for library in (SITE / "nvidia/cu13/lib", pathlib.Path("/usr/local/cuda/lib64")) for library in library.glob(listed + "*"))
        kept = {library for library in found if not FOREIGN.search(str(library)) and not library.is_relative_to(VENV.resolve() / "lib") and not UNUSED.search(str(library))
                and not re.search(r"/lib(cudart|nccl|cuda|nvidia-ml|nvrtc|cublas|cudnn)", str(library))}
        wanted = set().union(*(symbols(file)[0] for file in [*kept, *programs]))
        (pack / "lib").mkdir(exist_ok=True)
        for library in kept:
            copy_stripped(library.resolve(), pack / "lib" / soname(library))
        for library in sorted(found):
            if UNUSED.search(str(library)):
                stand_in(library, wanted, pack / "lib")
        for script in SCRIPTS:
            target = pack / "source" / script
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / script).is_dir() else shutil.copy2)(ROOT / script, target)
        (pack / "check").write_text(CHECK)
        (pack / "check").chmod(0o755)
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout
        (pack / "commit").write_text(commit)
        archive.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-C", scratch, "-cf", str(archive), "-I", "xz -6 -T0", "mgpu_gpu"], check=True)
    size = os.path.getsize(archive)
    print(f"{archive}: {size / 2**20:.1f} MiB")
    if size > MOST_BYTES:
        raise SystemExit(f"the archive is larger than {MOST_BYTES // 2**20} MiB")


if __name__ == "__main__":
    main(*sys.argv[1:3])
