// Preparing pictures and sound on one core, each beside its peers in alternating rounds of one run: JPEG → [3, 224, 224] against
// Pillow + torchvision and decode_jpeg + v2; log-mel against faster-whisper's extractor. bench_decode [ROUNDS]
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE from above.
#include <jpeglib.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "mgpu/load.hpp"

namespace {

using namespace mgpu;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Amount a second of the best of many runs within `seconds`: what the core can do when nobody else has it.
double best_rate(const std::function<void()>& work, double amount, double seconds = 1.5) {
  double best = 0;
  for (const auto begin = Clock::now(); seconds_since(begin) < seconds;) {
    const auto run = Clock::now();
    work();
    best = std::max(best, amount / seconds_since(run));
  }
  return best;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// The Python side: one question a line, one number an answer.
class Peers {
 public:
  explicit Peers(const std::string& folder) {
    int questions[2], answers[2];
    if (::pipe2(questions, O_CLOEXEC) != 0 || ::pipe2(answers, O_CLOEXEC) != 0) std::abort();
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(questions[0], 0);
      ::dup2(answers[1], 1);
      ::execlp(MGPU_PYTHON, MGPU_PYTHON, MGPU_PEER_SCRIPT, folder.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(questions[0]);
    ::close(answers[1]);
    to_ = ::fdopen(questions[1], "w");
    from_ = ::fdopen(answers[0], "r");
    line(); // "ready"
  }
  ~Peers() {
    std::fclose(to_);
    std::fclose(from_);
    ::waitpid(child_, nullptr, 0);
  }
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  double ask(const std::string& question) {
    std::fprintf(to_, "%s\n", question.c_str());
    std::fflush(to_);
    return std::stod(line());
  }

 private:
  std::string line() {
    char text[256] = {};
    if (std::fgets(text, sizeof text, from_) == nullptr) {
      fmt::print(stderr, "the Python side ended: {} {}\n", MGPU_PYTHON, MGPU_PEER_SCRIPT);
      std::exit(1);
    }
    return text;
  }
  pid_t child_ = -1;
  std::FILE *to_ = nullptr, *from_ = nullptr;
};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// libjpeg-turbo alone: every pixel to memory, nothing else.
void decode_only(const std::string& bytes, std::vector<unsigned char>& row) {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  jpeg_start_decompress(&info);
  row.resize(info.output_width * 3 * 4);
  JSAMPROW rows[4];
  for (unsigned i = 0; i < 4; ++i) rows[i] = row.data() + info.output_width * 3 * i;
  while (info.output_scanline < info.output_height) jpeg_read_scanlines(&info, rows, 4);
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
}

void pictures(Peers& peers, const std::string& folder, const std::string& kind, int count, int rounds) {
  ImageSpec spec;
  spec.resize_to = 256;
  spec.mean = {0.485, 0.456, 0.406};
  spec.std = {0.229, 0.224, 0.225};
  const ImageLoader floats(spec, PixelForm::float_chw), bytes(spec, PixelForm::uint8_hwc);
  std::vector<char> out(floats.row_bytes());
  std::vector<Item> items(static_cast<std::size_t>(count));
  std::vector<std::string> contents;
  for (std::size_t i = 0; i < items.size(); ++i) {
    items[i].path = folder + "/" + kind + "_" + std::to_string(i) + ".jpg";
    contents.push_back(read_file(items[i].path));
  }
  std::vector<unsigned char> row;
  std::map<std::string, std::vector<double>> rates;
  for (int round = 0; round < rounds; ++round) {
    rates["pillow"].push_back(peers.ask("pillow " + kind));
    rates["ours"].push_back(best_rate(
        [&] {
          for (const Item& item : items) floats.load(item, out.data());
        },
        count));
    rates["decode_jpeg"].push_back(peers.ask("decode_jpeg " + kind));
    rates["bytes"].push_back(best_rate(
        [&] {
          for (const Item& item : items) bytes.load(item, out.data());
        },
        count));
    rates["libjpeg"].push_back(best_rate(
        [&] {
          for (const auto& content : contents) decode_only(content, row);
        },
        count));
  }
  const double ours = median(rates["ours"]);
  const auto line = [&](const char* who, const char* key) {
    fmt::print("  {:34} {:8.1f} pictures/s   ours is {:5.2f} x\n", who, median(rates[key]), ours / median(rates[key]));
  };
  fmt::print("{} JPEGs to float [3, 224, 224], one core\n", kind == "small" ? "500x375" : "4000x3000");
  fmt::print("  {:34} {:8.1f} pictures/s\n", "ours", ours);
  line("ours, uint8 [224, 224, 3]", "bytes");
  line("Pillow + torchvision", "pillow");
  line("decode_jpeg + torchvision v2", "decode_jpeg");
  line("libjpeg-turbo, decoding alone", "libjpeg");
}

void mel(Peers& peers, const std::string& folder, int rounds) {
  const std::string content = read_file(folder + "/samples.f32");
  std::vector<float> samples(content.size() / sizeof(float));
  std::copy_n(content.data(), content.size(), reinterpret_cast<char*>(samples.data()));
  const auto count = static_cast<std::int64_t>(samples.size());
  std::vector<double> ours, theirs;
  for (int round = 0; round < rounds; ++round) {
    theirs.push_back(peers.ask("mel"));
    ours.push_back(best_rate([&] { log_mel(samples.data(), count, AudioSpec{}); }, static_cast<double>(count) / 16000));
  }
  fmt::print("log-mel, 80 bands, one core\n  {:34} {:8.0f} x real time\n", "ours", median(ours));
  fmt::print("  {:34} {:8.0f} x real time    ours is {:5.2f} x\n", "faster-whisper's extractor", median(theirs),
             median(ours) / median(theirs));
}

} // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 3;
  const std::string folder = (std::filesystem::temp_directory_path() / fmt::format("bench_decode_{}", ::getpid())).string();
  std::filesystem::create_directories(folder);
  {
    Peers peers(folder);
    pictures(peers, folder, "small", 16, rounds);
    pictures(peers, folder, "large", 3, rounds);
    mel(peers, folder, rounds);
  }
  std::filesystem::remove_all(folder);
  return 0;
}
