// G11: whatever comes in is read or refused, and nothing else happens.
#include <random>

#include "tests/unit/costs/costs_fixture.h"

namespace penstock::costs {
namespace {

// `text` with a few bytes changed, dropped, doubled or cut off.
std::string mutated(std::string text, std::mt19937& random) {
  static const std::string alphabet =
      std::string("{}[]\",:.-+eE0123456789\n\xff\xc3xyz") + std::string(1, '\0');
  for (unsigned times = 1 + random() % 4; times > 0 && !text.empty(); --times) {
    const std::size_t at = random() % text.size();
    switch (random() % 5) {
      case 0: text[at] = alphabet[random() % alphabet.size()]; break;
      case 1: text.erase(at, 1 + random() % 8); break;
      case 2: text.insert(at, text.substr(at / 2, random() % 40)); break;
      case 3: text.insert(at, 1 + random() % 30, alphabet[random() % alphabet.size()]); break;
      default: text.resize(at); break;
    }
  }
  return text;
}

TEST(CostParsersTest, OutliveWhateverTheyAreGiven) {
  std::ifstream stream("tests/data/costs/model_prices_and_context_window.json");
  const std::string prices(std::istreambuf_iterator<char>(stream), {});
  const std::string event =
      R"({"specversion":"1.0","type":"x.gpu_hours","source":"s","id":"1","time":"2026-11-01T00:00:00Z","subject":"t","data":{"value":"1.5e0","model":"m","version":3}})";
  const std::string csv =
      "day,model,meter,quantity,amount\n2026-11-02,\"gpt "
      "\"\"4\",requests,5,0.25\n2026-11-03,m,,,1\n";
  const std::string rows = R"([{"day":"2026-11-02","model":"m","meter":"requests","quantity":5}])";
  std::mt19937 random(5);
  std::size_t read = 0, refused = 0;
  const auto count = [&](const auto& got) { ++(got ? read : refused); };
  for (int round = 0; round < 20'000; ++round) {
    boost::system::error_code fault;
    const json::value value = json::parse(mutated(event, random), fault);
    if (!fault) count(usage_of(value, test::call(), Timestamp(std::chrono::hours(500'000))));
    count(read_report(mutated(csv, random)));
    count(read_report(mutated(rows, random)));
    if (round % 20 == 0)
      count(litellm_prices(mutated(prices, random),
                           {{"gpt-4o", ""}, {"dashscope/qwen-flash", ""}, {"rerank-v3.5", ""}},
                           Timestamp{}));
  }
  EXPECT_GT(read, 1'000u);
  EXPECT_GT(refused, 1'000u);
}

}  // namespace
}  // namespace penstock::costs
