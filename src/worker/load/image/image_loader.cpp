#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "mgpu/error.hpp"
#include "mgpu/load.hpp"
#include "worker/load/file_bytes.hpp"
#include "worker/load/image/geometry.hpp"
#include "worker/load/image/kernels.hpp"
#include "worker/load/image/normalisation.hpp"
#include "worker/load/image/orient.hpp"
#include "worker/load/image/picture_decoder.hpp"
#include "worker/load/image/row_resampler.hpp"

namespace mgpu {

using namespace worker;

namespace worker::load {
namespace {

/// A decoder may deliver a smaller picture only if its sides are at least this many times the resized ones.
constexpr int reduction_margin = 2;

/// Buffers of one thread, reused between pictures.
struct Scratch {
  std::vector<std::uint8_t> file;
  std::vector<std::uint8_t> grey_row; ///< one row converted to grey, before it is resized
  ResampleMemory resample;
};

Scratch& scratch() {
  thread_local Scratch kept;
  return kept;
}

/// Receives source rows as they are decoded and writes each output row as soon as its last source row has arrived.
class Pipeline final : public RowSink {
 public:
  /// The axes of `scratch` are prepared.
  Pipeline(const ImageSpec& spec, PixelForm form, const Normalisation& normalisation, const Fit& fit, Scratch& scratch, void* out)
      : spec_(spec),
        form_(form),
        normalisation_(normalisation),
        pad_(fit.pad),
        scratch_(scratch),
        kernels_(kernels()),
        resampler_(scratch.resample),
        out_(static_cast<std::uint8_t*>(out)),
        x_(std::max(0, -fit.left)),
        y_(std::max(0, -fit.top)),
        columns_(scratch.resample.horizontal.count()),
        rows_(scratch.resample.vertical.count()) {
    if (columns_ < spec_.width || rows_ < spec_.height) fill_border();
  }

  void row(const std::uint8_t* rgbx) override {
    if (spec_.channels == 1) rgbx = grey(rgbx);
    resampler_.row(rgbx, [this](int y, const std::uint8_t* resized) { put(resized, columns_, x_, y_ + y); });
  }

 private:
  const std::uint8_t* grey(const std::uint8_t* rgbx) {
    const Axis& across = scratch_.resample.horizontal;
    const int width = across.source_end() - across.source_begin();
    scratch_.grey_row.resize(static_cast<std::size_t>(width) * 4 + row_slack);
    for (int x = 0; x < width; ++x, rgbx += 4) scratch_.grey_row[static_cast<std::size_t>(x) * 4] = luma(rgbx);
    return scratch_.grey_row.data();
  }

  /// Writes pixels at (x, y) of the output in its form.
  void put(const std::uint8_t* rgbx, int count, int x, int y) {
    const std::size_t at = static_cast<std::size_t>(y) * static_cast<std::size_t>(spec_.width) + static_cast<std::size_t>(x);
    if (form_ == PixelForm::uint8_hwc) {
      if (spec_.channels == 3) return kernels_.pack_rgb(rgbx, count, out_ + at * 3);
      for (int i = 0; i < count; ++i) out_[at + static_cast<std::size_t>(i)] = rgbx[i * 4];
      return;
    }
    const std::size_t plane = static_cast<std::size_t>(spec_.width) * static_cast<std::size_t>(spec_.height);
    float* planes[3] = {};
    for (int c = 0; c < spec_.channels; ++c)
      planes[c] = reinterpret_cast<float*>(out_) + static_cast<std::size_t>(c) * plane + at;
    kernels_.normalise(rgbx, count, spec_.channels, normalisation_.factor, normalisation_.offset, planes);
  }

  void fill_border() {
    const std::vector<std::uint8_t> pad(static_cast<std::size_t>(spec_.width) * 4, static_cast<std::uint8_t>(pad_));
    const int bottom = y_ + rows_, right = x_ + columns_;
    for (int y = 0; y < spec_.height; ++y) {
      if (y < y_ || y >= bottom) {
        put(pad.data(), spec_.width, 0, y);
      } else {
        put(pad.data(), x_, 0, y);
        put(pad.data(), spec_.width - right, right, y);
      }
    }
  }

  const ImageSpec& spec_;
  PixelForm form_;
  const Normalisation& normalisation_;
  int pad_;
  Scratch& scratch_;
  const Kernels& kernels_;
  RowResampler resampler_;
  std::uint8_t* out_;
  int x_, y_; ///< position of the picture's first visible pixel in the output
  int columns_, rows_;
};

/// Largest reduction that the decoder may apply.
int allowed_reduction(const ImageSpec& spec, const Fit& fit) {
  const bool smooth = spec.interpolation == Interpolation::bilinear || spec.interpolation == Interpolation::bicubic;
  if (!spec.antialias || !smooth) return 1; // the others need the original pixels
  const int across = fit.width / (fit.resized_width * reduction_margin),
            down = fit.height / (fit.resized_height * reduction_margin);
  return std::max(1, std::min(across, down));
}

/// Resize of one axis. A reduced picture is a fraction of a pixel longer than size / reduction, at its stored end: the stretched
/// range excludes that.
AxisRequest stretched(int reduced, int size, int reduction, bool flipped, int resized, const ImageSpec& spec) {
  const double length = static_cast<double>(size) / reduction, begin = flipped ? reduced - length : 0;
  return {reduced, begin, begin + length, resized, 0, 0, spec.interpolation, spec.antialias};
}

/// First and number of resized columns (or rows) that the model sees.
void restrict_to(int offset, int resized, int wanted, AxisRequest& request) {
  request.first_out = std::max(0, offset);
  request.count = std::min(resized, offset + wanted) - request.first_out;
}

} // namespace
} // namespace worker::load

struct ImageLoader::Impl {
  Impl(ImageSpec its_spec, PixelForm its_form, LoadLimits its_limits)
      : spec(std::move(its_spec)), form(its_form), limits(its_limits) {}
  ImageSpec spec;
  PixelForm form;
  LoadLimits limits;
  load::Normalisation normalisation;
  std::atomic<std::uint64_t> clipped{0};
};

ImageLoader::ImageLoader(ImageSpec spec, PixelForm form, LoadLimits limits)
    : impl_(std::make_unique<Impl>(std::move(spec), form, limits)) {
  const ImageSpec& s = impl_->spec;
  if (s.height <= 0 || s.width <= 0) throw usage_error("image size must be positive");
  if (s.channels != 1 && s.channels != 3) throw usage_error("image channels must be 1 or 3");
  const auto channels = static_cast<std::size_t>(s.channels);
  if (s.mean.size() < channels || s.std.size() < channels) throw usage_error("image mean and std need one number a channel");
  for (std::size_t c = 0; c < channels; ++c)
    if (s.std[c] == 0) throw usage_error("image std must not be 0");
  impl_->normalisation = load::Normalisation(s);
}

ImageLoader::~ImageLoader() = default;

const ImageSpec& ImageLoader::spec() const {
  return impl_->spec;
}

std::vector<std::string> ImageLoader::remarks() const {
  const std::uint64_t clipped = impl_->clipped;
  if (clipped == 0) return {};
  return {
      fmt::format("16-bit grey values above 255 were clipped, as Pillow does, in {} picture(s); \"grey16\": \"scale\" in "
                  "the bundle's \"image\" keeps their whole range",
                  clipped)};
}

std::uint64_t ImageLoader::row_bytes() const {
  const auto values = static_cast<std::uint64_t>(impl_->spec.channels) * static_cast<std::uint64_t>(impl_->spec.height) *
                      static_cast<std::uint64_t>(impl_->spec.width);
  return values * (impl_->form == PixelForm::float_chw ? sizeof(float) : 1);
}

Placement ImageLoader::load(const Item& item, void* out) const {
  using namespace load;
  const ImageSpec& spec = impl_->spec;
  Scratch& memory = scratch();
  const auto decoder = open_picture(contents_of(item, impl_->limits.file_bytes, memory.file), impl_->limits);
  const OrientationSteps steps = steps_of(decoder->orientation());
  int width = decoder->width(), height = decoder->height();
  if (steps.transpose) std::swap(width, height);
  const Fit fit = fit_into(spec, width, height);
  const int reduction = decoder->reduce(allowed_reduction(spec, fit));
  int reduced_width = decoder->width(), reduced_height = decoder->height();
  if (steps.transpose) std::swap(reduced_width, reduced_height);

  AxisRequest across = stretched(reduced_width, width, reduction, steps.flip_x, fit.resized_width, spec);
  AxisRequest down = stretched(reduced_height, height, reduction, steps.flip_y, fit.resized_height, spec);
  restrict_to(fit.left, fit.resized_width, spec.width, across);
  restrict_to(fit.top, fit.resized_height, spec.height, down);
  Axis &horizontal = memory.resample.horizontal, &vertical = memory.resample.vertical;
  horizontal.prepare(across);
  vertical.prepare(down);

  Pipeline pipeline(spec, impl_->form, impl_->normalisation, fit, memory, out);
  const Window window{horizontal.source_begin(), vertical.source_begin(), horizontal.source_end(), vertical.source_end()};
  decoder->set_grey16(spec.grey16);
  decode_oriented(*decoder, window, pipeline, impl_->limits);
  if (decoder->clipped()) ++impl_->clipped;
  return placement_of(fit);
}

namespace worker::load {
namespace {

class PictureSink final : public RowSink {
 public:
  explicit PictureSink(Picture& picture) : picture_(picture), next_(picture.pixels.data()) {}
  void row(const std::uint8_t* rgbx) override {
    for (int x = 0; x < picture_.width; ++x, rgbx += 4, next_ += picture_.channels) {
      if (picture_.channels == 1)
        *next_ = luma(rgbx);
      else
        std::memcpy(next_, rgbx, 3);
    }
  }

 private:
  Picture& picture_;
  std::uint8_t* next_;
};

} // namespace
} // namespace worker::load

Picture decode_picture(const Item& item, int channels, const LoadLimits& limits) {
  using namespace load;
  if (channels != 1 && channels != 3) throw usage_error("a picture has 1 or 3 channels");
  const auto decoder = open_picture(contents_of(item, limits.file_bytes, scratch().file), limits);
  Picture picture;
  picture.width = decoder->width();
  picture.height = decoder->height();
  if (steps_of(decoder->orientation()).transpose) std::swap(picture.width, picture.height);
  picture.channels = channels;
  picture.pixels.resize(static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height) *
                        static_cast<std::size_t>(channels));
  PictureSink sink(picture);
  decode_oriented(*decoder, {0, 0, picture.width, picture.height}, sink, limits);
  return picture;
}

} // namespace mgpu
