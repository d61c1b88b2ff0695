#include "mgpu/network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "worker/device/torch.hpp"
#include "worker/model/valid_frames.hpp"

namespace mgpu {

using namespace worker;

namespace {

bool is_lengths(const ModelOutput& output) {
  return !output.ragged && reports_lengths(output.tensor);
}

} // namespace

Network::Network(const RankContext& context) : bundle_(Bundle::open(context.model_path, context.config)) {
  if (bundle_.model.empty())
    throw usage_error(fmt::format("{}/bundle.json: model: the name of the model file is expected", bundle_.folder));
  preprocessor_ = std::make_unique<Preprocessor>(bundle_, context);
  model_ = Model::open(bundle_.model, context);
  if (model_->inputs() > 2)
    throw usage_error(
        fmt::format("{}: the network takes {} tensors; a batch and its lengths can be given", bundle_.model, model_->inputs()));
  if (!preprocessor_->row_spec()) probe_lengths(context);
}

std::vector<ModelOutput> Network::call(const Batch& batch) {
  const torch::Tensor input = preprocessor_->model_input(batch.input);
  if (model_->inputs() < 2) return model_->call({input});
  const torch::Tensor lengths =
      batch.lengths.defined() ? batch.lengths
                              : torch::full({batch.size()}, input.size(-1), torch::device(input.device()).dtype(torch::kLong));
  return model_->call({input, lengths});
}

/// Calls the model with silence of two lengths and compares the shapes.
void Network::probe_lengths(const RankContext& context) {
  const c10::InferenceMode inference;
  std::vector<std::vector<ModelOutput>> results;
  try {
    for (int variant = 0; variant < 2; ++variant) {
      const torch::Tensor row = preprocessor_->trial_row(variant).to(context.device);
      auto shape = row.sizes().vec();
      shape.insert(shape.begin(), context.batch_size);
      Batch batch;
      batch.items.resize(static_cast<std::size_t>(context.batch_size), nullptr);
      batch.input = row.unsqueeze(0).expand(shape).contiguous();
      batch.lengths = torch::full({context.batch_size}, row.size(-1), torch::device(context.device).dtype(torch::kLong));
      results.push_back(call(batch));
    }
  } catch (const Error& error) {
    throw usage_error(
        fmt::format("{}: a trial batch of {} rows of silence failed: {}", bundle_.model, context.batch_size, error.what()));
  }
  const auto frames = [](const ModelOutput& output) {
    return output.ragged || output.tensor.dim() < 2 ? 0 : output.tensor.size(1);
  };
  const std::size_t count = std::min(results[0].size(), results[1].size());
  for (std::size_t i = 0; i < count; ++i) {
    follows_length_.push_back(frames(results[0][i]) != frames(results[1][i]));
    if (lengths_output_ < 0 && is_lengths(results[0][i])) lengths_output_ = static_cast<int>(i);
  }
}

std::vector<std::string> Network::names(const std::vector<ModelOutput>& results) const {
  if (!bundle_.outputs.empty()) {
    if (bundle_.outputs.size() != results.size())
      throw Error(fmt::format("the bundle names {} outputs, the model has {}", bundle_.outputs.size(), results.size()));
    return bundle_.outputs;
  }
  std::vector<std::string> names;
  for (const ModelOutput& result : results) {
    std::string name = result.path;
    std::replace(name.begin(), name.end(), '/', '_');
    if (name.empty())
      name = "output";
    else if (std::isdigit(static_cast<unsigned char>(name.front())) != 0)
      name.insert(0, "output_");
    names.push_back(std::move(name));
  }
  return names;
}

void Network::add_outputs(const Batch& batch, const std::vector<ModelOutput>& results, Outputs& outputs) const {
  const std::vector<std::string> columns = names(results);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const ModelOutput& result = results[i];
    if (result.ragged) {
      outputs.add_ragged(columns[i], result.rows);
    } else if (i < follows_length_.size() && follows_length_[i] && batch.lengths.defined() && result.tensor.dim() > 1) {
      const torch::Tensor reported =
          lengths_output_ < 0 ? torch::Tensor() : results.at(static_cast<std::size_t>(lengths_output_)).tensor;
      const auto valid = valid_frames(batch, reported, result.tensor.size(1));
      std::vector<torch::Tensor> rows;
      for (std::int64_t row = 0; row < batch.size(); ++row)
        rows.push_back(result.tensor[row].narrow(0, 0, valid[static_cast<std::size_t>(row)]));
      outputs.add_ragged(columns[i], std::move(rows));
    } else {
      outputs.add(columns[i], result.tensor);
    }
  }
}

void add_classes(const torch::Tensor& logits, std::int64_t k, Outputs& outputs) {
  if (!logits.defined() || logits.dim() != 2)
    throw Error("labels and --topk need a model whose first output is [batch, classes]");
  if (k < 1 || k > logits.size(1)) throw Error(fmt::format("--topk {}: the model has {} classes", k, logits.size(1)));
  const torch::Tensor probabilities = torch::softmax(logits.to(torch::kFloat), 1);
  auto [score, label] = torch::sort(probabilities, /*stable=*/true, /*dim=*/1, /*descending=*/true);
  score = score.narrow(1, 0, k);
  label = label.narrow(1, 0, k);
  outputs.add("label", k == 1 ? label.squeeze(1) : label);
  outputs.add("score", k == 1 ? score.squeeze(1) : score);
}

} // namespace mgpu
