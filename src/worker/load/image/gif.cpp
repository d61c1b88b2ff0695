#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "mgpu/error.hpp"
#include "worker/load/image/picture_decoder.hpp"

namespace mgpu::worker::load {
namespace {

/// First frame of a GIF. A transparent pixel gets its palette's colour, as in Pillow's convert("RGB").
class GifDecoder final : public PictureDecoder {
 public:
  GifDecoder(std::span<const std::uint8_t> bytes, const LoadLimits& limits) : rest_(bytes) {
    int error = 0;
    gif_.reset(DGifOpen(this, on_read, &error));
    if (gif_ == nullptr) throw Error(reason(error));
    check_size(static_cast<std::uint64_t>(std::max(0, gif_->SWidth)), static_cast<std::uint64_t>(std::max(0, gif_->SHeight)),
               limits, 4);
    find_frame();
    width_ = gif_->SWidth;
    height_ = gif_->SHeight;
    // A frame that extends beyond the screen enlarges the picture.
    width_ = std::max(width_, gif_->Image.Left + gif_->Image.Width);
    height_ = std::max(height_, gif_->Image.Top + gif_->Image.Height);
    check_size(static_cast<std::uint64_t>(width_), static_cast<std::uint64_t>(height_), limits, 4);
  }

  void decode(const Window& window, RowSink& sink) override {
    const GifImageDesc& frame = gif_->Image;
    const ColorMapObject* map = frame.ColorMap != nullptr ? frame.ColorMap : gif_->SColorMap;
    const auto palette = palette_of(map);
    PixelBuffer buffer(width_, height_);
    const auto& background = palette[static_cast<std::size_t>(background_)];
    for (int y = 0; y < height_; ++y)
      for (int x = 0; x < width_; ++x) std::memcpy(buffer.row(y) + static_cast<std::size_t>(x) * 4, background.data(), 4);
    std::vector<GifPixelType> line(static_cast<std::size_t>(std::max(frame.Width, 1)));
    const auto read_line = [&](int y) {
      if (DGifGetLine(gif_.get(), line.data(), frame.Width) == GIF_ERROR) throw Error(reason(gif_->Error));
      std::uint8_t* to = buffer.row(frame.Top + y) + static_cast<std::size_t>(frame.Left) * 4;
      for (int x = 0; x < frame.Width; ++x)
        std::memcpy(to + static_cast<std::size_t>(x) * 4, palette[line[static_cast<std::size_t>(x)]].data(), 4);
    };
    if (frame.Interlace) {
      constexpr int first[4] = {0, 4, 2, 1}, step[4] = {8, 8, 4, 2};
      for (int pass = 0; pass < 4; ++pass)
        for (int y = first[pass]; y < frame.Height; y += step[pass]) read_line(y);
    } else {
      for (int y = 0; y < frame.Height; ++y) read_line(y);
    }
    buffer.emit(window, sink);
  }

 private:
  static int on_read(GifFileType* gif, GifByteType* to, int count) {
    auto& self = *static_cast<GifDecoder*>(gif->UserData);
    const std::size_t got = std::min(self.rest_.size(), static_cast<std::size_t>(std::max(count, 0)));
    std::memcpy(to, self.rest_.data(), got);
    self.rest_ = self.rest_.subspan(got);
    self.at_end_ = got < static_cast<std::size_t>(std::max(count, 0));
    return static_cast<int>(got);
  }

  std::string reason(int error) const {
    if (at_end_) return "truncated GIF: the file ends before the picture does";
    const char* text = GifErrorString(error);
    return std::string("corrupt GIF: ") + (text != nullptr ? text : "unknown error");
  }

  void find_frame() {
    for (;;) {
      GifRecordType type = UNDEFINED_RECORD_TYPE;
      if (DGifGetRecordType(gif_.get(), &type) == GIF_ERROR) throw Error(reason(gif_->Error));
      if (type == IMAGE_DESC_RECORD_TYPE) {
        if (DGifGetImageDesc(gif_.get()) == GIF_ERROR) throw Error(reason(gif_->Error));
        return;
      }
      if (type == TERMINATE_RECORD_TYPE) throw Error("corrupt GIF: no frame in it");
      if (type != EXTENSION_RECORD_TYPE) continue;
      int code = 0;
      GifByteType* extension = nullptr;
      if (DGifGetExtension(gif_.get(), &code, &extension) == GIF_ERROR) throw Error(reason(gif_->Error));
      // Outside the frame Pillow shows the transparent colour if there is one.
      if (code == GRAPHICS_EXT_FUNC_CODE && extension != nullptr && extension[0] >= 4 && (extension[1] & 1) != 0)
        background_ = extension[4];
      while (extension != nullptr)
        if (DGifGetExtensionNext(gif_.get(), &extension) == GIF_ERROR) throw Error(reason(gif_->Error));
    }
  }

  /// Colours by index; a grey ramp for missing entries.
  static std::array<std::array<std::uint8_t, 4>, 256> palette_of(const ColorMapObject* map) {
    std::array<std::array<std::uint8_t, 4>, 256> palette;
    for (int i = 0; i < 256; ++i) {
      const auto grey = static_cast<std::uint8_t>(i);
      auto& entry = palette[static_cast<std::size_t>(i)];
      put_pixel(entry.data(), grey, grey, grey);
      if (map != nullptr && i < map->ColorCount)
        put_pixel(entry.data(), map->Colors[i].Red, map->Colors[i].Green, map->Colors[i].Blue);
    }
    return palette;
  }

  struct Close {
    void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
  };
  std::span<const std::uint8_t> rest_;
  bool at_end_ = false;
  int background_ = 0;
  std::unique_ptr<GifFileType, Close> gif_;
};

} // namespace

std::unique_ptr<PictureDecoder> open_gif(std::span<const std::uint8_t> bytes, const LoadLimits& limits) {
  return std::make_unique<GifDecoder>(bytes, limits);
}

} // namespace mgpu::worker::load
