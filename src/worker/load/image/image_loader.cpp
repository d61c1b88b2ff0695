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
#include "worker/load/image/resample.hpp"

namespace mgpu {

using namespace worker;

using namespace worker;
namespace worker::load {
namespace {

/// A decoder may deliver a smaller picture only if its sides are at least this many times the resized ones.
constexpr int reduction_margin = 2;

/// Buffers of one thread, reused between pictures.
struct Scratch {
  std::vector<std::uint8_t> file;
  std::vector<std::uint8_t> ring;     ///< rows after the horizontal pass
  std::vector<std::uint8_t> grey_row; ///< one row converted to grey, before the horizontal pass
  std::vector<std::uint8_t> out_row;  ///< one row after the vertical pass
  std::vector<const std::uint8_t*> taps;
  Axis horizontal, vertical;
};

Scratch& scratch() {
  thread_local Scratch kept;
  return kept;
}

/// Receives source rows as they are decoded and writes each output row as soon as its last source row has arrived.
class Pipeline final : public RowSink {
 public:
  Pipeline(const ImageSpec& spec, PixelForm form, const Normalisation& normalisation, const Placement& placement,
           Scratch& scratch, void* out)
      : spec_(spec),
        form_(form),
        normalisation_(normalisation),
        placement_(placement),
        scratch_(scratch),
        kernels_(kernels()),
        out_(static_cast<std::uint8_t*>(out)),
        x_(std::max(0, -placement.left)),
        y_(std::max(0, -placement.top)) {}

  /// First and number of resized columns (or rows) that the model sees.
  static void visible(int offset, int resized, int wanted, AxisRequest& request) {
    request.first_out = std::max(0, offset);
    request.count = std::min(resized, offset + wanted) - request.first_out;
  }

  /// Call before the first row.
  void begin() {
    columns_ = scratch_.horizontal.count();
    scratch_.horizontal.pack();
    stride_ = (static_cast<std::size_t>(columns_) * 4 + 63) / 64 * 64;
    ring_rows_ = scratch_.vertical.taps();
    scratch_.ring.resize(stride_ * static_cast<std::size_t>(ring_rows_));
    scratch_.out_row.resize(stride_);
    scratch_.taps.resize(static_cast<std::size_t>(ring_rows_));
    source_row_ = scratch_.vertical.source_begin();
    if (columns_ < spec_.width || scratch_.vertical.count() < spec_.height) fill_border();
  }

  void row(const std::uint8_t* rgbx) override {
    if (spec_.channels == 1) rgbx = grey(rgbx);
    kernels_.horizontal(rgbx, scratch_.horizontal, ring_row(source_row_));
    ++source_row_;
    for (; output_ < scratch_.vertical.count() && scratch_.vertical.start(output_) + ring_rows_ <= source_row_; ++output_)
      write_row();
  }

 private:
  std::uint8_t* ring_row(int source_row) {
    return scratch_.ring.data() + stride_ * static_cast<std::size_t>(source_row % ring_rows_);
  }

  const std::uint8_t* grey(const std::uint8_t* rgbx) {
    const int width = scratch_.horizontal.source_end() - scratch_.horizontal.source_begin();
    scratch_.grey_row.resize(static_cast<std::size_t>(width) * 4 + row_slack);
    for (int x = 0; x < width; ++x, rgbx += 4) scratch_.grey_row[static_cast<std::size_t>(x) * 4] = luma(rgbx);
    return scratch_.grey_row.data();
  }

  void write_row() {
    const int first = scratch_.vertical.start(output_);
    for (int k = 0; k < ring_rows_; ++k) scratch_.taps[static_cast<std::size_t>(k)] = ring_row(first + k);
    kernels_.vertical(scratch_.taps.data(), scratch_.vertical.coefficients(output_), ring_rows_, static_cast<int>(stride_),
                      scratch_.out_row.data());
    put(scratch_.out_row.data(), columns_, x_, y_ + output_);
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
    const std::vector<std::uint8_t> pad(static_cast<std::size_t>(spec_.width) * 4, static_cast<std::uint8_t>(placement_.pad));
    const int bottom = y_ + scratch_.vertical.count(), right = x_ + columns_;
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
  Placement placement_;
  Scratch& scratch_;
  const Kernels& kernels_;
  std::uint8_t* out_;
  int x_, y_; ///< position of the picture's first visible pixel in the output
  int columns_ = 0, ring_rows_ = 0, source_row_ = 0, output_ = 0;
  std::size_t stride_ = 0;
};

/// Largest reduction that the decoder may apply.
int allowed_reduction(const ImageSpec& spec, const Placement& placement, int width, int height) {
  if (!spec.antialias || spec.interpolation == Interpolation::nearest) return 1; // these need the original pixels
  const int across = width / (placement.resized_width * reduction_margin),
            down = height / (placement.resized_height * reduction_margin);
  return std::max(1, std::min(across, down));
}

/// Resize of one axis. A reduced picture is a fraction of a pixel longer than size / reduction, at its stored end: the stretched
/// range excludes that.
AxisRequest stretched(int reduced, int size, int reduction, bool flipped, int resized, const ImageSpec& spec) {
  const double length = static_cast<double>(size) / reduction, begin = flipped ? reduced - length : 0;
  return {reduced, begin, begin + length, resized, 0, 0, spec.interpolation, spec.antialias};
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

void ImageLoader::load(const Item& item, void* out) const {
  using namespace load;
  const ImageSpec& spec = impl_->spec;
  Scratch& memory = scratch();
  const auto decoder = open_picture(contents_of(item, impl_->limits.file_bytes, memory.file), impl_->limits);
  const OrientationSteps steps = steps_of(decoder->orientation());
  int width = decoder->width(), height = decoder->height();
  if (steps.transpose) std::swap(width, height);
  const Placement placement = place(spec, width, height);
  const int reduction = decoder->reduce(allowed_reduction(spec, placement, width, height));
  int reduced_width = decoder->width(), reduced_height = decoder->height();
  if (steps.transpose) std::swap(reduced_width, reduced_height);

  AxisRequest across = stretched(reduced_width, width, reduction, steps.flip_x, placement.resized_width, spec);
  AxisRequest down = stretched(reduced_height, height, reduction, steps.flip_y, placement.resized_height, spec);
  Pipeline::visible(placement.left, placement.resized_width, spec.width, across);
  Pipeline::visible(placement.top, placement.resized_height, spec.height, down);
  memory.horizontal.prepare(across);
  memory.vertical.prepare(down);

  Pipeline pipeline(spec, impl_->form, impl_->normalisation, placement, memory, out);
  pipeline.begin();
  const Window window{memory.horizontal.source_begin(), memory.vertical.source_begin(), memory.horizontal.source_end(),
                      memory.vertical.source_end()};
  decoder->set_grey16(spec.grey16);
  decode_oriented(*decoder, window, pipeline, impl_->limits);
  if (decoder->clipped()) ++impl_->clipped;
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
