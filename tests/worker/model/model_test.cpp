// Networks read from files give what PyTorch gives, in flat order, and files that are no networks are refused in one line.
#include "mgpu/model.hpp"

#include <gmock/gmock.h>
#include <torch/script.h>

#include <filesystem>
#include <fstream>

#include "common/wire/control_messages.hpp"
#include "worker/device/reason.hpp"
#include "worker/model/models_folder.hpp"
#include "worker/model/package.hpp"

namespace mgpu::worker {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// Frozen and fused networks round otherwise than eager PyTorch, in the last bits of float32.
constexpr double tolerance = 1e-5;

struct Case {
  std::vector<torch::Tensor> inputs, outputs;
};

Case load_case(const std::string& name) {
  const auto holder = torch::jit::load(models_folder() + "/" + name + ".case.pt");
  Case loaded;
  for (int i = 0; holder.hasattr("input_" + std::to_string(i)); ++i)
    loaded.inputs.push_back(holder.attr("input_" + std::to_string(i)).toTensor());
  for (int i = 0; holder.hasattr("output_" + std::to_string(i)); ++i)
    loaded.outputs.push_back(holder.attr("output_" + std::to_string(i)).toTensor());
  return loaded;
}

std::unique_ptr<Model> open(const std::string& file, torch::ScalarType dtype = torch::kFloat) {
  RankContext context;
  context.dtype = dtype;
  return Model::open(models_folder() + "/" + file, context);
}

std::vector<std::string> paths(const std::vector<ModelOutput>& outputs) {
  std::vector<std::string> paths;
  for (const ModelOutput& output : outputs) paths.push_back(output.path);
  return paths;
}

void expect_equal(const std::vector<torch::Tensor>& have, const std::vector<torch::Tensor>& want) {
  ASSERT_EQ(have.size(), want.size());
  for (std::size_t i = 0; i < have.size(); ++i) {
    ASSERT_EQ(have[i].sizes(), want[i].sizes()) << "output " << i;
    EXPECT_TRUE(torch::allclose(have[i], want[i], tolerance, tolerance)) << "output " << i;
  }
}

template <typename Call>
std::string error_of(Call call, ExitCode code) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

class SameAsPyTorch : public testing::TestWithParam<std::string> {};

TEST_P(SameAsPyTorch, Outputs) {
  const c10::InferenceMode inference;
  const Case expected = load_case(GetParam());
  const auto model = open(GetParam() + ".pt");
  EXPECT_EQ(model->inputs(), static_cast<int>(expected.inputs.size()));
  expect_equal(model->run(expected.inputs), expected.outputs);
}

INSTANTIATE_TEST_SUITE_P(TorchScript, SameAsPyTorch,
                         testing::Values("classifier", "nested", "pair", "ragged", "pyramid", "frames"),
                         [](const auto& info) { return info.param; });

TEST(TorchScript, NamesOutputsByWhereTheyStood) {
  const c10::InferenceMode inference;
  EXPECT_THAT(paths(open("classifier.pt")->call(load_case("classifier").inputs)), ElementsAre(""));
  EXPECT_THAT(paths(open("pair.pt")->call(load_case("pair").inputs)), ElementsAre("0", "1"));
  EXPECT_THAT(paths(open("nested.pt")->call(load_case("nested").inputs)), ElementsAre("0_logits", "0_twice", "1"));
}

TEST(TorchScript, AListOfOneTensorARowIsRaggedAndOneOfWholeBatchesIsNot) {
  const c10::InferenceMode inference;
  const auto ragged = open("ragged.pt")->call(load_case("ragged").inputs);
  ASSERT_EQ(ragged.size(), 1u);
  EXPECT_TRUE(ragged[0].ragged);
  EXPECT_EQ(ragged[0].rows.size(), 4u);

  const auto pyramid = open("pyramid.pt");
  EXPECT_THAT(paths(pyramid->call(load_case("pyramid").inputs)), ElementsAre("0", "1"));
  // Two rows and two outputs: what the first call settled stands.
  const auto two = pyramid->call({load_case("pyramid").inputs[0].narrow(0, 0, 2)});
  ASSERT_EQ(two.size(), 2u);
  EXPECT_FALSE(two[0].ragged);
}

TEST(TorchScript, EveryCallGivesTheSameBits) {
  const c10::InferenceMode inference;
  const auto inputs = load_case("classifier").inputs;
  const auto model = open("classifier.pt");
  const torch::Tensor first = model->run(inputs)[0].clone();
  for (int call = 0; call < 20; ++call) EXPECT_TRUE(torch::equal(model->run(inputs)[0], first)) << "call " << call + 2;
  EXPECT_TRUE(torch::equal(open("classifier.pt")->run(inputs)[0], first)) << "opened again";
}

TEST(TorchScript, RunsInAnotherType) {
  const c10::InferenceMode inference;
  const Case expected = load_case("classifier");
  const auto outputs = open("classifier.pt", torch::kBFloat16)->run(expected.inputs);
  EXPECT_EQ(outputs[0].scalar_type(), torch::kBFloat16);
  EXPECT_TRUE(torch::allclose(outputs[0].to(torch::kFloat), expected.outputs[0], 0.05, 0.05));
}

TEST(TorchScript, AWrongShapeIsOneLine) {
  const c10::InferenceMode inference;
  const auto model = open("classifier.pt");
  EXPECT_THAT(error_of([&] { model->run({torch::zeros({2, 4, 16, 16})}); }, ExitCode::failed), HasSubstr("the model failed: "));
}

TEST(Package, GivesWhatPyTorchGives) {
  const c10::InferenceMode inference;
  const Case expected = load_case("packages");
  for (const std::string name : {"dynamic.pt2", "static.pt2"}) {
    const auto model = open(name);
    EXPECT_EQ(model->inputs(), 1) << name;
    const auto outputs = model->call(expected.inputs);
    EXPECT_THAT(paths(outputs), ElementsAre("logits", "pair_0", "pair_1_0")) << name;
    expect_equal(model->run(expected.inputs), expected.outputs);
  }
}

TEST(Package, AFixedBatchSizeTakesAShorterLastBatch) {
  const c10::InferenceMode inference;
  const Case expected = load_case("packages");
  const auto model = open("static.pt2");
  model->run(expected.inputs);
  for (const std::int64_t rows : {3, 1, 4}) {
    std::vector<torch::Tensor> want;
    for (const torch::Tensor& output : expected.outputs) want.push_back(output.narrow(0, 0, rows));
    expect_equal(model->run({expected.inputs[0].narrow(0, 0, rows)}), want);
  }
}

TEST(Package, AWrongShapeIsOneLineThatNamesIt) {
  const c10::InferenceMode inference;
  const auto model = open("dynamic.pt2");
  EXPECT_THAT(error_of([&] { model->run({torch::zeros({4, 2, 5})}); }, ExitCode::failed), HasSubstr("[4, 2, 5]"));
}

TEST(Package, OnAnotherDeviceThanItWasBuiltForIsRefused) {
  RankContext context;
  context.device = torch::Device(torch::kCUDA, 0);
  EXPECT_THAT(error_of([&] { Model::open(models_folder() + "/dynamic.pt2", context); }, ExitCode::usage),
              HasSubstr("was compiled for cpu, this rank runs on cuda"));
}

TEST(Package, VectorInstructionsAreLookedUp) {
  const auto file = std::filesystem::temp_directory_path() / "mgpu_cpuinfo_test";
  std::ofstream(file) << "processor : 0\nflags : fpu sse2 avx2 avx512f\n";
  EXPECT_EQ(missing_cpu_feature("AVX2", file), "");
  EXPECT_EQ(missing_cpu_feature("AVX512", file), "");
  EXPECT_EQ(missing_cpu_feature("AVX512 AVX512_VNNI", file), "avx512_vnni");
  EXPECT_EQ(missing_cpu_feature("INVALID_VEC_ISA", file), "");
  std::filesystem::remove(file);
}

class NotAModel : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string refusal(const std::string& path) {
    return error_of([&] { Model::open(path, RankContext()); }, ExitCode::usage);
  }
  std::string write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / "mgpu_not_a_model_test";
};

TEST_F(NotAModel, IsRefusedWithTheReason) {
  EXPECT_THAT(refusal(folder_ / "none.pt"), HasSubstr("no such file"));
  EXPECT_THAT(refusal(folder_), HasSubstr("is a folder"));
  EXPECT_THAT(refusal(write("empty.pt", "")), AllOf(HasSubstr("is not a TorchScript or AOTInductor file"), HasSubstr("empty")));
  EXPECT_THAT(refusal(write("text.pt", "hello, this is text")), HasSubstr("is not a TorchScript or AOTInductor file"));
  EXPECT_THAT(refusal(models_folder() + "/weights.pt"), HasSubstr("weights only"));
}

TEST_F(NotAModel, ATruncatedFileIsRefused) {
  for (const std::string name : {"classifier.pt", "dynamic.pt2"}) {
    std::ifstream whole(models_folder() + "/" + name, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(whole)), {});
    for (const std::size_t part : {bytes.size() / 2, bytes.size() - 10, std::size_t{30}})
      EXPECT_THAT(refusal(write(name, bytes.substr(0, part))), HasSubstr("is not a TorchScript or AOTInductor file")) << part;
  }
}

TEST(Reason, KeepsTheTellingLine) {
  const std::runtime_error script(
      "The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript, serialized code (most recent "
      "call "
      "last):\n  File \"x.py\", line 3\nRuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)\nmore\n");
  EXPECT_EQ(reason_of(script), "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)");
  EXPECT_EQ(reason_of(std::runtime_error("first\nsecond")), "first");
  EXPECT_EQ(reason_of(std::runtime_error("")), "unknown error");
}

TEST(Reason, KnowsMemoryFromALostDevice) {
  EXPECT_TRUE(is_out_of_memory(std::runtime_error("RuntimeError: CUDA out of memory. Tried to allocate 2 GiB")));
  EXPECT_TRUE(is_out_of_memory(std::bad_alloc()));
  EXPECT_TRUE(is_out_of_memory(std::runtime_error("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")));
  using wire::DeviceTrouble;
  EXPECT_EQ(device_trouble(std::runtime_error("CUDA error: out of memory")), DeviceTrouble::none);
  EXPECT_EQ(device_trouble(std::runtime_error("CUDA error: an illegal memory access was encountered")), DeviceTrouble::context);
  EXPECT_EQ(device_trouble(std::runtime_error("size mismatch")), DeviceTrouble::none);
  const auto cuda_error = [](std::int32_t code) { return c10::AcceleratorError({"f", "f.cpp", 1}, code, "CUDA error: …"); };
  constexpr std::int32_t assertion = 710, uncorrectable_memory = 214;
  EXPECT_EQ(device_trouble(cuda_error(assertion)), DeviceTrouble::context);
  EXPECT_EQ(device_trouble(cuda_error(uncorrectable_memory)), DeviceTrouble::hardware);
  Error lost("the device is lost");
  lost.cause = Cause::device;
  EXPECT_EQ(device_trouble(lost), DeviceTrouble::hardware);
}

} // namespace
} // namespace mgpu::worker
