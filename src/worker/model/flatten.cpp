#include "worker/model/flatten.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "mgpu/error.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker {

namespace {

std::string joined(const std::string& path, const std::string& step) {
  return path.empty() ? step : fmt::format("{}_{}", path, step);
}

class Flattener {
 public:
  Flattener(std::int64_t batch_size, std::optional<bool>& list_is_rows) : batch_size_(batch_size), list_is_rows_(list_is_rows) {}

  void walk(const c10::IValue& value, const std::string& path) {
    if (value.isNone()) return;
    if (value.isTensor()) {
      outputs.push_back({path, value.toTensor(), {}, false});
    } else if (value.isTensorList() && is_rows(value.toTensorVector())) {
      outputs.push_back({path, {}, value.toTensorVector(), true});
    } else if (value.isList()) {
      std::int64_t index = 0;
      for (const c10::IValue& element : value.toListRef()) walk(element, joined(path, std::to_string(index++)));
    } else if (value.isTuple()) {
      walk_tuple(value, path);
    } else if (value.isGenericDict()) {
      for (const auto& entry : value.toGenericDict())
        walk(entry.value(),
             joined(path, entry.key().isString() ? entry.key().toStringRef() : fmt::format("{}", entry.key().toInt())));
    } else {
      throw Error(fmt::format("the model returns a {} where a tensor was expected", value.tagKind()));
    }
  }

  std::vector<ModelOutput> outputs;

 private:
  void walk_tuple(const c10::IValue& value, const std::string& path) {
    const auto tuple = value.toTuple();
    const auto& type = tuple->type();
    const bool named = type != nullptr && type->schema() != nullptr; // a NamedTuple
    for (std::size_t i = 0; i < tuple->elements().size(); ++i)
      walk(tuple->elements()[i], joined(path, named ? type->schema()->arguments()[i].name() : std::to_string(i)));
  }

  bool is_rows(const std::vector<torch::Tensor>& list) {
    if (!list_is_rows_) {
      const bool all_batches = batch_size_ > 1 && std::all_of(list.begin(), list.end(), [&](const torch::Tensor& tensor) {
                                 return tensor.dim() > 0 && tensor.size(0) == batch_size_;
                               });
      list_is_rows_ = static_cast<std::int64_t>(list.size()) == batch_size_ && !all_batches;
    }
    return *list_is_rows_;
  }

  std::int64_t batch_size_;
  std::optional<bool>& list_is_rows_;
};

void walk_spec(const nlohmann::json& spec, const std::string& path, std::vector<std::string>& paths) {
  const auto& children = spec.at("children_spec");
  if (spec.at("type").is_null()) {
    paths.push_back(path);
    return;
  }
  std::vector<std::string> keys;
  if (spec.at("context").is_string()) {
    const auto context = nlohmann::json::parse(spec.at("context").get<std::string>(), nullptr, false);
    if (context.is_array() && context.size() == children.size())
      for (const auto& key : context) keys.push_back(key.is_string() ? key.get<std::string>() : key.dump());
  }
  for (std::size_t i = 0; i < children.size(); ++i)
    walk_spec(children[i], joined(path, i < keys.size() ? keys[i] : std::to_string(i)), paths);
}

} // namespace

std::vector<ModelOutput> flatten(const c10::IValue& value, std::int64_t batch_size, std::optional<bool>& list_is_rows) {
  Flattener flattener(batch_size, list_is_rows);
  flattener.walk(value, "");
  return std::move(flattener.outputs);
}

std::vector<std::string> leaf_paths(const std::string& out_spec_json) {
  std::vector<std::string> paths;
  try {
    const auto document = nlohmann::json::parse(out_spec_json); // [version, spec]
    walk_spec(document.at(1), "", paths);
  } catch (const nlohmann::json::exception&) {
    return {};
  }
  return paths;
}

} // namespace mgpu::worker
