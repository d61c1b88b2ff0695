#include <webp/decode.h>
#include <webp/demux.h>

#include <fmt/format.h>

#include <vector>

#include "mgpu/error.hpp"
#include "worker/load/image/exif.hpp"
#include "worker/load/image/picture_decoder.hpp"

namespace mgpu::worker::load {
namespace {

/// WebP, still or the first frame of an animation. Transparency is dropped, as in Pillow's convert("RGB").
class WebpDecoder final : public PictureDecoder {
 public:
  WebpDecoder(std::span<const std::uint8_t> bytes, const LoadLimits& limits) {
    const WebPData data{bytes.data(), bytes.size()};
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    demuxer_.reset(WebPDemuxPartial(&data, &state));
    if (demuxer_ == nullptr || state == WEBP_DEMUX_PARSE_ERROR) throw Error("corrupt WebP: its chunks cannot be read");
    if (state == WEBP_DEMUX_PARSING_HEADER) throw Error("truncated WebP: the file ends within its header");
    width_ = static_cast<int>(WebPDemuxGetI(demuxer_.get(), WEBP_FF_CANVAS_WIDTH));
    height_ = static_cast<int>(WebPDemuxGetI(demuxer_.get(), WEBP_FF_CANVAS_HEIGHT));
    check_size(static_cast<std::uint64_t>(width_), static_cast<std::uint64_t>(height_), limits, 4);
    if (state != WEBP_DEMUX_DONE) throw Error("truncated WebP: the file ends before the picture does");
    orientation_ = orientation_of(chunk("EXIF"), chunk("XMP "));
  }

  void decode(const Window& window, RowSink& sink) override {
    WebPIterator frame;
    if (WebPDemuxGetFrame(demuxer_.get(), 1, &frame) == 0) throw Error("corrupt WebP: no frame in it");
    const std::unique_ptr<WebPIterator, decltype(&WebPDemuxReleaseIterator)> release(&frame, WebPDemuxReleaseIterator);
    if (frame.x_offset + frame.width > width_ || frame.y_offset + frame.height > height_)
      throw Error("corrupt WebP: a frame larger than its canvas");
    PixelBuffer buffer(width_, height_);
    std::uint8_t* const at = buffer.row(frame.y_offset) + static_cast<std::size_t>(frame.x_offset) * 4;
    const std::size_t stride = static_cast<std::size_t>(width_) * 4;
    const std::size_t room =
        stride * static_cast<std::size_t>(height_ - frame.y_offset) - static_cast<std::size_t>(frame.x_offset) * 4;
    if (WebPDecodeRGBAInto(frame.fragment.bytes, frame.fragment.size, at, room, static_cast<int>(stride)) == nullptr)
      throw Error("corrupt WebP: its pixels cannot be decoded");
    buffer.emit(window, sink);
  }

 private:
  std::span<const std::uint8_t> chunk(const char* name) const {
    WebPChunkIterator found;
    if (WebPDemuxGetChunk(demuxer_.get(), name, 1, &found) == 0) return {};
    const std::span<const std::uint8_t> bytes(found.chunk.bytes, found.chunk.size);
    WebPDemuxReleaseChunkIterator(&found); // the bytes belong to the file
    return bytes;
  }

  struct Delete {
    void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
  };
  std::unique_ptr<WebPDemuxer, Delete> demuxer_;
};

} // namespace

std::unique_ptr<PictureDecoder> open_webp(std::span<const std::uint8_t> bytes, const LoadLimits& limits) {
  return std::make_unique<WebpDecoder>(bytes, limits);
}

} // namespace mgpu::worker::load
