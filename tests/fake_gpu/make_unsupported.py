"""usage: make_unsupported.py FUNCTIONS SOURCES… -o SOURCE -m MAP --version=NAME: the functions of the list FUNCTIONS that no source defines answer "operation not supported" (801); MAP gives
all of them the version that programs linked against the real library ask for."""

import argparse
import pathlib
import re

parser = argparse.ArgumentParser()
parser.add_argument("functions", type=pathlib.Path)
parser.add_argument("sources", type=pathlib.Path, nargs="*")
parser.add_argument("-o", dest="output", type=pathlib.Path, required=True)
parser.add_argument("-m", dest="map", type=pathlib.Path, required=True)
parser.add_argument("--version", required=True)
options = parser.parse_args()
defined = {name for source in options.sources for name in re.findall(r"^FAKE_GPU_API [\w\s*]*?[\s*](\w+)\(", source.read_text(), re.MULTILINE)}
wanted = set(options.functions.read_text().split())
options.output.write_text("".join(f'extern "C" __attribute__((visibility("default"))) int {name}() {{\n  return 801;\n}}\n' for name in sorted(wanted - defined)))
options.map.write_text(f"{options.version} {{\n  global:\n" + "".join(f"    {name};\n" for name in sorted(wanted | defined)) + "  local:\n    *;\n};\n")
