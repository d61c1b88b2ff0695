#pragma once
// The labels of a training's items, and the check that the loss can use them: before any work, naming the bad row.
#include <string>
#include <string_view>
#include <vector>

#include "agent/manifest/manifest.hpp"
#include "mgpu/bundle.hpp"

namespace mgpu::agent {

/// A data set with the label of every row.
struct LabelledSet {
  std::string option; ///< "--input train.csv": for messages
  manifest::Manifest manifest;
  manifest::StringColumn labels; ///< [manifest.size()]
};

/// Reads the labels of `set` from column `column` or, where `input` is a folder, from its class folders: the folders right below it.
/// `required` false: "" where there is no such column. Throws usage_error: no column, a file outside of the class folders, an empty
/// class folder.
void read_labels(LabelledSet& set, const std::string& input, const std::string& column, bool required);

/// The classes of a cross_entropy or bce loss when the bundle names none: the sorted labels of the training set; "0" … the largest where
/// all labels are whole numbers.
std::vector<std::string> find_classes(const LabelledSet& set, std::string_view loss);

/// Throws usage_error naming row and file of the first label that `loss` cannot use, and the labels that it can.
void check_labels(const LabelledSet& set, std::string_view loss, const std::vector<std::string>& classes, const Bundle& bundle);

} // namespace mgpu::agent
