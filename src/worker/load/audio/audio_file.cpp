#include "worker/load/audio/audio_file.hpp"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
}
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "mgpu/error.hpp"
#include "worker/load/file_bytes.hpp"

namespace mgpu::worker::load {
namespace {

std::string text_of(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(error, text, sizeof text);
  return text;
}

/// The item's bytes as FFmpeg's input. FFmpeg opens no path itself, so that no name is taken for a protocol or a device.
class Source {
 public:
  explicit Source(const Item& item) : content_(item.content) {
    if (!item.shipped) {
      fd_ = ::open(item.path.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd_ < 0) throw io_error(std::string("cannot be read: ") + std::strerror(errno));
      size_ = ::lseek(fd_, 0, SEEK_END);
    } else {
      size_ = static_cast<std::int64_t>(item.content.size());
    }
    constexpr int buffer_bytes = 64 << 10;
    auto* buffer = static_cast<unsigned char*>(av_malloc(buffer_bytes));
    context_ = avio_alloc_context(buffer, buffer_bytes, 0, this, read, nullptr, seek);
    if (context_ == nullptr) {
      av_free(buffer);
      if (fd_ >= 0) ::close(fd_);
      throw Error("no memory to open a recording");
    }
  }
  ~Source() {
    av_freep(&context_->buffer);
    avio_context_free(&context_);
    if (fd_ >= 0) ::close(fd_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  AVIOContext* context() const { return context_; }
  /// Throws if a read has failed, which FFmpeg reports as a damaged recording or its end.
  void require_read() const {
    if (errno_ != 0) throw io_error(std::string("cannot be read: ") + std::strerror(errno_));
  }

 private:
  static int read(void* opaque, std::uint8_t* to, int count) {
    auto& self = *static_cast<Source*>(opaque);
    const std::int64_t left = std::max<std::int64_t>(self.size_ - self.at_, 0);
    const auto wanted = static_cast<std::size_t>(std::min<std::int64_t>(left, count));
    if (wanted == 0) return AVERROR_EOF;
    if (self.fd_ < 0) {
      std::memcpy(to, self.content_.data() + self.at_, wanted);
      self.at_ += static_cast<std::int64_t>(wanted);
      return static_cast<int>(wanted);
    }
    ssize_t got = -1;
    do got = ::pread(self.fd_, to, wanted, self.at_);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
      self.errno_ = errno;
      return AVERROR(errno);
    }
    self.at_ += got;
    return got == 0 ? AVERROR_EOF : static_cast<int>(got);
  }
  static std::int64_t seek(void* opaque, std::int64_t offset, int whence) {
    auto& self = *static_cast<Source*>(opaque);
    if (whence == AVSEEK_SIZE) return self.size_;
    const std::int64_t base = whence == SEEK_CUR ? self.at_ : whence == SEEK_END ? self.size_ : 0;
    if (base + offset < 0) return AVERROR(EINVAL);
    return self.at_ = base + offset;
  }

  const std::string& content_;
  int fd_ = -1;
  int errno_ = 0; ///< of a failed read
  std::int64_t at_ = 0, size_ = 0;
  AVIOContext* context_ = nullptr;
};

template <typename T>
void interleave(const AVFrame& frame, double scale, double offset, std::vector<float>& to) {
  const int channels = frame.ch_layout.nb_channels;
  const bool planar = av_sample_fmt_is_planar(static_cast<AVSampleFormat>(frame.format)) != 0;
  for (int c = 0; c < channels; ++c) {
    const T* from = reinterpret_cast<const T*>(frame.extended_data[planar ? c : 0]) + (planar ? 0 : c);
    const int step = planar ? 1 : channels;
    float* out = to.data() + c;
    for (int i = 0; i < frame.nb_samples; ++i, from += step, out += channels)
      *out = static_cast<float>((static_cast<double>(*from) - offset) * scale);
  }
}

/// Converts the frame's samples to floats; integers are divided by their range, so that 16-bit values are exact.
void to_floats(const AVFrame& frame, std::vector<float>& to) {
  to.resize(static_cast<std::size_t>(frame.nb_samples) * static_cast<std::size_t>(frame.ch_layout.nb_channels));
  switch (frame.format) {
    case AV_SAMPLE_FMT_U8:
    case AV_SAMPLE_FMT_U8P:
      return interleave<std::uint8_t>(frame, 0x1p-7, 128, to);
    case AV_SAMPLE_FMT_S16:
    case AV_SAMPLE_FMT_S16P:
      return interleave<std::int16_t>(frame, 0x1p-15, 0, to);
    case AV_SAMPLE_FMT_S32:
    case AV_SAMPLE_FMT_S32P:
      return interleave<std::int32_t>(frame, 0x1p-31, 0, to);
    case AV_SAMPLE_FMT_S64:
    case AV_SAMPLE_FMT_S64P:
      return interleave<std::int64_t>(frame, 0x1p-63, 0, to);
    case AV_SAMPLE_FMT_FLT:
    case AV_SAMPLE_FMT_FLTP:
      return interleave<float>(frame, 1, 0, to);
    case AV_SAMPLE_FMT_DBL:
    case AV_SAMPLE_FMT_DBLP:
      return interleave<double>(frame, 1, 0, to);
    default:
      throw Error(fmt::format("samples of unknown format {}", frame.format));
  }
}

struct Free {
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
  void operator()(AVFormatContext* p) const { avformat_close_input(&p); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(AVFrame* p) const { av_frame_free(&p); }
};

/// The item's first bytes, for the reason of a failure.
std::string start_of(const Item& item) {
  if (item.shipped) return quoted_start({reinterpret_cast<const std::uint8_t*>(item.content.data()), item.content.size()});
  std::uint8_t bytes[16];
  const int fd = ::open(item.path.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t got = fd < 0 ? 0 : ::read(fd, bytes, sizeof bytes);
  if (fd >= 0) ::close(fd);
  return quoted_start({bytes, static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
}

} // namespace

struct AudioFile::Impl {
  explicit Impl(const Item& item) : source(item) {}

  void open(const Item& item) {
    format.reset(avformat_alloc_context());
    if (format == nullptr) throw Error("no memory to open a recording");
    format->pb = source.context();
    format->flags |= AVFMT_FLAG_CUSTOM_IO;
    AVDictionary* options = nullptr;
    av_dict_set(&options, "protocol_whitelist", "none", 0); // playlists must not open other files
    AVFormatContext* raw = format.release();                // freed by FFmpeg if opening fails
    const int opened = avformat_open_input(&raw, "", nullptr, &options);
    av_dict_free(&options);
    if (opened < 0) source.require_read();
    if (opened < 0) throw Error("not a recording: " + start_of(item) + ", " + text_of(opened));
    format.reset(raw);
    const int found = avformat_find_stream_info(raw, nullptr);
    source.require_read();
    if (found < 0) throw Error("not a recording: " + text_of(found));
    const AVCodec* codec = nullptr;
    stream = av_find_best_stream(raw, AVMEDIA_TYPE_AUDIO, -1, -1, &codec, 0);
    if (stream == AVERROR_DECODER_NOT_FOUND) throw Error("no decoder for this kind of audio");
    if (stream < 0) throw Error("no audio stream");
    for (unsigned i = 0; i < raw->nb_streams; ++i)
      if (static_cast<int>(i) != stream) raw->streams[i]->discard = AVDISCARD_ALL;
    open_decoder(codec);
  }

  void open_decoder(const AVCodec* codec) {
    const AVStream& from = *format->streams[stream];
    decoder.reset(avcodec_alloc_context3(codec));
    if (decoder == nullptr) throw Error("no memory for an audio decoder");
    avcodec_parameters_to_context(decoder.get(), from.codecpar);
    decoder->thread_count = 1; // loaders are parallel already
    decoder->pkt_timebase = from.time_base;
    if (const int opened = avcodec_open2(decoder.get(), codec, nullptr); opened < 0)
      throw Error("corrupt recording: " + text_of(opened));
    header.sample_rate = decoder->sample_rate;
    header.channels = decoder->ch_layout.nb_channels;
    // A duration estimated from the bit rate may be very wrong and is not used.
    if (format->duration > 0 && format->duration_estimation_method != AVFMT_DURATION_FROM_BITRATE)
      header.seconds = static_cast<double>(format->duration) / AV_TIME_BASE;
    if (from.duration > 0)
      header.seconds = std::max(header.seconds,
                                static_cast<double>(from.duration) * av_q2d(from.time_base) * (header.seconds > 0 ? 1.0 : 0.0));
  }

  Source source;
  std::unique_ptr<AVFormatContext, Free> format;
  std::unique_ptr<AVCodecContext, Free> decoder;
  AudioHeader header;
  int stream = -1;
};

AudioFile::AudioFile(const Item& item, const LoadLimits& limits) {
  require_readable(item, limits.file_bytes);
  static const bool quiet = (av_log_set_level(AV_LOG_QUIET), true); // the errors below give the reasons
  (void)quiet;
  impl_ = std::make_unique<Impl>(item);
  impl_->open(item);
}

AudioFile::~AudioFile() = default;

const AudioHeader& AudioFile::header() const {
  return impl_->header;
}

void AudioFile::decode(const std::function<bool(const float*, std::int64_t)>& take) {
  Impl& file = *impl_;
  const std::unique_ptr<AVPacket, Free> packet(av_packet_alloc());
  const std::unique_ptr<AVFrame, Free> frame(av_frame_alloc());
  if (packet == nullptr || frame == nullptr) throw Error("no memory for an audio decoder");
  std::vector<float> samples;
  std::int64_t decoded = 0;
  int failures = 0, failure = 0; // undecodable packets since the last good one

  const auto fail = [&](int error) {
    file.source.require_read();
    throw Error(fmt::format("corrupt recording at {:.1f} s: {}",
                            file.header.sample_rate > 0 ? static_cast<double>(decoded) / file.header.sample_rate : 0.0,
                            text_of(error)));
  };
  const auto drain = [&]() -> bool {
    for (;;) {
      const int got = avcodec_receive_frame(file.decoder.get(), frame.get());
      if (got == AVERROR(EAGAIN) || got == AVERROR_EOF) return true;
      if (got < 0) {
        ++failures, failure = got;
        return true;
      }
      // Other data before the first frame (tags) and one truncated packet at the end are common; a gap is an error.
      if (failures > 0 && decoded > 0) fail(failure);
      failures = 0;
      if (decoded == 0) file.header.sample_rate = frame->sample_rate, file.header.channels = frame->ch_layout.nb_channels;
      if (frame->sample_rate != file.header.sample_rate || frame->ch_layout.nb_channels != file.header.channels)
        throw Error("the sampling rate or the number of channels changes within the recording");
      to_floats(*frame, samples);
      decoded += frame->nb_samples;
      const bool more = frame->nb_samples == 0 || take(samples.data(), frame->nb_samples);
      av_frame_unref(frame.get());
      if (!more) return false;
    }
  };

  for (;;) {
    const int got = av_read_frame(file.format.get(), packet.get());
    if (got == AVERROR_EOF) break;
    if (got < 0) fail(got);
    if (packet->stream_index != file.stream) {
      av_packet_unref(packet.get());
      continue;
    }
    const int sent = avcodec_send_packet(file.decoder.get(), packet.get());
    av_packet_unref(packet.get());
    if (sent < 0 && sent != AVERROR(EAGAIN)) ++failures, failure = sent;
    if (!drain()) return;
  }
  avcodec_send_packet(file.decoder.get(), nullptr);
  if (!drain()) return;
  file.source.require_read();
  if (failures > 1 || (failures > 0 && decoded == 0)) fail(failure);
}

} // namespace mgpu::worker::load
