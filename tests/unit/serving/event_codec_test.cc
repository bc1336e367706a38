#include "serving/event_codec.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

InferenceEvent only(std::string_view text) {
  auto events = must(events_of(text));
  EXPECT_EQ(events.size(), 1u);
  return std::move(events.at(0));
}

// As the gateway makes them of a call whose tensors its caller sent.
std::vector<InferenceEvent> call_of(std::size_t rows, std::size_t width = 3) {
  std::vector<InferenceEvent> out(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    InferenceEvent& event = out[row];
    event.id = event.unit = row_id("01J", row);
    event.project = "p1";
    event.route = "r";
    event.model = "m";
    event.version = 2;
    event.score = 0.1 * static_cast<double>(row);
    event.decision = row % 3 == 1;
    for (std::size_t at = 0; at < width; ++at)
      event.features.push_back(
          at == row % 5 ? std::nullopt : std::optional(double{0.1F * static_cast<float>(at)}));
  }
  return out;
}

std::string text_of(const std::vector<InferenceEvent>& events) {
  std::string out;
  for (const InferenceEvent& event : events) out += json_text(event) + "\n";
  return out;
}

Result<void> record_call(events::Log& log, const std::vector<InferenceEvent>& call) {
  return record(log, records_of(call));
}

std::vector<InferenceEvent> read(const std::vector<EventRecord>& records) {
  std::vector<InferenceEvent> out;
  for (const EventRecord& one : records)
    for (InferenceEvent& event : must(events_of(one.text))) out.push_back(std::move(event));
  return out;
}

// What is left out is read back as what it was; what an older program wrote is read as well.
TEST(EventText, LeavesOutWhatItsReaderKnows) {
  const InferenceEvent plain;
  const std::string text = event_text(plain);
  for (const char* late : {"generation", "guardrails", "comparison", "attempts", "payload", "score",
                           "\"mode\"", "error"})
    EXPECT_EQ(text.find(late), std::string::npos) << text;
  EXPECT_EQ(json_text(only(text)), json_text(plain));
  EXPECT_EQ(json_text(only(json_text(plain))), json_text(plain));

  InferenceEvent full;
  full.id = "x";
  full.score = 0.1;
  full.decision = false;
  full.features = {1.5, std::nullopt};
  full.feature_statuses = "PN";
  full.feature_times = {std::nullopt, Timestamp(Micros(5))};
  full.generation = Generation{.prompt_tokens = 7, .finish_reason = "stop"};
  full.queue_micros = 3;
  full.gpu_micros = 0;
  full.from_cache = true;
  full.guardrails = {"pii:email:mask"};
  full.user = "u";
  full.comparison = {{"agreement", 1.0}};
  EXPECT_EQ(json_text(only(event_text(full))), json_text(full));
}

TEST(EventCodec, RowsOfACallAreOneRecordAndComeBackBitForBit) {
  for (const std::size_t rows : {2u, 3u, 64u, 1'000u}) {
    for (const std::size_t width : {0u, 1u, 3u, 30u}) {
      SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(width));
      const auto call = call_of(rows, width);
      const auto records = records_of(call);
      ASSERT_EQ(records.size(), 1u);
      EXPECT_TRUE(records[0].is_group);
      EXPECT_EQ(records[0].key, "01J");
      EXPECT_EQ(text_of(read(records)), text_of(call));
    }
  }
  auto shared = call_of(4);
  for (InferenceEvent& event : shared) event.unit = "u";
  EXPECT_EQ(records_of(shared).size(), 1u);
  EXPECT_EQ(text_of(read(records_of(shared))), text_of(shared));
}

// By decode(), once what an event may leave out is there.
Result<InferenceEvent> read_slowly(std::string_view text) {
  static const json::value usual = encode(InferenceEvent());
  json::value value = TRY(parse_exact(text));
  if (json::object* const object = value.if_object())
    for (const auto& field : usual.get_object()) {
      static const std::set<std::string_view> always = {"id",      "at",    "event_time",
                                                        "project", "route", "model"};
      if (!always.contains(field.key())) object->insert(field);
    }
  return decode<InferenceEvent>(value);
}

// The quick reader and decode() agree on what is an event and on each of its fields.
TEST(EventCodec, ReadsWhatDecodeReadsAndRefusesWhatItRefuses) {
  InferenceEvent event = call_of(1).front();
  event.entities = {{"k", "v\n\"w\""}};
  event.at = Timestamp(Micros(1'700'000'000'123'456));
  event.arm = Arm::canary;
  event.mode = Mode::shadow;
  event.oldest_feature_seconds = -0.25;
  event.comparison = {{"agreement", 1.0}};
  event.guardrails = {"a", "b"};
  event.gpu_micros = 7;
  const std::string good = event_text(event);
  EXPECT_EQ(json_text(only(good)), json_text(event));
  std::mt19937 random(13);
  int read = 0;
  for (int i = 0; i < 5'000; ++i) {
    std::string text = good;
    for (unsigned change = 1 + random() % 2; change > 0; --change) {
      const std::size_t at = random() % text.size();
      static constexpr std::string_view letters = "\"0129.eE-+ntf:,[]{}xZ";
      if (random() % 2)
        text[at] = letters[random() % letters.size()];
      else
        text.erase(at, 1);
    }
    if (text.find("\\u0000") != text.npos) continue;  // of which the quick one takes the zeros
    const auto slow = read_slowly(text);
    const auto quick = events_of(text);
    ASSERT_EQ(static_cast<bool>(slow), static_cast<bool>(quick)) << text;
    if (!slow) continue;
    ++read;
    ASSERT_EQ(json_text(*slow), json_text(quick->at(0))) << text;
  }
  EXPECT_GT(read, 100);
}

TEST(EventCodec, RowsThatDifferInMoreThanNumbersAreRecordsOfTheirOwn) {
  using Change = std::function<void(InferenceEvent&)>;
  const Change changes[] = {[](auto& event) { event.id = "other"; },
                            [](auto& event) { event.unit = "other"; },
                            [](auto& event) { event.version = 3; },
                            [](auto& event) { event.entities["k"] = "v"; },
                            [](auto& event) { event.score.reset(); },
                            [](auto& event) { event.error = "unavailable"; },
                            [](auto& event) { event.features.pop_back(); },
                            [](auto& event) { event.features[0] = 0.1; },  // no FP32
                            [](auto& event) { event.comparison["agreement"] = 1; },
                            [](auto& event) { event.total_micros = 7; }};
  for (std::size_t at = 0; at < std::size(changes); ++at) {
    SCOPED_TRACE(at);
    auto call = call_of(5);
    changes[at](call[2]);
    const auto records = records_of(call);
    ASSERT_EQ(records.size(), 5u);
    EXPECT_FALSE(records[0].is_group);
    EXPECT_EQ(records[1].key, call[1].id);
    EXPECT_EQ(text_of(read(records)), text_of(call));
  }
}

TEST(EventCodec, ALongCallIsAGroupAndSingles) {
  const auto call = call_of(1'003, 1);
  const auto records = records_of(call);
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[1].key, "01J.1000");
  EXPECT_EQ(text_of(read(records)), text_of(call));
}

TEST(EventCodec, EveryRowIsFoundByItsId) {
  test::TempDir directory;
  test::World world(directory.path());
  must(record_call(world.log(), call_of(64)));
  const auto call = call_of(64);
  for (const std::size_t row : {0u, 1u, 63u}) {
    const auto found = must(recorded(world.log(), gateway_group, "p1", row_id("01J", row)));
    ASSERT_TRUE(found);
    EXPECT_EQ(json_text(*found), json_text(call[row]));
  }
  for (const char* unknown : {"01J", "01J.64", "01J.", "01J.x", ".1", "", "01K.1"})
    EXPECT_FALSE(must(recorded(world.log(), gateway_group, "p1", unknown))) << unknown;
  EXPECT_FALSE(must(recorded(world.log(), gateway_group, "p2", "01J.1"))) << "another project's";
}

TEST(EventText, IsReadableWhateverACallerSaid) {
  const std::pair<std::string, std::string> cases[] = {
      {"plain", "plain"},
      {std::string("a\0b", 3),
       "a\xEF\xBF\xBD"
       "b"},
      {"\\u0000 is no zero", "\\u0000 is no zero"},
      {std::string("\\\0", 2), "\\\xEF\xBF\xBD"},
      {"b\xFF\xFEob", "b\xEF\xBF\xBD\xEF\xBF\xBDob"},
      {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
      {"cut \xE2\x82", "cut \xEF\xBF\xBD\xEF\xBF\xBD"},
      {"half \xED\xA0\x80", "half \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
  };
  for (const auto& [said, read] : cases) {
    InferenceEvent event = call_of(1).front();
    event.user = said;
    event.entities = {{"k", said}};
    const std::string text = event_text(event);
    EXPECT_EQ(only(text).user, read);
    EXPECT_EQ(only(text).entities.at("k"), read);
    EXPECT_EQ(only(json_text(event)).user, read) << "as an older program wrote it";
  }
  std::mt19937 random(5);
  for (int turn = 0; turn < 20'000; ++turn) {
    InferenceEvent event = call_of(1).front();
    for (unsigned letters = random() % 8; letters > 0; --letters)
      event.user += random() % 3 ? static_cast<char>(random()) : "\\u0\0\xF0"[random() % 5];
    const auto events = events_of(event_text(event));
    ASSERT_TRUE(events) << events.error().message;
    ASSERT_EQ(events->front().user.find('\0'), std::string::npos);
  }
}

TEST(EventCodec, NoRecordCrashesItsReader) {
  const std::string good = records_of(call_of(5)).at(0).text;
  std::mt19937 random(3);
  int read = 0;
  for (int i = 0; i < 30'000; ++i) {
    std::string text = good;
    for (unsigned change = random() % 4; change > 0; --change) {
      const std::size_t at = random() % text.size();
      if (random() % 2)
        text[at] = static_cast<char>(random());
      else
        text.erase(at, 1 + random() % 5);
    }
    read += static_cast<bool>(events_of(text));
  }
  EXPECT_GT(read, 1'000);
}

}  // namespace
}  // namespace penstock::serving
