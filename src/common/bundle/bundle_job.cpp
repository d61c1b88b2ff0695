#include "mgpu/bundle_job.hpp"

#include <algorithm>

#include "mgpu/bundle.hpp"

namespace mgpu {

namespace {

/// The only columns of a detector are boxes, scores and classes, besides outputs that the bundle names.
void check_detector_options(const Bundle& bundle, const Config& config) {
  if (config.get<std::int64_t>("topk") > 0) throw usage_error("--topk: a detector has no classes of whole pictures");
  if (!config.get<std::string>("label-column").empty() && std::ranges::find(bundle.outputs, "label") == bundle.outputs.end())
    throw usage_error("--label-column: a detector has no classes of whole pictures");
}

} // namespace

std::vector<OptionSpec> BundleJob::options() const {
  return {
      {"image-size", "", "height and width the model sees, pixels; needed for a bare .pt that takes images", "N|H,W"},
      {"resize",
       "",
       "how a picture is resized: shorter, exact, letterbox or none",
       "RULE",
       {"", "shorter", "exact", "letterbox", "none"}},
      {"resize-to", 0, "shorter side after resizing, pixels; 0: the image size", "N"},
      {"crop", "", "what is cut from the resized picture: center or none", "RULE", {"", "center", "none"}},
      {"interpolation", "", "bilinear, bicubic, nearest or lanczos", "NAME", {"", "bilinear", "bicubic", "nearest", "lanczos"}},
      {"channels", 0, "3 RGB, 1 grey; 0: the bundle's", "N"},
      {"scale", 0.0, "factor for bytes before mean and std; 0: the bundle's, or 1/255", "X"},
      {"mean", "", "mean by channel, after scaling", "A,B,C"},
      {"std", "", "standard deviation by channel, after scaling", "A,B,C"},
      {"sample-rate", 0, "sample rate of the model, Hz; needed for a bare .pt that takes audio", "HZ"},
      {"audio-seconds", 0.0, "cut or pad every recording to this; 0: whole files", "SECONDS"},
      {"features", "", "input of an audio model: waveform or log_mel", "NAME", {"", "waveform", "log_mel"}},
      {"mels", 0, "mel bands; 0: the bundle's, or 80", "N"},
      {"decode",
       "auto",
       "JPEG decoder on GPU ranks: cpu, or nvjpeg (faster where cores are few); auto: cpu",
       "WHO",
       {"auto", "cpu", "nvjpeg"}},
      {"outputs", "", "names of the model's outputs, in order", "A,B"},
      {"labels", "", "file with one class name per line", "FILE"},
      {"topk", 0, "best K classes with their scores; 0: the best one when there are labels", "K"},
      {"label-column", "", "column of the input table with the true class: prints the accuracy", "NAME"},
  };
}

void BundleJob::check(const Config& config) const {
  const auto model = config.get<std::string>("model");
  if (model.empty()) throw usage_error("--model is missing: a .pt, a .pt2 or a bundle folder");
  const Bundle bundle = Bundle::open(model, config);
  if (bundle.detection) check_detector_options(bundle, config);
}

Media BundleJob::media(const Config& config) const {
  return Bundle::open(config.get<std::string>("model"), config).image ? Media::images : Media::audio;
}

std::vector<std::string> BundleJob::item_columns(const Config& config) const {
  const auto label = config.get<std::string>("label-column");
  return label.empty() ? std::vector<std::string>{} : std::vector<std::string>{label};
}

void BundleJob::check_items(const Config& config, const Items& items) const {
  const auto label = config.get<std::string>("label-column");
  if (!label.empty()) check_labels(items, Bundle::open(config.get<std::string>("model"), config).labels, label);
}

void BundleJob::finish(const Config& config, const Results& results, std::ostream& out) const {
  const auto label = config.get<std::string>("label-column");
  if (!label.empty()) print_accuracy(results, Bundle::open(config.get<std::string>("model"), config).labels, label, out);
}

} // namespace mgpu
