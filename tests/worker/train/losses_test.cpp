// Losses and metrics against what make_references.py recorded from torch.nn.functional.
#include "mgpu/losses.hpp"

#include <gmock/gmock.h>
#include <torch/script.h>

#include <map>

#include "mgpu/ctc.hpp"
#include "worker/load/references.hpp"

namespace mgpu::worker {
namespace {

using testing::HasSubstr;

class LossesTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto module = torch::jit::load(test::references() + "losses.pt");
    for (const auto& [name, tensor] : module.named_buffers()) recorded_[name] = tensor;
    for (int i = 0; i < 12; ++i) bundle_.labels.push_back("class " + std::to_string(i));
    bundle_.ctc = CtcSpec{{"", "a", "b", " ", "é", "ch"}, 0, 0.5};
  }

  std::unique_ptr<Loss> loss(const std::string& name, double smoothing = 0) const {
    return make_loss(Config({{"loss", name}, {"label-smoothing", smoothing}}), bundle_);
  }

  /// A batch whose items have these labels.
  Batch batch(const std::vector<std::string>& labels) {
    items_.clear();
    for (const std::string& label : labels) {
      items_.emplace_back();
      items_.back().index = items_.size() - 1;
      items_.back().path = "a.png";
      items_.back().columns = {{"label", label}};
    }
    Batch result;
    for (const Item& item : items_) result.items.push_back(&item);
    return result;
  }
  /// With the targets that `loss` makes of them.
  Batch batch(const std::vector<std::string>& labels, const Loss& loss) {
    Batch result = batch(labels);
    result.targets = loss.targets(result);
    return result;
  }

  /// Compares a loss and its gradient with the recorded ones.
  void expect_as_recorded(const std::string& name, const Loss& loss, Batch batch, std::vector<torch::Tensor> more = {}) {
    batch.targets = loss.targets(batch);
    std::vector<torch::Tensor> outputs{recorded_.at(name + "_outputs").clone().set_requires_grad(true)};
    outputs.insert(outputs.end(), more.begin(), more.end());
    const torch::Tensor value = loss(outputs, batch);
    value.backward();
    EXPECT_EQ(value.dim(), 0);
    EXPECT_TRUE(torch::allclose(value, recorded_.at(name + "_loss"), 1e-6, 0)) << name << value << recorded_.at(name + "_loss");
    EXPECT_TRUE(torch::allclose(outputs[0].grad(), recorded_.at(name + "_gradient"), 1e-5, 1e-8)) << name;
    Sums sums;
    const torch::NoGradGuard no_graph;
    loss.evaluate(outputs, batch, sums);
    EXPECT_NEAR(sums.means["loss"].first / sums.means["loss"].second, value.item<double>(),
                1e-6 * std::abs(value.item<double>()));
  }

  static std::string refusal(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "nothing was refused";
  }

  std::map<std::string, torch::Tensor> recorded_;
  std::vector<Item> items_;
  Bundle bundle_;
};

TEST_F(LossesTest, CrossEntropyIsPyTorchs) {
  std::vector<std::string> labels;
  const torch::Tensor truth = recorded_.at("plain_labels");
  for (std::int64_t i = 0; i < truth.size(0); ++i) { // by name and by index
    const auto label = std::to_string(truth[i].item<std::int64_t>());
    labels.push_back(i % 2 == 0 ? "class " + label : label);
  }
  const auto plain = loss("cross_entropy");
  const Batch all = batch(labels, *plain);
  expect_as_recorded("plain", *plain, all);
  expect_as_recorded("smooth", *loss("cross_entropy", 0.1), all);
  plain->check_outputs({recorded_.at("plain_outputs")}, 40);
  for (const Item& item : items_) plain->check_item(item);

  Sums sums;
  plain->evaluate({recorded_.at("plain_outputs")}, all, sums);
  EXPECT_EQ(sums.means.at("accuracy"), std::pair(recorded_.at("plain_right").item<double>(), 40.0));
  EXPECT_EQ(sums.means.at("top5"), std::pair(recorded_.at("plain_top5").item<double>(), 40.0));
  double right = 0, count = 0;
  for (const auto& [of_class, of_all] : sums.classes) right += of_class, count += of_all;
  EXPECT_EQ(right, recorded_.at("plain_right").item<double>());
  EXPECT_EQ(count, 40);
  EXPECT_EQ(plain->labels().size(), 12u);
}

TEST_F(LossesTest, EqualScoresGoToTheLowerIndexAndNanIsNeverRight) {
  bundle_.labels = {"a", "b", "c"};
  const torch::Tensor logits = torch::tensor({{1.f, 1.f, 0.f}, {1.f, 1.f, 0.f}, {NAN, NAN, NAN}});
  Sums sums;
  const auto plain = loss("cross_entropy");
  const Batch rows = batch({"a", "b", "a"}, *plain);
  plain->evaluate({logits}, rows, sums);
  EXPECT_EQ(sums.means.at("accuracy"), std::pair(1.0, 3.0));
  EXPECT_EQ(sums.classes, (std::vector<std::pair<double, double>>{{1, 2}, {0, 1}}));
  EXPECT_FALSE(sums.means.contains("top5"));
}

TEST_F(LossesTest, IndependentDecisionsArePyTorchs) {
  bundle_.labels = {"w", "x", "y", "z"};
  std::vector<std::string> labels;
  const torch::Tensor hot = recorded_.at("bce_hot");
  for (std::int64_t row = 0; row < hot.size(0); ++row) {
    labels.emplace_back();
    for (std::int64_t i = 0; i < 4; ++i)
      if (hot[row][i].item<float>() > 0)
        labels.back() += (labels.back().empty() ? "" : "; ") + bundle_.labels[static_cast<std::size_t>(i)];
  }
  const auto bce = loss("bce");
  const Batch all = batch(labels, *bce);
  expect_as_recorded("bce", *bce, all);
  Sums sums;
  bce->evaluate({recorded_.at("bce_outputs")}, all, sums);
  EXPECT_EQ(sums.means.at("accuracy").first, recorded_.at("bce_outputs").gt(0).eq(hot.gt(0)).sum().item<double>());
  EXPECT_EQ(sums.means.at("accuracy").second, 36);
}

TEST_F(LossesTest, SquaredErrorIsPyTorchs) {
  std::vector<std::string> labels;
  const torch::Tensor wanted = recorded_.at("mse_wanted").to(torch::kDouble);
  for (std::int64_t row = 0; row < wanted.size(0); ++row) {
    std::ostringstream text;
    text.precision(12);
    for (std::int64_t i = 0; i < 3; ++i) text << (i > 0 ? ";" : "") << wanted[row][i].item<double>();
    labels.push_back(text.str());
  }
  const auto mse = loss("mse");
  const Batch all = batch(labels, *mse);
  expect_as_recorded("mse", *mse, all);
  Sums sums;
  mse->evaluate({recorded_.at("mse_outputs")}, all, sums);
  EXPECT_NEAR(sums.means.at("mae").first / sums.means.at("mae").second, recorded_.at("mse_mae").item<double>(), 1e-6);
  mse->check_outputs({torch::zeros({2, 4})}, 2);
  EXPECT_THAT(refusal([&] { mse->check_item(items_[0]); }), HasSubstr("has 3 numbers, the network gives 4"));
}

TEST_F(LossesTest, CtcIsPyTorchs) {
  std::vector<std::string> labels;
  for (const auto& row : test::table("transcripts.tsv")) labels.push_back(row[1]);
  const auto ctc = loss("ctc");
  const Batch all = batch(labels, *ctc);
  ctc->check_outputs({recorded_.at("ctc_outputs")}, all.size());
  expect_as_recorded("ctc", *ctc, all, {recorded_.at("ctc_frames")});

  const std::vector<torch::Tensor> outputs{recorded_.at("ctc_outputs"), recorded_.at("ctc_frames")};
  const auto heard = greedy_transcripts(outputs[0], ctc_frames(outputs, all), *bundle_.ctc);
  double characters = 0, words = 0;
  for (const auto& row : test::table("transcripts.tsv")) {
    EXPECT_EQ(heard.at(std::stoul(row[0])).text, row[2]);
    characters += std::stod(row[3]);
    words += std::stod(row[4]);
  }
  Sums sums;
  ctc->evaluate(outputs, all, sums);
  EXPECT_EQ(sums.means.at("cer"), std::pair(characters, 4.0 + 1 + 0 + 6 + 40 + 6));
  EXPECT_EQ(sums.means.at("wer"), std::pair(words, 2.0 + 1 + 0 + 3 + 1 + 2));
}

TEST_F(LossesTest, TheNetworksOwnScalarIsTaken) {
  const auto own = loss("output");
  const Batch rows = batch({"", "", ""});
  own->check_outputs({torch::tensor(2.0f)}, 3);
  EXPECT_EQ((*own)({torch::tensor(2.0f)}, rows).item<float>(), 2);
  EXPECT_EQ((*own)({torch::tensor({1.f, 2.f, 6.f})}, rows).item<float>(), 3);
  Sums sums;
  own->evaluate({torch::tensor(2.0f)}, rows, sums);
  EXPECT_EQ(sums.means.at("loss"), std::pair(6.0, 3.0));
  EXPECT_THAT(refusal([&] { own->check_outputs({torch::zeros({3, 2})}, 3); }), HasSubstr("gives [3, 2], output needs a single"));
}

TEST_F(LossesTest, SumsDoNotDependOnHowSamplesAreDealt) {
  std::vector<std::string> labels(40, "3");
  const torch::Tensor outputs = recorded_.at("plain_outputs");
  Sums whole, parts;
  const auto ce = loss("cross_entropy");
  ce->evaluate({outputs}, batch(labels, *ce), whole);
  for (const auto& [begin, size] : {std::pair(0, 7), std::pair(7, 1), std::pair(8, 32)})
    ce->evaluate({outputs.narrow(0, begin, size)}, batch(std::vector<std::string>(static_cast<std::size_t>(size), "3"), *ce),
                 parts);
  EXPECT_EQ(whole.classes, parts.classes);
  EXPECT_EQ(whole.means.at("accuracy"), parts.means.at("accuracy"));
  EXPECT_NEAR(whole.means.at("loss").first, parts.means.at("loss").first, 1e-12 * whole.means.at("loss").first);
}

TEST_F(LossesTest, WhatDoesNotFitIsSaid) {
  const auto says = [&](const std::string& name, const torch::Tensor& output) {
    return refusal([&] { loss(name)->check_outputs({output}, 2); });
  };
  EXPECT_THAT(says("cross_entropy", torch::zeros({2, 10, 3})),
              HasSubstr("the network gives [2, 10, 3], cross_entropy needs [B, 12]"));
  EXPECT_THAT(says("cross_entropy", torch::zeros({2, 10})), HasSubstr("the network gives [2, 10], cross_entropy needs [B, 12]"));
  EXPECT_THAT(says("bce", torch::zeros({2})), HasSubstr("gives [2], bce needs [B, 12]"));
  EXPECT_THAT(says("mse", torch::zeros({2, 2}, torch::kLong)), HasSubstr("mse needs [B, numbers]"));
  EXPECT_THAT(says("ctc", torch::zeros({2, 9, 5})), HasSubstr("gives [2, 9, 5], ctc needs [B, frames, 6]"));
  EXPECT_THAT(says("ctc", torch::zeros({2, 9, 6})), HasSubstr("log_softmax"));
  EXPECT_THAT(refusal([&] { loss("cross_entropy")->check_outputs({}, 2); }), HasSubstr("gives nothing"));
  EXPECT_THAT(refusal([&] { loss("hinge"); }), HasSubstr("'hinge' is not one of"));
  EXPECT_THAT(refusal([&] { loss("cross_entropy", 1.5); }), HasSubstr("--label-smoothing"));
  bundle_.ctc.reset();
  EXPECT_THAT(refusal([&] { loss("ctc"); }), HasSubstr("vocabulary"));
  bundle_.labels.clear();
  EXPECT_THAT(refusal([&] { loss("bce"); }), HasSubstr("names of the classes"));
  EXPECT_THAT(refusal([&] {
                (*loss("cross_entropy"))({torch::zeros({2, 3})}, batch({"0", "1"}));
              }),
              HasSubstr("made no targets"));
}

TEST_F(LossesTest, AClassThatTheNetworkDoesNotHaveIsNamedBeforeItIsUsed) {
  bundle_.labels.clear();
  const auto ce = loss("cross_entropy");
  const torch::Tensor logits = torch::zeros({2, 3});
  const Batch high = batch({"0", "3"}, *ce); // nothing is known yet
  EXPECT_THAT(refusal([&] { (*ce)({logits}, high); }), HasSubstr("item 1: label '3', the network has 3 classes"));
  (*ce)({logits}, batch({"0", "2"}, *ce));
  EXPECT_THAT(refusal([&] { batch({"0", "3"}, *ce); }), HasSubstr("item 1: label '3', the network has 3 classes"));
}

TEST_F(LossesTest, LabelsThatCannotBeUsedAreNamed) {
  const auto says = [&](const std::string& name, const std::string& label) {
    batch({"0", label});
    return refusal([&] { loss(name)->check_item(items_[1]); });
  };
  bundle_.labels = {"zero", "one", "7"};
  EXPECT_THAT(says("cross_entropy", "two"), HasSubstr("label 'two' is not a class: zero, one, 7 (3 classes)"));
  EXPECT_THAT(says("cross_entropy", "two"), HasSubstr("item 1 ("));
  EXPECT_THAT(says("cross_entropy", "3"), HasSubstr("not a class"));
  EXPECT_THAT(says("cross_entropy", "-1"), HasSubstr("not a class"));
  EXPECT_THAT(says("cross_entropy", ""), HasSubstr("is empty"));
  EXPECT_EQ(says("cross_entropy", "7"), "nothing was refused") << "a name goes before an index";
  EXPECT_THAT(says("bce", "zero;two"), HasSubstr("not a class"));
  EXPECT_EQ(says("bce", ""), "nothing was refused");
  EXPECT_THAT(says("mse", "1;x"), HasSubstr("label '1;x' is not a number"));
  EXPECT_THAT(says("mse", "nan"), HasSubstr("not a number"));
  EXPECT_THAT(says("ctc", "abü"), HasSubstr("has 'ü', which is not in the vocabulary"));
  EXPECT_EQ(says("ctc", "chab é"), "nothing was refused") << "ch is one symbol, though neither c nor h is";
}

} // namespace
} // namespace mgpu::worker
