#include <algorithm>
#include <array>

#include "agent/cli/options.hpp"

namespace mgpu::agent::cli {

const std::vector<OptionSpec>& common_options() {
  static const std::vector<OptionSpec> options{
      {"input", "", "folder (recursive, sorted), glob, one file, list .txt, table .csv/.jsonl with a column path, or - for stdin",
       "PATH"},
      {"model", "", "TorchScript .pt, AOTInductor .pt2, or a bundle folder with bundle.json", "PATH"},
      {"model-sha256", "", "the model must have this SHA-256 (of a folder: as inspect shows it); a model is a program", "HEX"},
      {"output", "", "the one result file, HDF5", "FILE.h5"},
      {"config", "", "TOML file that sets any of these options", "FILE.toml"},
      {"batch-size", "auto", "items per batch; auto: 64 on GPUs, 16 on CPUs, 8 recordings", "N|auto"},
      {"devices", "auto", "GPUs of a node by index or UUID (0,2,3), auto or cpu; CUDA_VISIBLE_DEVICES is honoured", "LIST"},
      {"max-gpu-memory", "",
       "leave out GPUs of whose memory other processes use more before the start, for example 10%; one named by --devices: exit "
       "2",
       "P%"},
      {"max-gpu-temp", 0.0,
       "degrees Celsius from which a rank's GPU gets no new work until it is 5 below, for example 85; training: warns; 0: no "
       "limit",
       "C"},
      {"max-hold", 1800.0, "seconds to wait while all GPUs are too hot, before the run stops with exit code 75", "SECONDS"},
      {"oversubscribe", false, "allow several ranks on one GPU"},
      {"dtype", "float32", "number format the model computes in", "TYPE", {"float32", "bfloat16", "float16"}},
      {"schedule",
       "dynamic",
       "how batches are assigned to ranks: dynamic (pull), block (contiguous), cyclic (i mod ranks)",
       "NAME",
       {"dynamic", "block", "cyclic"}},
      {"cost-column", "", "table column with each item's expected cost: longest first; default: duration, seconds, cost, size",
       "NAME"},
      {"ship", "paths", "what rank 0 sends: paths (shared file system) or the files' bytes", "WHAT", {"paths", "bytes"}},
      {"loaders", 0, "decoding threads per rank; 0: by its share of the cores", "N"},
      {"threads", 0, "intra-op threads per rank; 0: cores of the node / its ranks", "N"},
      {"model-load",
       "auto",
       "how ranks open the model: staged (read once per node, shared in memory), staggered (one after the other), "
       "independent; auto: staged unless the model is on a local disk",
       "HOW",
       {"auto", "staged", "staggered", "independent"}},
      {"resume", false, "continue an earlier run; a complete one is left as it is"},
      {"retry-failed", false, "process the failed rows of an earlier run again, also of a complete one; all others are kept"},
      {"verify", false,
       "with --resume or --retry-failed: compare all finished rows with their checksums, not only the last ones"},
      {"overwrite", false, "replace an existing output file"},
      {"shard", "",
       "share I of N of the input, cut at whole batches: --shard 1/3, 2/3 and 3/3 on three machines; mgpu_run merge joins "
       "their files to that of a run without --shard",
       "I/N"},
      {"retries", 2, "how often an item is retried after it killed or hung its worker", "N"},
      {"item-timeout", "auto",
       "seconds per item before its worker is replaced; a batch may take that times its items; 0: no limit; auto: "
       "100 times the median seen, at least 10 minutes (an hour before any was seen)",
       "SECONDS|auto"},
      {"stall-timeout", 60.0,
       "seconds without a sign of life, or without progress on an item, before a worker is replaced; 0: no limit", "SECONDS"},
      {"max-restarts", 5, "worker deaths in a row, without a finished batch in between, before a rank is given up", "N"},
      {"max-failures", "", "stop when more items than this have failed", "N|P%"},
      {"max-pixels", 200e6, "larger pictures fail before they are decoded", "N"},
      {"max-audio-seconds", 14400.0, "longer recordings fail before they are decoded", "SECONDS"},
      {"prefetch-bytes", 2e9, "recordings: bytes loaded ahead; a batch that padding makes larger is processed in parts", "N"},
      {"max-file-bytes", 4e9, "larger files fail before they are read", "N"},
      {"max-item-memory", 4e9, "files whose decoding needs more memory than this fail, bytes", "N"},
      {"progress", "auto", "bar on a terminal, a plain line every 10 s elsewhere", "HOW", {"auto", "bar", "plain", "none"}},
      {"log-dir", "", "folder for one log file per rank", "FOLDER"},
      {"trace", "", "Chrome trace of the run (opens in Perfetto)", "FILE.json"},
      {"start-timeout", 60.0, "seconds to wait for all ranks to start", "SECONDS"},
      {"rank-timeout", 25.0, "seconds without a message before a rank is given up", "SECONDS"},
      {"grace", 20.0, "seconds to finish batches in progress after a signal", "SECONDS"},
      {"fault", "", "faults to inject (testing), for example 'segv:item=9; kill:rank=1,batch=3'; see docs/faults.md", "SPEC"},
      {"dry-run", false, "print the plan and run nothing"},
  };
  return options;
}

bool changes_results(std::string_view option) {
  // Not listed: --input, --model and --batch-size. The identity of a run has their resolved values.
  constexpr std::array<std::string_view, 6> names{"dtype",          "max-pixels",      "max-audio-seconds",
                                                  "max-file-bytes", "max-item-memory", "prefetch-bytes"};
  return std::find(names.begin(), names.end(), option) != names.end();
}

} // namespace mgpu::agent::cli
