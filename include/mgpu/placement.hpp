#pragma once
#include <algorithm>

namespace mgpu {

/// A rectangle by its edges, in pixels: x to the right and y down from the picture's upper-left corner, so that a whole picture is
/// {0, 0, width, height}.
struct Box {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;

  bool operator==(const Box&) const = default;
};

/// Where a picture lies in the model's input: x_model = x_original · scale_x + offset_x, the same for y. The original is the picture as
/// it is seen, after its EXIF orientation.
struct Placement {
  int original_height = 0, original_width = 0; ///< pixels
  double scale_y = 1, scale_x = 1;             ///< model pixels per original pixel
  double offset_y = 0, offset_x = 0;           ///< model pixels: above 0 are bars (letterbox), below 0 is what a crop removes

  /// A box of the model's input in pixels of the original, clipped to it. A box outside the picture (in a bar) becomes empty.
  Box to_original(const Box& box) const {
    return {clipped((box.x1 - offset_x) / scale_x, original_width), clipped((box.y1 - offset_y) / scale_y, original_height),
            clipped((box.x2 - offset_x) / scale_x, original_width), clipped((box.y2 - offset_y) / scale_y, original_height)};
  }
  /// A box of the original in pixels of the model's input, not clipped.
  Box to_model(const Box& box) const {
    return {static_cast<float>(box.x1 * scale_x + offset_x), static_cast<float>(box.y1 * scale_y + offset_y),
            static_cast<float>(box.x2 * scale_x + offset_x), static_cast<float>(box.y2 * scale_y + offset_y)};
  }

  bool operator==(const Placement&) const = default;

 private:
  static float clipped(double position, int size) {
    return static_cast<float>(std::clamp(position, 0.0, static_cast<double>(size)));
  }
};

} // namespace mgpu
