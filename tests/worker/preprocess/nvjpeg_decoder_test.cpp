// --decode nvjpeg, as far as it can be seen without a GPU: the option, its errors, and what is done after decoding, which is the same
// tensor operations on every device.
#include "worker/preprocess/nvjpeg_decoder.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "mgpu/error.hpp"
#include "mgpu/network.hpp"
#include "worker/preprocess/fit_picture.hpp"
#ifdef MGPU_HAS_NVJPEG
#include "worker/preprocess/nvjpeg_library.hpp"
#endif

namespace mgpu::worker {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

Config decode(const char* value) {
  return Config(nlohmann::json{{"decode", value}});
}

TEST(NvjpegOption, OnlyNvjpegAsksForIt) {
  const ImageLoader cpu(ImageSpec{}, PixelForm::uint8_hwc);
  EXPECT_EQ(open_nvjpeg(Config{}, torch::kCPU, cpu, {}), nullptr);
  EXPECT_EQ(open_nvjpeg(decode("auto"), torch::kCPU, cpu, {}), nullptr);
  EXPECT_EQ(open_nvjpeg(decode("cpu"), torch::kCPU, cpu, {}), nullptr);
}

TEST(NvjpegOption, WithoutAGpuItIsAUsageErrorThatSaysSo) {
  Bundle bundle;
  bundle.image.emplace();
  RankContext context;
  context.config = decode("nvjpeg");
  try {
    const Preprocessor preprocessor(bundle, context);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), AnyOf(HasSubstr("this rank has no GPU"), HasSubstr("this build has no nvJPEG")));
  }
}

TEST(NvjpegOption, NothingIsRemarkedWhereItIsNotUsed) {
  Bundle bundle;
  bundle.image.emplace();
  EXPECT_TRUE(Preprocessor(bundle, RankContext{}).remarks().empty());
}

#ifdef MGPU_HAS_NVJPEG
TEST(NvjpegLibrary, HasWhatWeCallAndSaysNoWithoutAGpu) {
  const NvjpegLibrary& library = nvjpeg_library(); // throws where a function is missing
  EXPECT_EQ(&library, &nvjpeg_library());
  if (at::hasCUDA()) return;
  nvjpegHandle_t handle = nullptr;
  const nvjpegStatus_t status = library.create_ex(NVJPEG_BACKEND_HYBRID, nullptr, nullptr, NVJPEG_FLAGS_DEFAULT, &handle);
  EXPECT_NE(status, NVJPEG_STATUS_SUCCESS);
  EXPECT_STRNE(nvjpeg_status_name(status), "an unknown status");
}
#endif

// --- after decoding --------------------------------------------------------------------------------------------------------------

/// A picture without sharp edges, uint8 [3, height, width].
torch::Tensor smooth_picture(int height, int width) {
  const torch::Tensor y = torch::arange(height).to(torch::kFloat).unsqueeze(1), x = torch::arange(width).to(torch::kFloat);
  std::vector<torch::Tensor> planes;
  for (int channel = 0; channel < 3; ++channel)
    planes.push_back((torch::sin(x * (0.05 + 0.02 * channel) + y * 0.03) * torch::cos(y * 0.04 - channel) + 1) * 127);
  return torch::stack(planes).to(torch::kByte);
}

/// The same as an uncompressed BMP, for ImageLoader.
Item bmp_of(const torch::Tensor& planes) {
  const auto height = static_cast<std::int32_t>(planes.size(1)), width = static_cast<std::int32_t>(planes.size(2));
  Item item;
  item.path = "picture.bmp";
  item.shipped = true;
  const auto put = [&](auto number) { item.content.append(reinterpret_cast<const char*>(&number), sizeof number); };
  item.content = "BM";
  put(std::uint32_t{0}), put(std::uint32_t{0}), put(std::uint32_t{54}), put(std::uint32_t{40}), put(width), put(-height);
  put(std::uint16_t{1}), put(std::uint16_t{24});
  for (int i = 0; i < 6; ++i) put(std::uint32_t{0});
  const torch::Tensor pixels = planes.flip(0).permute({1, 2, 0}).contiguous(); // blue first
  for (std::int32_t y = 0; y < height; ++y) {
    item.content.append(static_cast<const char*>(pixels[y].const_data_ptr()), static_cast<std::size_t>(width) * 3);
    item.content.append(static_cast<std::size_t>(width) % 4, '\0'); // lines of 3 · width bytes end on a multiple of 4
  }
  return item;
}

struct Difference {
  double most = 0, mean = 0;
};

/// Between ImageLoader's row and fit_picture's.
Difference difference(const ImageSpec& spec, const torch::Tensor& planes) {
  const ImageLoader loader(spec, PixelForm::uint8_hwc);
  torch::Tensor wanted = torch::full({spec.height, spec.width, spec.channels}, 77, torch::kByte);
  loader.load(bmp_of(planes), wanted.mutable_data_ptr());
  const load::Fit fit = fit_stored(spec, static_cast<int>(planes.size(2)), static_cast<int>(planes.size(1)), /*orientation=*/1);
  const torch::Tensor got = fit_picture(planes, 1, spec, fit);
  EXPECT_TRUE(got.is_contiguous());
  EXPECT_EQ(got.sizes(), wanted.sizes());
  const torch::Tensor apart = (got.to(torch::kFloat) - wanted.to(torch::kFloat)).abs();
  return {apart.max().item<double>(), apart.mean().item<double>()};
}

TEST(FitPicture, DoesWhatTheImageLoaderDoes) {
  struct Case {
    const char* name;
    Resize resize;
    Interpolation interpolation;
    bool antialias;
    int height, width, resize_to, channels;
    double most;
  };
  // Pillow's two roundings against one; without antialias the bilinear weights of neighbours of different size differ by rounding too.
  const Case cases[] = {
      {"imagenet", Resize::shorter, Interpolation::bilinear, true, 96, 96, 110, 3, 1},
      {"bicubic", Resize::shorter, Interpolation::bicubic, true, 96, 80, 100, 3, 2},
      {"larger", Resize::exact, Interpolation::bicubic, true, 400, 500, 0, 3, 2},
      {"exact", Resize::exact, Interpolation::bilinear, true, 60, 130, 0, 3, 1},
      {"letterbox", Resize::letterbox, Interpolation::bilinear, true, 128, 131, 0, 3, 1},
      {"padded crop", Resize::shorter, Interpolation::bilinear, true, 75, 300, 60, 3, 1},
      {"grey", Resize::shorter, Interpolation::bilinear, true, 64, 64, 70, 1, 1},
      {"nearest", Resize::exact, Interpolation::nearest, true, 70, 90, 0, 3, 0},
      {"plain bilinear", Resize::exact, Interpolation::bilinear, false, 90, 140, 0, 3, 1},
      {"plain bicubic", Resize::exact, Interpolation::bicubic, false, 90, 140, 0, 3, 2},
      {"lanczos", Resize::letterbox, Interpolation::lanczos, true, 128, 131, 0, 3, 1},
      {"larger lanczos", Resize::exact, Interpolation::lanczos, true, 400, 500, 0, 1, 1},
      {"plain lanczos", Resize::exact, Interpolation::lanczos, false, 90, 140, 0, 3, 1},
      {"untouched", Resize::none, Interpolation::bilinear, true, 201, 303, 0, 3, 0},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.name);
    ImageSpec spec;
    spec.resize = each.resize;
    spec.interpolation = each.interpolation;
    spec.antialias = each.antialias;
    spec.height = each.height, spec.width = each.width, spec.resize_to = each.resize_to, spec.channels = each.channels;
    const Difference apart = difference(spec, smooth_picture(201, 303));
    EXPECT_LE(apart.most, each.most);
    EXPECT_LE(apart.mean, 0.3);
  }
}

TEST(FitPicture, TurnsAsExifSays) {
  const torch::Tensor planes = smooth_picture(20, 30);
  // In torch's words: what each orientation asks for so that the picture is seen upright.
  const std::vector<torch::Tensor> seen = {planes,
                                           planes.flip(2),
                                           torch::rot90(planes, 2, {1, 2}),
                                           planes.flip(1),
                                           planes.transpose(1, 2),
                                           torch::rot90(planes, -1, {1, 2}),
                                           torch::rot90(planes.transpose(1, 2), 2, {1, 2}),
                                           torch::rot90(planes, 1, {1, 2})};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const torch::Tensor& wanted = seen[static_cast<std::size_t>(orientation - 1)];
    ImageSpec spec;
    spec.resize = Resize::none;
    spec.height = static_cast<int>(wanted.size(1)), spec.width = static_cast<int>(wanted.size(2));
    const torch::Tensor got = fit_picture(planes, orientation, spec, fit_stored(spec, 30, 20, orientation));
    EXPECT_TRUE(got.equal(wanted.permute({1, 2, 0}))) << orientation;
  }
}

TEST(FitPicture, APictureThatCannotFitHasTheLoadersReason) {
  ImageSpec spec;
  spec.resize = Resize::none;
  EXPECT_THROW(fit_stored(spec, 30, 20, 6), Error);
}

} // namespace
} // namespace mgpu::worker
