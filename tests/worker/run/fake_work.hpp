#pragma once
// A made-up job whose items say, by their names, what shall go wrong.
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mgpu/error.hpp"
#include "mgpu/work.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker {

/// "value": twice the index [2]; "list": ragged, index % 3 elements; "word": text. Items named run-fails, oom, nan, job-fails,
/// prepare-fails do so; a batch with a "crowd" item throws unless it is alone.
class FakeWork : public Work {
 public:
  /// `runs`: counts the calls of run; outlives the worker for whoever asks.
  explicit FakeWork(std::shared_ptr<std::atomic<int>> runs = std::make_shared<std::atomic<int>>(0)) : runs_(std::move(runs)) {}

  void open(const RankContext& context) override { context.progress("half way", 0.5); }
  std::optional<RowSpec> row_spec() const override { return RowSpec{{1}, torch::kFloat}; }
  std::vector<std::string> labels() const override { return {"a", "b"}; }

  void prepare(const Item& item, Sample& sample) override {
    if (item.path == "prepare-fails") throw Error("cannot be read");
    if (item.path == "very slow") std::this_thread::sleep_for(std::chrono::milliseconds(500));
    if (item.path == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(5));
    sample.input.fill_(static_cast<double>(item.index));
    sample.extra = item.path;
  }

  void run(const Batch& batch, Outputs& outputs) override {
    ++*runs_;
    torch::Tensor value = (batch.input * 2).repeat({1, 2});
    std::vector<torch::Tensor> lists;
    std::vector<std::string> words;
    for (std::int64_t row = 0; row < batch.size(); ++row) {
      const auto at = static_cast<std::size_t>(row);
      const std::string& path = batch.items[at]->path;
      if (batch.ok[at] && path == "run-fails") throw std::runtime_error("this row cannot be run\nbacktrace\n");
      if (path == "oom" && batch.size() > 1) throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "CUDA out of memory");
      if (path == "nan") value[row][0] = NAN;
      if (path == "job-fails") outputs.fail(row, "the job does not like it");
      lists.push_back(torch::full({static_cast<std::int64_t>(batch.items[at]->index % 3)},
                                  static_cast<std::int64_t>(batch.items[at]->index)));
      words.push_back("word " + std::to_string(batch.items[at]->index));
    }
    outputs.add("value", value);
    outputs.add_ragged("list", lists);
    outputs.add_text("word", words);
  }

 protected:
  std::shared_ptr<std::atomic<int>> runs_;
};

inline std::unique_ptr<Work> make_fake() {
  return std::make_unique<FakeWork>();
}

inline std::vector<std::string> paths(std::size_t count, const std::string& path = "good") {
  return std::vector<std::string>(count, path);
}

} // namespace mgpu::worker
