#include "worker/train/step_facts.hpp"

#include <fmt/format.h>

namespace mgpu::worker::train {

namespace {

/// The indices of the facts. One flag per rank follows: 0, or 1 + the first item of a batch whose loss is not finite.
enum Fact : std::size_t { loss_sum_fact, rows_fact, skipped_fact, not_finite_fact, out_of_memory_fact, stop_fact, first_flag };

} // namespace

std::vector<double> facts_of(const StepSums& sums, const StepLosses& losses, bool stop, int rank, int world_size) {
  std::vector<double> facts(first_flag + static_cast<std::size_t>(world_size), 0.0);
  facts[loss_sum_fact] = losses.sum;
  facts[rows_fact] = static_cast<double>(sums.rows);
  facts[skipped_fact] = static_cast<double>(sums.skipped);
  facts[not_finite_fact] = losses.not_finite_row ? 1 : 0;
  facts[out_of_memory_fact] = static_cast<double>(sums.out_of_memory);
  facts[stop_fact] = stop ? 1 : 0;
  if (losses.not_finite_row) facts[first_flag + static_cast<std::size_t>(rank)] = 1 + static_cast<double>(*losses.not_finite_row);
  return facts;
}

double StepFacts::loss_sum() const {
  return facts_[loss_sum_fact];
}

double StepFacts::rows() const {
  return facts_[rows_fact];
}

double StepFacts::skipped() const {
  return facts_[skipped_fact];
}

bool StepFacts::finite() const {
  return facts_[not_finite_fact] == 0;
}

bool StepFacts::out_of_memory() const {
  return facts_[out_of_memory_fact] > 0;
}

bool StepFacts::stop() const {
  return facts_[stop_fact] > 0;
}

std::string StepFacts::where_not_finite() const {
  std::string where;
  for (std::size_t at = first_flag; at < facts_.size(); ++at)
    if (const double flag = facts_[at]; flag > 0)
      where += fmt::format("{}rank {} (the batch of item {})", where.empty() ? "" : ", ", at - first_flag,
                           static_cast<std::uint64_t>(flag - 1));
  return where;
}

collective::Decision decide(const StepFacts& facts, std::uint64_t samples, double loss_scale, const collective::Hyper& hyper) {
  collective::Decision decision;
  decision.update = facts.usable();
  // Corrects the weight for samples that could not be prepared.
  if (facts.rows() > 0) decision.gradient_scale = static_cast<double>(samples) / facts.rows() / loss_scale;
  decision.hyper = hyper;
  return decision;
}

} // namespace mgpu::worker::train
