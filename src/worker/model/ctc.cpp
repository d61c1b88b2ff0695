#include "mgpu/ctc.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "worker/device/torch.hpp"
#include "worker/model/valid_frames.hpp"

namespace mgpu {

using namespace worker;

namespace {

/// Joins symbols to a text and records the start and end of words.
class Writer {
 public:
  explicit Writer(double frame_seconds) : frame_seconds_(frame_seconds) {}

  /// A symbol in frames [begin, end).
  void symbol(const std::string& text, std::int64_t begin, std::int64_t end) {
    result_.text += text;
    for (const char c : text) {
      if (c == ' ') {
        in_word_ = false;
        continue;
      }
      if (!in_word_) result_.words.push_back({seconds(begin), 0});
      in_word_ = true;
      result_.words.back()[1] = seconds(end);
    }
  }
  Transcript take() { return std::move(result_); }

 private:
  float seconds(std::int64_t frame) const { return static_cast<float>(static_cast<double>(frame) * frame_seconds_); }

  double frame_seconds_;
  bool in_word_ = false;
  Transcript result_;
};

Transcript transcript_of(const std::int64_t* best, std::int64_t frames, const CtcSpec& spec) {
  Writer writer(spec.frame_seconds);
  for (std::int64_t begin = 0, end = 0; begin < frames; begin = end) {
    end = begin + 1;
    while (end < frames && best[end] == best[begin]) ++end;
    if (best[begin] != spec.blank) writer.symbol(spec.vocabulary[static_cast<std::size_t>(best[begin])], begin, end);
  }
  return writer.take();
}

} // namespace

namespace worker {

std::vector<std::int64_t> valid_frames(const Batch& batch, const torch::Tensor& reported, std::int64_t frames) {
  if (!reported.defined() && !batch.lengths.defined())
    return std::vector<std::int64_t>(static_cast<std::size_t>(batch.size()), frames);
  std::vector<std::int64_t> valid;
  const torch::Tensor& own_lengths = batch.host_lengths.defined() ? batch.host_lengths : batch.lengths;
  const torch::Tensor lengths = (reported.defined() ? reported : own_lengths).to(torch::kCPU).contiguous();
  const std::int64_t padded = reported.defined() ? frames : batch.input.size(-1);
  for (std::int64_t row = 0; row < batch.size(); ++row) {
    const std::int64_t length = lengths.const_data_ptr<std::int64_t>()[row];
    const std::int64_t own = reported.defined() ? length : (length * frames + padded - 1) / padded;
    valid.push_back(std::clamp<std::int64_t>(own, 0, frames));
  }
  return valid;
}

bool reports_lengths(const torch::Tensor& output) {
  return output.defined() && output.dim() == 1 && output.scalar_type() == torch::kLong;
}

} // namespace worker

std::vector<std::int64_t> ctc_frames(const std::vector<torch::Tensor>& outputs, const Batch& batch) {
  const bool reported = outputs.size() > 1 && reports_lengths(outputs[1]);
  return valid_frames(batch, reported ? outputs[1] : torch::Tensor(), outputs.at(0).size(1));
}

std::vector<Transcript> greedy_transcripts(const torch::Tensor& log_probabilities, const std::vector<std::int64_t>& frames,
                                           const CtcSpec& spec) {
  const auto classes = static_cast<std::int64_t>(spec.vocabulary.size());
  if (!log_probabilities.defined() || log_probabilities.dim() != 3 || log_probabilities.size(2) != classes ||
      log_probabilities.size(0) != static_cast<std::int64_t>(frames.size())) {
    std::ostringstream shape;
    if (log_probabilities.defined()) shape << log_probabilities.sizes();
    throw Error(fmt::format("the network gives {}, a vocabulary of {} needs [{}, frames, {}]", shape.str(), classes,
                            frames.size(), classes));
  }
  const torch::Tensor best = log_probabilities.argmax(2).to(torch::kCPU).contiguous();
  std::vector<Transcript> transcripts;
  for (std::size_t row = 0; row < frames.size(); ++row)
    transcripts.push_back(
        transcript_of(best.const_data_ptr<std::int64_t>() + static_cast<std::int64_t>(row) * best.size(1), frames[row], spec));
  return transcripts;
}

void add_transcripts(const std::vector<torch::Tensor>& outputs, const Batch& batch, const CtcSpec& spec, Outputs& columns) {
  if (outputs.empty() || !outputs[0].defined() || outputs[0].dim() != 3)
    throw Error("task ctc needs a model whose first output is [batch, frames, classes]");
  std::vector<std::string> texts;
  std::vector<torch::Tensor> words;
  for (Transcript& transcript : greedy_transcripts(outputs[0], ctc_frames(outputs, batch), spec)) {
    const auto count = static_cast<std::int64_t>(transcript.words.size());
    words.push_back(torch::empty({count, 2}));
    auto* to = words.back().mutable_data_ptr<float>();
    for (const auto& [start, end] : transcript.words) *to++ = start, *to++ = end;
    texts.push_back(std::move(transcript.text));
  }
  columns.add_text("text", std::move(texts));
  columns.add_ragged("words", std::move(words));
}

} // namespace mgpu
